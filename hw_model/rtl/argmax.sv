// Index of the largest of the words that pass, one a cycle; ties go to the first.
module argmax #(
    parameter int X_BITS = 8,
    parameter int INDEX_BITS = 8
) (
    input  logic                         clk,
    input  logic                         enable,
    input  logic                         add,
    input  logic                         first,
    input  logic signed [    X_BITS-1:0] x,
    output logic        [INDEX_BITS-1:0] index
);
  logic signed [X_BITS-1:0] best;
  logic [INDEX_BITS-1:0] at;  // of the word that comes next
  logic better;
  assign better = first || x > best;

  always_ff @(posedge clk)
    if (enable && add) begin
      at <= first ? INDEX_BITS'(1) : at + 1;
      if (better) begin
        best  <= x;
        index <= first ? '0 : at;
      end
    end
endmodule
