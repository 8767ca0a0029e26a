// One cast of the arithmetic: round, overflow, then (if asked) ReLU. Purely combinational.
//
// `value * 2**-shift` is rounded to an integer and brought into the range of `word_bits` bits. A
// negative shift is an exact left shift. Modes are those of docs/arithmetic.md, numbered in its
// order; ROUNDING or OVERFLOW of 0 and more fix a mode, so that synthesis drops the others.
module requantise #(
    parameter int IN_BITS = 16,
    parameter int OUT_BITS = 8,
    parameter int SHIFT_MIN = 0,
    parameter int SHIFT_MAX = 15,
    parameter int SHIFT_BITS = 6,
    parameter int ROUNDING = -1,
    parameter int OVERFLOW = -1
) (
    input  logic signed [   IN_BITS-1:0] value,
    input  logic signed [SHIFT_BITS-1:0] shift,
    input  logic        [           2:0] rounding,
    input  logic        [           1:0] overflow,
    input  logic        [           5:0] word_bits,
    input  logic                         is_signed,
    input  logic                         relu,
    output logic signed [  OUT_BITS-1:0] word
);
  localparam int LEFT = SHIFT_MIN < 0 ? -SHIFT_MIN : 0;
  localparam int RIGHT = (SHIFT_MAX > 0 ? SHIFT_MAX : 0) + LEFT;  // most of the one right shift
  localparam int AMOUNT_BITS = $clog2(RIGHT + 2);
  localparam int SUM_BITS = (IN_BITS + LEFT > RIGHT ? IN_BITS + LEFT : RIGHT) + 2;
  localparam int WIDE_BITS = (SUM_BITS > OUT_BITS ? SUM_BITS : OUT_BITS) + 1;

  localparam logic [2:0] TRN = 0, TRN_ZERO = 1, RND = 2, RND_ZERO = 3, RND_INF = 4;
  localparam logic [2:0] RND_MIN_INF = 5, RND_CONV = 6;
  localparam logic [1:0] SAT = 0, SAT_ZERO = 1, SAT_SYM = 2, WRAP = 3;

  logic [2:0] mode;
  logic [1:0] beyond;
  assign mode   = ROUNDING < 0 ? rounding : ROUNDING[2:0];
  assign beyond = OVERFLOW < 0 ? overflow : OVERFLOW[1:0];

  logic [AMOUNT_BITS-1:0] amount;
  logic signed [SUM_BITS-1:0] aligned, one, half, offset, rounded;
  logic negative, odd;
  assign amount   = (SHIFT_MIN == SHIFT_MAX) ? AMOUNT_BITS'(SHIFT_MAX + LEFT)
                                             : AMOUNT_BITS'($signed(shift) + LEFT);
  assign aligned  = SUM_BITS'(value) <<< LEFT;
  assign one      = SUM_BITS'(1) << amount;
  assign half     = one >>> 1;
  assign negative = value[IN_BITS-1];
  assign odd      = |(aligned & one);

  // what is added before the bits below the lsb are dropped; nothing where there are none
  always_comb begin
    case (mode)
      TRN:         offset = '0;
      TRN_ZERO:    offset = negative ? one - 1 : '0;
      RND:         offset = half;
      RND_ZERO:    offset = half - SUM_BITS'(!negative);
      RND_INF:     offset = half - SUM_BITS'(negative);
      RND_MIN_INF: offset = half - 1;
      default:     offset = half - SUM_BITS'(!odd);
    endcase
    if (amount == 0) offset = '0;
  end
  assign rounded = (aligned + offset) >>> amount;

  logic signed [WIDE_BITS-1:0] wide, high, low, least, fitted, wrapped, mask;
  assign wide = WIDE_BITS'(rounded);
  assign mask = (WIDE_BITS'(1) << word_bits) - 1;
  assign high = is_signed ? mask >>> 1 : mask;
  assign low  = is_signed ? ~high : '0;
  assign least = beyond == SAT_SYM && is_signed ? -high : low;
  assign wrapped = is_signed && |(wide & (high + 1)) ? wide | ~mask : wide & mask;

  always_comb begin
    fitted = wide;
    if (beyond == WRAP) fitted = wrapped;
    else if (wide > high) fitted = beyond == SAT_ZERO ? '0 : high;
    else if (wide < least) fitted = beyond == SAT_ZERO ? '0 : least;
    if (relu && fitted < 0) fitted = '0;
  end
  assign word = fitted[OUT_BITS-1:0];
endmodule
