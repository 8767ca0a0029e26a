// One digit of a wide operand, for a multiplier that is narrower: digit 0 is the lowest. `low` takes
// STEP bits without a sign, otherwise it is the topmost digit. What lies above X_BITS is the word's
// own: no multiplier reads it, but a word that only passes has it.
module operand_digit #(
    parameter int READ_BITS = 16,
    parameter int X_BITS = 8,
    parameter int DIGITS = 2,
    parameter int DIGIT_BITS = 1,
    parameter int STEP = 6
) (
    input  logic signed [ READ_BITS-1:0] word,
    input  logic        [DIGIT_BITS-1:0] digit,
    input  logic                         low,
    output logic signed [ READ_BITS-1:0] x
);
  logic signed [READ_BITS-1:0] moved;

  always_comb begin
    moved = word;
    for (int d = 1; d < DIGITS; d++) if (32'(digit) == d) moved = word >>> (d * STEP);
    x = word;
    x[X_BITS-1:0] = low ? X_BITS'(moved[STEP-1:0]) : moved[X_BITS-1:0];
  end
endmodule
