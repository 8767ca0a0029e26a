// A hex memory that the bench reads: one word a line. Simulators exit with 0 when such a file is
// missing or short, so this counts the lines and folds every word into a checksum, and stops the
// simulation with a message where either is not what the bundle says.
module checked_file #(
    parameter int WIDTH = 8,
    parameter int COUNT = 1,
    parameter logic [31:0] CHECKSUM = 0
) ();
  localparam int FOLDS = (WIDTH + 31) / 32;
  logic [WIDTH-1:0] words[0:COUNT-1];

  function automatic logic [31:0] folded(input logic [31:0] sum, input logic [WIDTH-1:0] word);
    logic [FOLDS*32-1:0] wide;
    wide   = (FOLDS * 32)'(word);
    folded = sum;
    for (int i = 0; i < FOLDS; i++)
      folded = {folded[30:0], folded[31]} ^ wide[i*32+:32];
  endfunction

  task automatic load(input string folder, input string name);
    int file, found, count;
    logic [31:0] sum;
    logic [WIDTH-1:0] word;
    file = $fopen({folder, "/", name}, "r");
    if (file == 0) $fatal(1, "%s: file is missing", name);
    sum = 0;
    count = 0;
    found = $fscanf(file, "%h", word);
    while (found == 1) begin
      if (count < COUNT) words[count] = word;
      sum = folded(sum, word);
      count = count + 1;
      found = $fscanf(file, "%h", word);
    end
    $fclose(file);
    if (count != COUNT) $fatal(1, "%s: has %0d words, %0d are needed", name, count, COUNT);
    if (sum !== CHECKSUM)
      $fatal(1, "%s: was altered: checksum %h, %h is needed", name, sum, CHECKSUM);
  endtask
endmodule
