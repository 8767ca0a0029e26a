// `reciprocal_root` alone: a start as soon as it may, and in that very cycle the last one's results;
// stalls in between.
`timescale 1ns / 1ps
module root_bench #(
    parameter int COUNT = 1,
    parameter int STEPS = 2,
    parameter int SEEDS = 48,
    parameter int SEED_SHIFT = 12,
    parameter int VARIANCE_BITS = 62,
    parameter int PATTERN = 1
) ();
  localparam int CYCLES = 9 + 6 * STEPS;

  logic clk = 0, rst = 1, enable = 1, start = 0, boot_write = 0;
  always #5 clk = !clk;

  logic [1:0] pattern[0:PATTERN-1];
  logic [19:0] seeds[0:SEEDS-1];
  logic [159:0] asked[0:COUNT-1];  // words, s0, s1, epsilon: 16, 32, 56, 56 bits
  logic [31:0] answers[0:COUNT-1];  // k, root: 12, 20 bits
  logic [15:0] words;
  logic signed [31:0] s0;
  logic [55:0] s1, epsilon;
  logic [19:0] boot_data, root;
  logic [17:0] boot_addr;
  logic [5:0] k;
  string folder;
  int cycle = 0, wrong = 0;

  reciprocal_root #(
      .S0_BITS(32), .S1_BITS(56), .WORDS_BITS(16), .VARIANCE_BITS(VARIANCE_BITS), .K_BITS(6), .SEEDS(SEEDS),
      .ADDR_BITS(18)
  ) dut (
      .clk, .rst, .enable, .start, .s0, .s1, .words, .epsilon(VARIANCE_BITS'(epsilon)),
      .seed_base(18'd0), .seed_shift(5'(SEED_SHIFT)), .newton_steps(3'(STEPS)),
      .boot_write, .boot_addr, .boot_data, .root, .k
  );

  always @(negedge clk)
    if (!rst && !boot_write) begin
      enable = !pattern[cycle % PATTERN][0];
      cycle  = cycle + 1;
    end
  task automatic tick();  // a cycle that is no stall
    @(posedge clk);
    while (!enable) @(posedge clk);
  endtask

  initial begin
    if (!$value$plusargs("folder=%s", folder)) folder = ".";
    $readmemh({folder, "/pattern.hex"}, pattern);
    $readmemh({folder, "/seeds.hex"}, seeds);
    $readmemh({folder, "/asked.hex"}, asked);
    $readmemh({folder, "/answers.hex"}, answers);
    @(posedge clk) rst <= 0;
    for (int i = 0; i < SEEDS; i++) begin
      boot_write <= 1;
      boot_addr  <= 18'(i);
      boot_data  <= seeds[i];
      @(posedge clk);
    end
    boot_write <= 0;
    for (int i = 0; i <= COUNT; i++) begin
      start <= 1;
      if (i < COUNT) {words, s0, s1, epsilon} <= asked[i];
      tick();
      #1;  // `start` stands; what the last one gave stands too
      if (i > 0 && {6'd0, k, root} !== answers[i-1]) begin
        if (wrong == 0)
          $display("DIFFERENT %0d: k %0d root %0d, should be %h", i - 1, k, root, answers[i-1]);
        wrong = wrong + 1;
      end
      tick();
      start <= 0;
      repeat (CYCLES - 2) tick();
    end
    if (wrong != 0) $fatal(1, "FAIL: %0d of %0d", wrong, COUNT);
    $display("PASS: %0d words", COUNT);
    $finish;
  end
endmodule
