// floor((number << bits) / by) for a number of at most `by`, one a cycle: `bits + 1` steps of
// compare, subtract and double, a cycle each. Divisions of fewer bits than the most enter later, so
// that none waits for more steps than it needs; `bits` stays while any is under way.
module divider #(
    parameter int WIDTH = 17,   // of the divisor
    parameter int MOST_BITS = 15
) (
    input  logic                 clk,
    input  logic                 rst,
    input  logic                 enable,
    input  logic [          4:0] bits,
    input  logic                 valid,
    input  logic                 last,      // goes along
    input  logic [    WIDTH-1:0] number,
    input  logic [    WIDTH-1:0] by,
    output logic                 done,
    output logic                 done_last,
    output logic [  MOST_BITS:0] quotient
);
  // before each step and behind the last: that there is something, the rest, known quotient bits
  logic at[0:MOST_BITS+1], lasts[0:MOST_BITS+1];
  logic [WIDTH:0] rests[0:MOST_BITS+1];
  logic [WIDTH-1:0] divisors[0:MOST_BITS+1];
  logic [MOST_BITS:0] quotients[0:MOST_BITS+1];
  assign at[0]        = 1'b0;
  assign lasts[0]     = 1'b0;
  assign rests[0]     = '0;
  assign divisors[0]  = '0;
  assign quotients[0] = '0;

  for (genvar i = 0; i <= MOST_BITS; i++) begin : g_steps
    logic enters, fits, at_q, last_q;
    logic [WIDTH:0] rest, less, rest_q;
    logic [WIDTH-1:0] divisor, divisor_q;
    logic [MOST_BITS:0] known, quotient_q;
    assign enters  = bits == 5'(MOST_BITS - i);
    assign rest    = enters ? {1'b0, number} : rests[i];
    assign divisor = enters ? by : divisors[i];
    assign known   = enters ? '0 : quotients[i];
    assign fits    = rest >= {1'b0, divisor};
    assign less    = rest - (fits ? {1'b0, divisor} : '0);
    always_ff @(posedge clk) begin
      if (rst) at_q <= 1'b0;
      else if (enable) at_q <= enters ? valid : at[i];
      if (enable) begin
        last_q     <= enters ? last : lasts[i];
        rest_q     <= {less[WIDTH-1:0], 1'b0};
        divisor_q  <= divisor;
        quotient_q <= {known[MOST_BITS-1:0], fits};
      end
    end
    assign at[i+1]        = at_q;
    assign lasts[i+1]     = last_q;
    assign rests[i+1]     = rest_q;
    assign divisors[i+1]  = divisor_q;
    assign quotients[i+1] = quotient_q;
  end
  assign done      = at[MOST_BITS+1];
  assign done_last = lasts[MOST_BITS+1];
  assign quotient  = quotients[MOST_BITS+1];
endmodule
