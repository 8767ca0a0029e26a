// Simple dual port memory: one write and one synchronous read a cycle. A read of the address that
// is being written gives the old word; the engine never does that within a pass.
module ram #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 16,
    parameter int ADDR_BITS = 4
) (
    input  logic                 clk,
    input  logic                 write,
    input  logic [ADDR_BITS-1:0] write_addr,
    input  logic [    WIDTH-1:0] write_data,
    input  logic                 read,
    input  logic [ADDR_BITS-1:0] read_addr,
    output logic [    WIDTH-1:0] read_data
);
  localparam int BITS = DEPTH > 1 ? $clog2(DEPTH) : 1;  // an address may come from a wider counter
  logic [WIDTH-1:0] words[0:DEPTH-1];

  always_ff @(posedge clk) begin
    if (write) words[write_addr[BITS-1:0]] <= write_data;
    if (read) read_data <= words[read_addr[BITS-1:0]];
  end
endmodule
