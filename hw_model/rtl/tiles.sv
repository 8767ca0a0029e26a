// Weights from outside the chip: two buffers of one tile each, the weights of one block of outputs.
//
// While the lanes work on one tile, for all joints, the next one comes in, so that every weight is
// read once a frame. A tile is asked for with its first line and its number of lines, as soon as a
// buffer is free and the tile before has come; its lines then come in order, whenever they like.
// They come in a stall too, in which the last line of a block still waits to be read: its buffer is
// free only when that stall is over.
module tiles #(
`include "engine_params.svh"
) (
    input  logic                         clk,
    input  logic                         rst,
    input  logic                         enable,
    input  logic                         pass_start,   // of a pass that streams
    input  logic [    FETCH_BITS-1:0]    first_line,
    input  logic [     TILE_BITS-1:0]    tile_last,    // lines of a tile, less one
    input  logic [    COUNT_BITS*2-1:0]  blocks_last,  // tiles of the pass, less one
    input  logic                         block_done,
    output logic                         tile_ready,
    output logic                         tile_side,    // the buffer to read
    // outside
    output logic                         fetch_valid,
    input  logic                         fetch_ready,
    output logic [    FETCH_BITS-1:0]    fetch_line,
    output logic [     TILE_BITS-1:0]    fetch_last,
    input  logic                         line_valid,
    // into the buffers
    output logic                         write,
    output logic [       TILE_BITS:0]    write_addr
);
  logic active, pending;  // a pass streams; a tile is on its way
  logic [COUNT_BITS*2:0] asked, came, done;
  logic [TILE_BITS-1:0] filled;
  logic side, last_line, reading;  // the last line of a block is read in the next cycle but stalls

  assign tile_ready  = came > done;
  assign tile_side   = done[0];
  assign fetch_valid = active && !pending && asked <= {1'b0, blocks_last} && asked < done + 2
                     && !(reading && !enable && asked == done + 1);
  assign fetch_last  = tile_last;
  assign write       = line_valid && pending;
  assign write_addr  = {side, filled};
  assign last_line   = write && filled == tile_last;

  always_ff @(posedge clk) begin
    if (rst) begin
      {active, pending, reading} <= '0;
      {asked, came, done} <= '0;
    end else begin
      if (enable) reading <= block_done;
      if (enable && pass_start) begin
        active <= 1'b1;
        {asked, came, done} <= '0;
        fetch_line <= first_line;
      end else begin
        if (enable && block_done) begin
          done <= done + 1;
          if (done == {1'b0, blocks_last}) active <= 1'b0;
        end
        if (fetch_valid && fetch_ready) begin
          pending <= 1'b1;
          asked <= asked + 1;
          side <= asked[0];
          filled <= '0;
          fetch_line <= fetch_line + FETCH_BITS'(tile_last) + 1;
        end
        if (write) filled <= filled + 1;
        if (last_line) begin
          pending <= 1'b0;
          came <= came + 1;
        end
      end
    end
  end
endmodule
