// The multiply-accumulators, one a lane: operands and weights of stage 2 in, sums of stage 5 out.
// Each lane takes the word of one lane (`broadcast`) or its own, or a digit of that, and the weight of
// a line or an edge. Where lanes are paired, two share a multiplier.
module mac_lanes #(
`include "engine_params.svh"
) (
    input  logic                       clk,
    input  logic                       enable,
    input  logic [      PASS_BITS-1:0] pass_word,
    input  logic [LANES*READ_BITS-1:0] x_line,     // stage 2
    input  logic [   LANES*W_BITS-1:0] weights,
    input  logic signed [COEF_BITS-1:0] coef,
    input  logic                       zero,       // the operand is of no frame of the clip
    input  logic [      LANE_BITS-1:0] lane,
    input  logic [     DIGIT_BITS-1:0] digit,
    input  logic                       low,
    input  logic                       side,       // stage 3
    input  logic                       add,        // stage 4
    input  logic                       first,
    input  logic                       up,
    input  logic [LANES*BIAS_BITS-1:0] biases,
    output logic [LANES*READ_BITS-1:0] operands,   // stage 3
    output logic [ LANES*ACC_BITS-1:0] sums        // stage 5
);
`include "pass_fields.svh"

  localparam int PRODUCT_BITS = X_BITS + MULT_W_BITS;

  logic signed [READ_BITS-1:0] common;
  logic [LANES*MULT_W_BITS-1:0] factors;
  logic [LANES*PRODUCT_BITS-1:0] products;
  assign common = x_line[32'(lane)*READ_BITS+:READ_BITS];

  if (PAIRED != 0) begin : g_pairs
    for (genvar n = 0; n < LANES; n = n + 2) begin : g_pair
      pair_product #(.X_BITS(X_BITS), .W_BITS(MULT_W_BITS)) u_pair (
          .x0(operands[n*READ_BITS+:X_BITS]), .x1(operands[(n+1)*READ_BITS+:X_BITS]),
          .w0(factors[n*MULT_W_BITS+:MULT_W_BITS]),
          .w1(factors[(n+1)*MULT_W_BITS+:MULT_W_BITS]),
          .weight_shared(!weight_per_block), .side(side),
          .product0(products[n*PRODUCT_BITS+:PRODUCT_BITS]),
          .product1(products[(n+1)*PRODUCT_BITS+:PRODUCT_BITS])
      );
    end
  end else begin : g_no_pairs
    assign products = '0;
  end

  for (genvar n = 0; n < LANES; n++) begin : g_lanes
    logic signed [READ_BITS-1:0] word, x2, x3;
    logic signed [MULT_W_BITS-1:0] w2, w3;
    assign word = zero ? '0 : broadcast ? common : $signed(x_line[n*READ_BITS+:READ_BITS]);
    if (OPERAND_DIGITS > 1) begin : g_digit
      operand_digit #(
          .READ_BITS(READ_BITS), .X_BITS(X_BITS), .DIGITS(OPERAND_DIGITS),
          .DIGIT_BITS(DIGIT_BITS), .STEP(OPERAND_STEP)
      ) u_digit (.word, .digit, .low, .x(x2));
    end else begin : g_whole
      assign x2 = word;
    end
    assign w2 = weight_from == WEIGHT_EDGE ? MULT_W_BITS'(coef)
                                           : MULT_W_BITS'($signed(weights[n*W_BITS+:W_BITS]));
    always_ff @(posedge clk) if (enable) {x3, w3} <= {x2, w2};
    assign operands[n*READ_BITS+:READ_BITS] = x3;
    assign factors[n*MULT_W_BITS+:MULT_W_BITS] = w3;
    mac_lane #(
        .X_BITS(X_BITS), .W_BITS(MULT_W_BITS), .PASS_BITS(READ_BITS), .BIAS_BITS(BIAS_BITS),
        .ACC_BITS(ACC_BITS), .UP_BITS(HAS_DIGITS != 0 ? WEIGHT_STEP : 0), .PAIRED(PAIRED)
    ) u_mac (
        .clk, .enable, .x(x3[X_BITS-1:0]), .weight(w3), .passed(x3),
        .shared_product(products[n*PRODUCT_BITS+:PRODUCT_BITS]),
        .bypass(weight_from == WEIGHT_NONE), .add, .first, .up,
        .bias(bias_on ? $signed(biases[n*BIAS_BITS+:BIAS_BITS]) : BIAS_BITS'(0)),
        .sum(sums[n*ACC_BITS+:ACC_BITS])
    );
  end
endmodule
