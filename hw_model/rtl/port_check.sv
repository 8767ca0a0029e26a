// Compares every line that a port of the engine has, and where it goes, with a hex memory of eight
// digits of address before the words. Differences count; the first is said at once, with its number.
module port_check #(
    parameter int WIDTH = 8
) (
    input logic             clk,
    input logic             strobe,
    input logic [     31:0] address,
    input logic [WIDTH-1:0] data
);
  localparam int DATA_BITS = ((WIDTH + 3) / 4) * 4;
  checked_file #(.WIDTH(32 + DATA_BITS)) file ();

  int seen = 0, wrong = 0;
  string label;

  task automatic load(input string folder, input string name);
    label = name;
    file.load(folder, name);
  endtask

  logic [31+DATA_BITS:0] wanted;

  // blocking: the words come from another module's memory, which no simulator watches as a whole
  always @(posedge clk)
    if (strobe) begin
      if (seen >= file.count) begin
        if (wrong == 0)
          $display("DIFFERENT %s line %0d is %h %h, should not be", label, seen, address, data);
        wrong = wrong + 1;
      end else begin
        wanted = file.word(seen);
        if (address !== wanted[DATA_BITS+:32] || data !== wanted[WIDTH-1:0]) begin
          if (wrong == 0)
            $display("DIFFERENT %s line %0d is %h %h should be %h %h", label, seen, address, data,
                     wanted[DATA_BITS+:32], wanted[WIDTH-1:0]);
          wrong = wrong + 1;
        end
      end
      seen = seen + 1;
    end

  function automatic int failures();
    failures = wrong;
    if (seen != file.count) begin
      $display("DIFFERENT %s has %0d lines, should have %0d", label, seen, file.count);
      failures = failures + 1;
    end
  endfunction
endmodule
