// One multiply-accumulate lane: operands in, product register, accumulator. A result takes one
// product a cycle, the first starts from `bias`. `bypass` adds `passed` instead of a product: values
// that are only copied, cast or added may be wider than the multiplier. Where words are cut into
// digits, `up` moves the sum up by UP_BITS before it, the bias's next digit at its bottom.
module mac_lane #(
    parameter int X_BITS = 8,
    parameter int W_BITS = 8,
    parameter int PASS_BITS = 8,
    parameter int BIAS_BITS = 16,
    parameter int ACC_BITS = 24,
    parameter int UP_BITS = 0
) (
    input  logic                        clk,
    input  logic                        enable,
    input  logic signed [   X_BITS-1:0] x,          // with the weight, one cycle before its product
    input  logic signed [   W_BITS-1:0] weight,
    input  logic signed [PASS_BITS-1:0] passed,
    input  logic                        bypass,
    input  logic                        add,        // with the product: it counts
    input  logic                        first,      // with the product: start from the bias
    input  logic                        up,
    input  logic signed [BIAS_BITS-1:0] bias,
    output logic signed [ ACC_BITS-1:0] sum
);
  localparam int PRODUCT_BITS = X_BITS + W_BITS > PASS_BITS ? X_BITS + W_BITS : PASS_BITS;

  logic signed [PRODUCT_BITS-1:0] product;
  logic signed [ACC_BITS-1:0] base;

  if (UP_BITS != 0) begin : g_up
    assign base = first ? ACC_BITS'(bias) : up ? ACC_BITS'({sum, UP_BITS'(bias)}) : sum;
  end else begin : g_no_up
    assign base = first ? ACC_BITS'(bias) : sum;
  end

  always_ff @(posedge clk) begin
    if (enable) begin
      product <= bypass ? PRODUCT_BITS'(passed) : PRODUCT_BITS'(x) * PRODUCT_BITS'(weight);
      if (add) sum <= base + ACC_BITS'(product);
    end
  end
endmodule
