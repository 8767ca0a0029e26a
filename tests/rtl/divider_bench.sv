// `divider` alone: a division a cycle, with gaps and stalls. The number of bits changes as soon as
// nothing is under way; each quotient comes `bits + 1` cycles behind its division.
`timescale 1ns / 1ps
module divider_bench #(
    parameter int COUNT = 1,
    parameter int PATTERN = 1,
    parameter int WIDTH = 4,
    parameter int MOST_BITS = 4
) ();
  logic clk = 0, rst = 1, enable = 0, valid = 0, gap, stall;
  always #5 clk = !clk;

  logic [1:0] pattern[0:PATTERN-1];
  logic [207:0] asked[0:COUNT-1];  // tag, bits, number, tail, by: 8, 8, 64, 64, 64 bits
  logic [63:0] answers[0:COUNT-1];
  int entered[0:COUNT-1];
  logic [7:0] tag, done_tag, more_bits;
  logic [5:0] bits = 0;
  logic [63:0] number, tail, by, wanted;
  logic [MOST_BITS:0] quotient;
  logic done;
  string folder;
  int cycle = 0, time_in = 0, at = 0, seen = 0, wrong = 0;

  divider #(.WIDTH(WIDTH), .MOST_BITS(MOST_BITS), .TAG_BITS(8)) dut (
      .clk, .rst, .enable, .bits, .valid, .tag, .number(WIDTH'(number)),
      .tail(MOST_BITS'(tail)), .by(WIDTH'(by)), .done, .done_tag, .quotient
  );

  always @(negedge clk)
    if (!rst) begin
      if (valid && enable) at = at + 1;
      cycle = cycle + 1;
      {gap, stall} = pattern[cycle % PATTERN];
      enable = !stall;
      valid = 0;
      {tag, more_bits, number, tail, by} = 'x;
      if (at < COUNT && !gap) begin
        {tag, more_bits, number, tail, by} = asked[at];
        valid = seen == at || more_bits[5:0] == bits;
        if (valid) bits = more_bits[5:0];
      end
    end

  always @(posedge clk)
    if (!rst && enable) begin
      if (valid) entered[at] = time_in;
      if (done !== 1'b0) begin
        wanted = answers[seen];
        if (done !== 1'b1 || seen >= COUNT || {{(63 - MOST_BITS) {1'b0}}, quotient} !== wanted
            || done_tag !== asked[seen][207:200]
            || time_in != entered[seen] + int'(asked[seen][199:192]) + 1) begin
          if (wrong == 0)
            $display("DIFFERENT division %0d: %h tag %h at %0d, should be %h", seen, quotient,
                     done_tag, time_in, wanted);
          wrong = wrong + 1;
        end
        seen = seen + 1;
      end
      time_in = time_in + 1;
    end

  initial begin
    if (!$value$plusargs("folder=%s", folder)) folder = ".";
    $readmemh({folder, "/pattern.hex"}, pattern);
    $readmemh({folder, "/asked.hex"}, asked);
    $readmemh({folder, "/answers.hex"}, answers);
    repeat (2) @(posedge clk);
    #1 rst = 0;
    while (seen < COUNT && cycle < 100 * COUNT + 10000) @(posedge clk);
    repeat (100) @(posedge clk);
    if (seen != COUNT) $fatal(1, "FAIL: %0d of %0d quotients came", seen, COUNT);
    if (wrong != 0) $fatal(1, "FAIL: %0d of %0d", wrong, COUNT);
    $display("PASS: %0d words", seen);
    $finish;
  end
endmodule
