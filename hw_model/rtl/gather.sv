// Makes lines of words that come one a time, lane 0 first; `last` ends a line, the lanes that got none
// are zero. `result` says that a line stands in the next cycle.
module gather #(
    parameter int LANES = 8,
    parameter int WIDTH = 16
) (
    input  logic                   clk,
    input  logic                   rst,
    input  logic                   enable,
    input  logic                   valid,
    input  logic                   last,
    input  logic [      WIDTH-1:0] word,
    output logic                   result,
    output logic [LANES*WIDTH-1:0] words
);
  logic [LANES-1:0] place;  // of the next word, one hot
  assign result = valid && last;
  always_ff @(posedge clk)
    if (rst) place <= LANES'(1);
    else if (enable && valid) place <= last ? LANES'(1) : place << 1;
  for (genvar n = 0; n < LANES; n++) begin : g_lanes
    logic [WIDTH-1:0] kept;
    always_ff @(posedge clk)
      if (enable && valid) begin
        if (place[n]) kept <= word;
        else if (place[0]) kept <= '0;
      end
    assign words[n*WIDTH+:WIDTH] = kept;
  end
endmodule
