// A unit of several sweeps alone: layer norm (UNIT 1), softmax (2) or mean over a clip (3). One line
// of `ops.hex` is what the sequencer and the pipeline do in a cycle; each line of results is compared,
// and the cycle in which it stands; of a softmax every exponential too. Stalls come in between.
`timescale 1ns / 1ps
module sweeps_bench #(
`include "engine_params.svh"
,
    parameter int UNIT = 1,
    parameter int COUNT = 1,      // cycles
    parameter int LINES = 1,      // of results
    parameter int FRAME_LINES = 1,  // of one frame
    parameter int LAST_FROM = 0,  // lines of a frame before its last group
    parameter int POWERS = 0,     // exponentials
    parameter int BOOT_LINES = 1,
    parameter int PATTERN = 1
) ();
  localparam int OP_BITS = 40 + LANES * READ_BITS;

  logic clk = 0, rst = 1, enable = 0;
  always #5 clk = !clk;

  logic [1:0] pattern[0:PATTERN-1];
  logic [OP_BITS-1:0] ops[0:COUNT-1];
  logic [PASS_BITS-1:0] pass_file[0:0], pass_word;
  logic [31:0] boots[0:BOOT_LINES-1];
  logic [31+LANES*ACC_BITS:0] lines[0:LINES-1];  // cycle, words
  logic [31:0] powers[0:POWERS];
  logic boot_write = 0;
  logic [BOOT_ADDR_BITS-1:0] boot_addr;
  logic [31:0] boot_data;

  logic pass_start = 0, op_valid = 0, op_last, op_end, further, last_group;
  logic [1:0] op_sweep, none;
  logic [31:0] total;
  logic [LANES*READ_BITS-1:0] operands, operands1, operands2, operands3;
  logic result, result_q = 0, power_valid;
  logic [LANES*ACC_BITS-1:0] words;
  logic [31:0] power, when;
  logic [LANES*ACC_BITS-1:0] wanted;
  string folder;
  int cycle = 0, at = -1, seen = 0, made = 0, counted = 0, wrong = 0;
  assign last_group = made % FRAME_LINES >= LAST_FROM;

  if (UNIT == 1) begin : g_norm
    layer_norm dut (
        .clk, .rst, .enable, .pass_word, .pass_start, .op_valid, .op_sweep, .op_end,
        .operands(operands3), .last_group, .boot_write, .boot_addr, .boot_data(boot_data[19:0]),
        .result, .words
    );
  end else if (UNIT == 2) begin : g_softmax
    softmax dut (
        .clk, .rst, .enable, .pass_word, .pass_start, .op_valid, .op_sweep, .op_last, .op_end,
        .operand(operands3[SHARE_X_BITS-1:0]), .boot_write, .boot_addr,
        .boot_data(boot_data[SHARE_ENTRY_BITS-1:0]), .result, .words
    );
    assign power_valid = dut.adds[7] || dut.shares[7];
    assign power = 32'(dut.power7);
  end else begin : g_mean
    clip_mean dut (
        .clk, .rst, .enable, .pass_word, .pass_start, .op_valid, .op_sweep, .op_last, .op_end,
        .further, .total_frames(TIME_BITS'(total)), .operands(operands3), .result, .words
    );
  end
  if (UNIT != 2) begin : g_no_power
    assign power_valid = 1'b0;
    assign power = '0;
  end

  always @(negedge clk)
    if (!rst && !boot_write) begin
      if (enable || at < 0) at = at + 1;
      cycle = cycle + 1;
      enable = !pattern[cycle % PATTERN][0];
      {pass_start, op_valid, op_last, op_end, further, none[0], op_sweep, total, operands} =
          at < COUNT ? ops[at] : '0;
    end

  always @(posedge clk)
    if (enable) begin
      {operands1, operands2, operands3} <= {operands, operands1, operands2};
      result_q <= result;
      if (result) made <= made + 1;
      if (power_valid) begin
        if (counted >= POWERS || power !== powers[counted]) say("exponential", counted);
        counted = counted + 1;
      end
      if (result_q) begin
        {when, wanted} = seen < LINES ? lines[seen] : '0;
        if (seen >= LINES || int'(when) != at || words !== wanted) say("line", seen);
        seen = seen + 1;
      end
    end

  task automatic say(input string what, input int number);
    if (wrong == 0)
      $display("DIFFERENT %s %0d in cycle %0d: %h, exponential %h; should be %h in cycle %0d", what,
               number, at, words, power, wanted, when);
    wrong = wrong + 1;
  endtask

  initial begin
    if (!$value$plusargs("folder=%s", folder)) folder = ".";
    $readmemh({folder, "/pattern.hex"}, pattern);
    $readmemh({folder, "/ops.hex"}, ops);
    $readmemh({folder, "/pass.hex"}, pass_file);
    $readmemh({folder, "/boot.hex"}, boots);
    $readmemh({folder, "/lines.hex"}, lines);
    $readmemh({folder, "/powers.hex"}, powers);
    pass_word  = pass_file[0];
    boot_write = 1;
    repeat (2) @(posedge clk);
    #1 rst = 0;
    for (int i = 0; i < BOOT_LINES; i++) begin
      boot_addr = BOOT_ADDR_BITS'(i);
      boot_data = boots[i];
      @(posedge clk);
      #1;
    end
    boot_write = 0;
    while (at < COUNT) @(posedge clk);
    if (seen != LINES || counted != POWERS)
      $fatal(1, "FAIL: %0d of %0d lines came, %0d of %0d exponentials", seen, LINES, counted,
             POWERS);
    if (wrong != 0) $fatal(1, "FAIL: %0d differences", wrong);
    $display("PASS: %0d words", seen + counted);
    $finish;
  end
endmodule
