// `tiles` alone, with two buffers behind it as the engine has them, and a memory outside whose word is
// its own address. Passes run one after another; each block reads its tile once for every joint, a
// line a cycle. Every word that is read must be the block's, every request that of the next tile, and
// a request may not be taken back. With FREE the memory outside is ready when it likes and gives lines
// when it likes, and stalls come in between; else it is that of the engine's own bench, nothing stalls,
// and each pass must take the cycles that `passes.hex` has for it.
`timescale 1ns / 1ps
module tiles_bench #(
`include "engine_params.svh"
,
    parameter int FREE = 1,
    parameter int COUNT = 1,  // passes
    parameter int PATTERN = 1
) ();
  logic clk = 0, rst = 1, enable = 1;
  always #5 clk = !clk;

  logic [1:0] pattern[0:PATTERN-1], outside[0:PATTERN-1];  // gap, stall; not ready, no line
  // first line, lines of a tile, blocks, joints, latency, interval, cycles; 32 bits each
  logic [223:0] passes[0:COUNT-1];
  int first, lines, blocks, joints, latency, interval, cycles;
  string folder;

  logic pass_start = 0, block_done, tile_ready, tile_side, write, line_valid = 0;
  logic fetch_valid, fetch_ready = 0, fetch_waits = 0;
  logic [FETCH_BITS-1:0] first_line, fetch_line;
  logic [TILE_BITS-1:0] tile_last, fetch_last;
  logic [2*COUNT_BITS-1:0] blocks_last;
  logic [TILE_BITS:0] write_addr, tile1;
  logic [31:0] line_data, read_data;
  assign first_line  = FETCH_BITS'(first);
  assign tile_last   = TILE_BITS'(lines - 1);
  assign blocks_last = (2 * COUNT_BITS)'(blocks - 1);
  tiles dut (.*);
  ram #(.WIDTH(32), .DEPTH(2 << TILE_BITS), .ADDR_BITS(TILE_BITS + 1)) buffers (
      .clk, .write, .write_addr, .write_data(line_data), .read(enable), .read_addr(tile1), .read_data
  );

  // ---- the lanes: a line of the tile for each joint, block after block
  int cycle = 0, at = 0, line = 0, joint = 0, block = 0, asked = 0, took = 0, read = 0, wrong = 0;
  int wanted1 = 0, wanted2 = 0;
  logic running = 0, valid1 = 0, valid2 = 0, op_valid;
  assign op_valid   = running && tile_ready;
  assign block_done = op_valid && line == lines - 1 && joint == joints - 1;

  always @(posedge clk)
    if (!rst) begin
      if (running) took = took + 1;
      if (enable) begin
        if (valid2) begin
          read = read + 1;
          if (read_data !== 32'(wanted2)) say("word", int'(read_data), wanted2);
        end
        {valid2, wanted2} = {valid1, wanted1};
        {valid1, wanted1} = {op_valid, first + block * lines + line};
        tile1 <= {tile_side, TILE_BITS'(line)};
      end
    end

  always @(negedge clk)
    if (!rst) begin
      if (enable && op_valid_q) step();
      if (enable && pass_start) running = 1;
      pass_start = 0;
      cycle = cycle + 1;
      enable = FREE == 0 || !pattern[cycle % PATTERN][0];
      if (!running && at < COUNT && !valid1 && !valid2 && !(FREE != 0 && pattern[cycle % PATTERN][1]))
      begin
        {first, lines, blocks, joints, latency, interval, cycles} = passes[at];
        {asked, took, line, joint, block} = '0;
        pass_start = 1;
      end
    end
  logic op_valid_q = 0;
  always @(posedge clk) op_valid_q = op_valid;

  task automatic step();
    line = line + 1;
    if (line == lines) begin
      line  = 0;
      joint = joint + 1;
    end
    if (joint == joints) begin
      joint = 0;
      block = block + 1;
    end
    if (block == blocks) begin
      running = 0;
      if (asked != blocks) say("request", asked, blocks);
      if (FREE == 0 && took != cycles) say("cycle", took, cycles);
      at = at + 1;
    end
  endtask

  // ---- the memory outside
  int line_at = 0, lines_left = 0, wait_left = 0;
  logic gives;
  always @(negedge clk) begin
    fetch_ready = lines_left == 0 && !(FREE != 0 && outside[cycle % PATTERN][1]);
    gives = lines_left > 0 && (FREE != 0 ? !outside[cycle % PATTERN][0] : wait_left == 0);
    line_valid = gives;
    line_data = gives ? 32'(line_at) : 'x;
    if (gives) begin
      line_at = line_at + 1;
      lines_left = lines_left - 1;
      wait_left = interval;
    end
    if (wait_left > 0) wait_left = wait_left - 1;
  end
  always @(posedge clk)
    if (!rst) begin
      if (fetch_waits && !fetch_valid) say("request taken back", asked, asked);
      fetch_waits = fetch_valid && !fetch_ready;
      if (fetch_valid && int'(fetch_line) != first + asked * lines)
        say("request", int'(fetch_line), first + asked * lines);
      if (fetch_valid && int'(fetch_last) != lines - 1) say("last", int'(fetch_last), lines - 1);
      if (fetch_valid && fetch_ready) begin
        asked = asked + 1;
        line_at = int'(fetch_line);
        lines_left = int'(fetch_last) + 1;
        wait_left = latency - 1;
      end
    end

  task automatic say(input string what, input int found, input int wanted);
    if (wrong == 0)
      $display("DIFFERENT %s %0d of pass %0d, block %0d: should be %0d", what, found, at, block,
               wanted);
    wrong = wrong + 1;
  endtask

  initial begin
    if (!$value$plusargs("folder=%s", folder)) folder = ".";
    $readmemh({folder, "/pattern.hex"}, pattern);
    $readmemh({folder, "/outside.hex"}, outside);
    $readmemh({folder, "/passes.hex"}, passes);
    {first, lines, blocks, joints, latency, interval, cycles} = passes[0];
    repeat (2) @(posedge clk);
    #1 rst = 0;
    while (at < COUNT && cycle < 400 * COUNT) @(posedge clk);
    repeat (200) @(posedge clk);
    if (at != COUNT) $fatal(1, "FAIL: %0d of %0d passes ended", at, COUNT);
    if (wrong != 0) $fatal(1, "FAIL: %0d differences", wrong);
    $display("PASS: %0d words", read);
    $finish;
  end
endmodule
