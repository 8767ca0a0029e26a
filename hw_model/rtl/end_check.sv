// Compares what a memory of the engine holds when a run has ended with a hex memory of eight digits
// of address before the words: a line for each address that was written, so that a write that went
// to a wrong place is found even where every write that was wanted came too.
module end_check #(
    parameter int WIDTH = 8
) ();
  localparam int DATA_BITS = ((WIDTH + 3) / 4) * 4;
  checked_file #(.WIDTH(32 + DATA_BITS)) file ();

  int wrong = 0;
  string label;

  task automatic load(input string folder, input string name);
    label = name;
    file.load(folder, name);
  endtask

  function automatic int address(input int at);
    logic [31+DATA_BITS:0] wanted;
    wanted  = file.word(at);
    address = int'(wanted[DATA_BITS+:32]);
  endfunction

  function automatic int compare(input int at, input logic [WIDTH-1:0] held);
    logic [31+DATA_BITS:0] wanted;
    wanted  = file.word(at);
    compare = 0;
    if (held !== wanted[WIDTH-1:0]) begin
      if (wrong == 0)
        $display("DIFFERENT %s line %0d is %h %h should be %h %h", label, at,
                 wanted[DATA_BITS+:32], held, wanted[DATA_BITS+:32], wanted[WIDTH-1:0]);
      wrong   = wrong + 1;
      compare = 1;
    end
  endfunction
endmodule
