// floor((number << bits | tail) / by) for a number of at most `by` and a tail of `bits` bits (where
// it is `by`, of zeros), one a cycle: `bits + 1` steps of compare, subtract and shift, a cycle each. Divisions of fewer bits than the most enter later, so
// that none waits for more steps than it needs; `bits` stays while any is under way.
module divider #(
    parameter int WIDTH = 17,   // of the divisor
    parameter int MOST_BITS = 15,
    parameter int TAG_BITS = 1
) (
    input  logic                 clk,
    input  logic                 rst,
    input  logic                 enable,
    input  logic [          5:0] bits,
    input  logic                 valid,
    input  logic [ TAG_BITS-1:0] tag,       // goes along
    input  logic [    WIDTH-1:0] number,
    input  logic [MOST_BITS-1:0] tail,
    input  logic [    WIDTH-1:0] by,
    output logic                 done,
    output logic [ TAG_BITS-1:0] done_tag,
    output logic [  MOST_BITS:0] quotient
);
  // before each step and behind the last: that there is something, the rest, and in one word what is
  // left of the tail above what is known of the quotient
  logic at[0:MOST_BITS+1];
  logic [TAG_BITS-1:0] tags[0:MOST_BITS+1];
  logic [WIDTH:0] rests[0:MOST_BITS+1];
  logic [WIDTH-1:0] divisors[0:MOST_BITS+1];
  logic [MOST_BITS:0] digits[0:MOST_BITS+1];
  assign at[0]       = 1'b0;
  assign tags[0]     = '0;
  assign rests[0]    = '0;
  assign divisors[0] = '0;
  assign digits[0]   = '0;

  for (genvar i = 0; i <= MOST_BITS; i++) begin : g_steps
    logic enters, fits, at_q;
    logic [TAG_BITS-1:0] tag_q;
    logic [WIDTH:0] rest, less, rest_q;
    logic [WIDTH-1:0] divisor, divisor_q;
    logic [MOST_BITS:0] known, digits_q;
    assign enters  = bits == 6'(MOST_BITS - i);
    assign rest    = enters ? {1'b0, number} : rests[i];
    assign divisor = enters ? by : divisors[i];
    assign known   = enters ? {1'b0, tail} << i : digits[i];
    assign fits    = rest >= {1'b0, divisor};
    assign less    = rest - (fits ? {1'b0, divisor} : '0);
    always_ff @(posedge clk) begin
      if (rst) at_q <= 1'b0;
      else if (enable) at_q <= enters ? valid : at[i];
      if (enable) begin
        tag_q     <= enters ? tag : tags[i];
        rest_q    <= {less[WIDTH-1:0], known[MOST_BITS-1]};
        divisor_q <= divisor;
        digits_q  <= {known[MOST_BITS-1:0], fits};
      end
    end
    assign at[i+1]       = at_q;
    assign tags[i+1]     = tag_q;
    assign rests[i+1]    = rest_q;
    assign divisors[i+1] = divisor_q;
    assign digits[i+1]   = digits_q;
  end
  assign done     = at[MOST_BITS+1];
  assign done_tag = tags[MOST_BITS+1];
  assign quotient = digits[MOST_BITS+1];
endmodule
