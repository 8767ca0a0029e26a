// Two products of one multiplier: of two words side by side, and one that both share. Lanes share
// their weight, or the operand of one of them: `side` says whose.
//
// The words stand a product's width apart. A negative lower product has borrowed one from the upper
// one, which is given back.
module pair_product #(
    parameter int X_BITS = 8,
    parameter int W_BITS = 8
) (
    input  logic signed [       X_BITS-1:0] x0,
    input  logic signed [       X_BITS-1:0] x1,
    input  logic signed [       W_BITS-1:0] w0,
    input  logic signed [       W_BITS-1:0] w1,
    input  logic                            weight_shared,
    input  logic                            side,
    output logic signed [X_BITS+W_BITS-1:0] product0,
    output logic signed [X_BITS+W_BITS-1:0] product1
);
  localparam int WIDE_BITS = X_BITS > W_BITS ? X_BITS : W_BITS;
  localparam int PRODUCT_BITS = X_BITS + W_BITS;
  localparam int PAIR_BITS = PRODUCT_BITS + WIDE_BITS + 1;

  logic signed [WIDE_BITS-1:0] word0, word1, common;
  logic signed [PAIR_BITS-1:0] pair;
  logic signed [PAIR_BITS+WIDE_BITS-1:0] both;

  assign word0 = weight_shared ? WIDE_BITS'(x0) : WIDE_BITS'(w0);
  assign word1 = weight_shared ? WIDE_BITS'(x1) : WIDE_BITS'(w1);
  assign common = weight_shared ? WIDE_BITS'(w0) : side ? WIDE_BITS'(x1) : WIDE_BITS'(x0);
  assign pair = (PAIR_BITS'(word1) <<< PRODUCT_BITS) + PAIR_BITS'(word0);
  assign both = (PAIR_BITS + WIDE_BITS)'(pair) * (PAIR_BITS + WIDE_BITS)'(common);
  assign product0 = both[PRODUCT_BITS-1:0];
  assign product1 = both[PRODUCT_BITS+:PRODUCT_BITS] + PRODUCT_BITS'(both[PRODUCT_BITS-1]);
endmodule
