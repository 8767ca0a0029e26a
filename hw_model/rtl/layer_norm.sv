// Layer norm, LANES words a cycle, in two sweeps over the lines of a frame:
//
//   sweep 0   s0 = sum of x, s1 = sum of x * x, over lanes and lines
//   between   `reciprocal_root` makes a root and its exponent of them
//   sweep 1   y = ((words * x - s0) * root + half) >> drop, a line of results a cycle
//
// One multiplier a lane makes both x * x and words * x, another one the product with the root. From
// the operation of a line to its result: stage 3 operands, 4 product, 5 numerator (or the line's
// sums), 6 times root (or sums of the frame), 7 the word, which goes on as every pass's result does
// from stage 5 on: two cycles later than a sum of products. The last line of sweep 0 has its sums
// in stage 6; `root` is wanted when the first numerator is there, in stage 5. So
//
//   pause = 9 + 6 * newton_steps, pass = 2 * lines + pause + 2 (+ 11 as every pass)
module layer_norm #(
`include "engine_params.svh"
) (
    input  logic                       clk,
    input  logic                       rst,
    input  logic                       enable,
    input  logic [      PASS_BITS-1:0] pass_word,
    input  logic                       pass_start,
    input  logic                       op_valid,    // stage 0
    input  logic [                1:0] op_sweep,
    input  logic                       op_end,      // the sweep's last operation
    input  logic [LANES*READ_BITS-1:0] operands,    // stage 3
    input  logic                       last_group,  // with `result`: of the line that is made
    input  logic                       boot_write,
    input  logic [ BOOT_ADDR_BITS-1:0] boot_addr,
    input  logic [               19:0] boot_data,
    output logic                       result,      // a line of words comes in the next cycle
    output logic [ LANES*ACC_BITS-1:0] words
);
`include "pass_fields.svh"

  localparam int FACTOR_BITS = NORM_X_BITS > NORM_WORDS_BITS + 1 ? NORM_X_BITS : NORM_WORDS_BITS + 1;
  localparam int PRODUCT_BITS = NORM_X_BITS + FACTOR_BITS;
  localparam int SCALED_BITS = NORM_NUMERATOR_BITS + 21;
  localparam int DROP_BITS = NORM_K_BITS > 5 ? NORM_K_BITS + 1 : 6;
  localparam int MOST_DROP = 18 + (1 << NORM_K_BITS);
  localparam int ROUND_BITS = (SCALED_BITS > MOST_DROP ? SCALED_BITS : MOST_DROP) + 1;

  // ---- operations on their way: of sweep 0, its last one, of sweep 1
  logic [6:1] sums, ends, makes;
  always_ff @(posedge clk)
    if (rst) {sums, ends, makes} <= '0;
    else if (enable) begin
      sums  <= {sums[5:1], op_valid && is_layer_norm && op_sweep == 0};
      ends  <= {ends[5:1], op_valid && is_layer_norm && op_sweep == 0 && op_end};
      makes <= {makes[5:1], op_valid && is_layer_norm && op_sweep == 1};
    end
  assign result = makes[6];

  // ---- the sums of a frame
  logic [LANES*NORM_X_BITS-1:0] passed4;
  logic [LANES*PRODUCT_BITS-1:0] products4;
  logic signed [NORM_S0_BITS-1:0] line_s0, line5_s0, s0;
  logic [NORM_S1_BITS-1:0] line_s1, line5_s1, s1;
  always_comb begin
    line_s0 = '0;
    line_s1 = '0;
    for (int n = 0; n < LANES; n++) begin
      line_s0 = line_s0 + NORM_S0_BITS'($signed(passed4[n*NORM_X_BITS+:NORM_X_BITS]));
      line_s1 = line_s1 + NORM_S1_BITS'($signed(products4[n*PRODUCT_BITS+:PRODUCT_BITS]));
    end
  end
  always_ff @(posedge clk)
    if (enable) begin
      line5_s0 <= line_s0;
      line5_s1 <= line_s1;
      if (pass_start) begin
        s0 <= '0;
        s1 <= '0;
      end else if (sums[5]) begin
        s0 <= s0 + line5_s0;
        s1 <= s1 + line5_s1;
      end
    end

  // ---- the root
  logic [19:0] root;
  logic [NORM_K_BITS-1:0] k;
  reciprocal_root #(
      .S0_BITS(NORM_S0_BITS), .S1_BITS(NORM_S1_BITS), .WORDS_BITS(NORM_WORDS_BITS),
      .VARIANCE_BITS(NORM_VARIANCE_BITS), .K_BITS(NORM_K_BITS), .SEEDS(SEEDS),
      .ADDR_BITS(S_ADDR_BITS)
  ) u_root (
      .clk, .rst, .enable, .start(ends[6]), .s0, .s1, .words(norm_words), .epsilon(norm_epsilon),
      .seed_base, .seed_shift, .newton_steps,
      .boot_write, .boot_addr(boot_addr[S_ADDR_BITS-1:0]), .boot_data, .root, .k
  );

  // ---- the words; lanes without a channel stay zero
  logic [DROP_BITS-1:0] drop;
  logic signed [ROUND_BITS-1:0] half;
  assign drop = DROP_BITS'(norm_drop) + DROP_BITS'(k);
  assign half = (ROUND_BITS'(1) << drop) >> 1;

  logic [LANES-1:0] idle;  // in the last group
  assign idle = ~((LANES'(2) << last_lane) - LANES'(1));

  for (genvar n = 0; n < LANES; n++) begin : g_lanes
    logic signed [NORM_X_BITS-1:0] x3, x4;
    logic signed [FACTOR_BITS-1:0] factor;
    logic signed [PRODUCT_BITS-1:0] product4;
    logic signed [NORM_NUMERATOR_BITS-1:0] numerator5;
    logic signed [SCALED_BITS-1:0] scaled6;
    logic signed [ROUND_BITS-1:0] rounded;
    logic signed [ACC_BITS-1:0] word7;
    assign x3      = operands[n*READ_BITS+:NORM_X_BITS];
    assign factor  = makes[3] ? FACTOR_BITS'(norm_words) : FACTOR_BITS'(x3);
    assign rounded = (ROUND_BITS'(scaled6) + half) >>> drop;
    always_ff @(posedge clk)
      if (enable) begin
        x4         <= x3;
        product4   <= PRODUCT_BITS'(x3) * PRODUCT_BITS'(factor);
        numerator5 <= NORM_NUMERATOR_BITS'(product4) - NORM_NUMERATOR_BITS'(s0);
        scaled6    <= SCALED_BITS'(numerator5) * SCALED_BITS'($signed({1'b0, root}));
        word7      <= last_group && idle[n] ? '0 : ACC_BITS'(rounded);
      end
    assign passed4[n*NORM_X_BITS+:NORM_X_BITS]     = x4;
    assign products4[n*PRODUCT_BITS+:PRODUCT_BITS] = product4;
    assign words[n*ACC_BITS+:ACC_BITS]             = word7;
  end
endmodule
