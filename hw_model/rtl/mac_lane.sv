// One multiply-accumulate lane: operands in, product register, accumulator. A result takes one
// product a cycle, the first starts from `bias`. `bypass` adds `passed` instead of a product: values
// that are only copied, cast or added may be wider than the multiplier. Where words are cut into
// digits, `up` moves the sum up by UP_BITS before it, the bias's next digit at its bottom. Where two
// lanes share a multiplier, their products come from outside.
module mac_lane #(
    parameter int X_BITS = 8,
    parameter int W_BITS = 8,
    parameter int PASS_BITS = 8,
    parameter int BIAS_BITS = 16,
    parameter int ACC_BITS = 24,
    parameter int UP_BITS = 0,
    parameter int PAIRED = 0
) (
    input  logic                        clk,
    input  logic                        enable,
    input  logic signed [   X_BITS-1:0] x,          // with the weight, one cycle before its product
    input  logic signed [   W_BITS-1:0] weight,
    input  logic signed [X_BITS+W_BITS-1:0] shared_product,
    input  logic signed [PASS_BITS-1:0] passed,
    input  logic                        bypass,
    input  logic                        add,        // with the product: it counts
    input  logic                        first,      // with the product: start from the bias
    input  logic                        up,
    input  logic signed [BIAS_BITS-1:0] bias,
    output logic signed [ ACC_BITS-1:0] sum
);
  localparam int PRODUCT_BITS = X_BITS + W_BITS > PASS_BITS ? X_BITS + W_BITS : PASS_BITS;

  logic signed [PRODUCT_BITS-1:0] product, times;

  if (PAIRED != 0) begin : g_paired
    assign times = PRODUCT_BITS'(shared_product);
  end else begin : g_own
    assign times = PRODUCT_BITS'(x) * PRODUCT_BITS'(weight);
  end

  logic signed [ACC_BITS-1:0] start, base;

  assign start = ACC_BITS'(bias);

  if (UP_BITS != 0) begin : g_up
    assign base = first ? start : up ? ACC_BITS'({sum, UP_BITS'(bias)}) : sum;
  end else begin : g_no_up
    assign base = first ? start : sum;
  end

  always_ff @(posedge clk) begin
    if (enable) begin
      product <= bypass ? PRODUCT_BITS'(passed) : times;
      if (add) sum <= base + ACC_BITS'(product);
    end
  end
endmodule
