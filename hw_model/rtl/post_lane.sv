// What follows an accumulator, one lane: five slots of one register each, any of them bypassed.
//
//   cast0 -> temporal sum -> shift and bias -> cast1 -> residual addition -> emission casts
//
// A slot that no pass of the network uses (its HAS_ parameter is 0) is a bare register. The emission
// casts, one for each memory of values, are casts of one value, never casts of one another.
module post_lane #(
`include "engine_params.svh"
) (
    input  logic                               clk,
    input  logic                               enable,
    input  logic        [       PASS_BITS-1:0] pass_word,
    input  logic signed [        ACC_BITS-1:0] sum,          // stage 5
    input  logic signed [      DELTA_BITS-1:0] delta,        // in the stage that `delta_at` names
    input  logic                               fifo_valid,   // stage 6: frames are of this clip
    input  logic                               total_valid,
    input  logic signed [       FIFO_BITS-1:0] oldest,
    input  logic signed [      TOTAL_BITS-1:0] total,
    output logic signed [       FIFO_BITS-1:0] newest,       // stage 6: what goes into the FIFO
    output logic signed [      TOTAL_BITS-1:0] new_total,
    input  logic signed [       NORM_BITS-1:0] norm_bias,    // stage 7
    input  logic signed [       READ_BITS-1:0] residual,     // stage 9
    output logic        [VALUES*EMIT_BITS-1:0] emitted       // stage 11
);
`include "pass_fields.svh"

  logic signed [CAST0_BITS-1:0] cast0, cast0_word;
  logic signed [SUM_BITS-1:0] summed;
  logic signed [SHIFT_BITS-1:0] shifted;
  logic signed [CAST1_BITS-1:0] cast1, cast1_word;
  logic signed [ADD_BITS-1:0] added;

  logic signed [AMOUNT_BITS-1:0] delta0, delta1, delta2;
  assign delta0 = delta_at == 1 ? AMOUNT_BITS'(delta) : '0;
  assign delta1 = delta_at == 2 ? AMOUNT_BITS'(delta) : '0;
  assign delta2 = delta_at == 3 ? AMOUNT_BITS'(delta) : '0;

  // stage 5: cast0
  if (HAS_CAST0 != 0) begin : g_cast0
    logic signed [AMOUNT_BITS-1:0] shift;
    assign shift = $signed(cast0_shift) + delta0;
    requantise #(
        .IN_BITS(ACC_BITS), .OUT_BITS(CAST0_BITS), .SHIFT_BITS(AMOUNT_BITS),
        .SHIFT_MIN(CAST0_MIN), .SHIFT_MAX(CAST0_MAX), .ROUNDING(ROUNDING), .OVERFLOW(OVERFLOW)
    ) u_cast (
        .value(sum), .shift(shift), .rounding(cast0_rounding), .overflow(cast0_overflow),
        .word_bits(cast0_bits), .is_signed(cast0_signed), .relu(cast0_relu), .word(cast0_word)
    );
    always_ff @(posedge clk) if (enable) cast0 <= cast0_on ? cast0_word : CAST0_BITS'(sum);
  end else begin : g_bare0
    assign cast0_word = '0;
    always_ff @(posedge clk) if (enable) cast0 <= CAST0_BITS'(sum);
  end

  // stage 6: temporal sum; before frame 0 of a clip everything is zero
  assign newest = cast0[FIFO_BITS-1:0];
  if (HAS_SUM != 0) begin : g_sum
    logic signed [TOTAL_BITS-1:0] previous, leaving;
    assign previous  = total_valid ? total : '0;
    assign leaving   = fifo_valid ? TOTAL_BITS'(oldest) : '0;
    assign new_total = previous + TOTAL_BITS'(newest) - leaving;
    always_ff @(posedge clk)
      if (enable) summed <= sum_on ? SUM_BITS'(new_total) : SUM_BITS'(cast0);
  end else begin : g_no_sum
    assign new_total = '0;
    always_ff @(posedge clk) if (enable) summed <= SUM_BITS'(cast0);
  end

  // stage 7: a scale that is a power of two, and a bias
  if (HAS_SHIFT != 0) begin : g_shift
    logic signed [SHIFT_BITS-1:0] scaled;
    assign scaled = SHIFT_BITS'(summed) <<< shift_left;
    always_ff @(posedge clk)
      if (enable) shifted <= shift_on ? scaled + SHIFT_BITS'(norm_bias) : SHIFT_BITS'(summed);
  end else begin : g_no_shift
    always_ff @(posedge clk) if (enable) shifted <= SHIFT_BITS'(summed);
  end

  // stage 8: cast1
  if (HAS_CAST1 != 0) begin : g_cast1
    logic signed [AMOUNT_BITS-1:0] shift;
    assign shift = $signed(cast1_shift) + delta1;
    requantise #(
        .IN_BITS(SHIFT_BITS), .OUT_BITS(CAST1_BITS), .SHIFT_BITS(AMOUNT_BITS),
        .SHIFT_MIN(CAST1_MIN), .SHIFT_MAX(CAST1_MAX), .ROUNDING(ROUNDING), .OVERFLOW(OVERFLOW)
    ) u_cast (
        .value(shifted), .shift(shift), .rounding(cast1_rounding), .overflow(cast1_overflow),
        .word_bits(cast1_bits), .is_signed(cast1_signed), .relu(cast1_relu), .word(cast1_word)
    );
    always_ff @(posedge clk) if (enable) cast1 <= cast1_on ? cast1_word : CAST1_BITS'(shifted);
  end else begin : g_bare1
    assign cast1_word = '0;
    always_ff @(posedge clk) if (enable) cast1 <= CAST1_BITS'(shifted);
  end

  // stage 9: residual, both operands aligned to the larger number of fractional bits
  if (HAS_ADD != 0) begin : g_add
    logic signed [ADD_BITS-1:0] own, other;
    assign own   = ADD_BITS'(cast1) <<< add_left;
    assign other = ADD_BITS'(residual) <<< residual_left;
    always_ff @(posedge clk) if (enable) added <= add_on ? own + other : ADD_BITS'(cast1);
  end else begin : g_no_add
    always_ff @(posedge clk) if (enable) added <= ADD_BITS'(cast1);
  end

  // stage 10: one cast for each memory of values
  for (genvar m = 0; m < VALUES; m++) begin : g_emit
    logic signed [EMIT_BITS-1:0] word, kept;
    logic signed [AMOUNT_BITS-1:0] shift;
    assign shift = $signed(emit_shift[m*AMOUNT_BITS+:AMOUNT_BITS]) + delta2;
    requantise #(
        .IN_BITS(ADD_BITS), .OUT_BITS(EMIT_BITS), .SHIFT_BITS(AMOUNT_BITS),
        .SHIFT_MIN(EMIT_MIN), .SHIFT_MAX(EMIT_MAX), .ROUNDING(ROUNDING), .OVERFLOW(OVERFLOW)
    ) u_cast (
        .value(added), .shift(shift), .rounding(emit_rounding[m*3+:3]),
        .overflow(emit_overflow[m*2+:2]), .word_bits(emit_bits[m*6+:6]),
        .is_signed(emit_signed[m]), .relu(emit_relu[m]), .word(word)
    );
    always_ff @(posedge clk) if (enable) kept <= emit_cast[m] ? word : EMIT_BITS'(added);
    assign emitted[m*EMIT_BITS+:EMIT_BITS] = kept;
  end
endmodule
