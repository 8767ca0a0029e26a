// A hex memory that the bench reads: one word a line. Simulators exit with 0 when such a file is
// missing or short, so this counts the lines and folds every word into a checksum, and stops the
// simulation with a message where either is not what the folder's `sums.txt` says: a line for each
// file, its name, words and checksum.
module checked_file #(
    parameter int WIDTH = 8
) ();
  localparam int FOLDS = (WIDTH + 31) / 32;
  logic [WIDTH-1:0] words[];
  int count = 0;

  function automatic logic [WIDTH-1:0] word(input int at);
    word = words[at];
  endfunction

  function automatic logic [31:0] folded(input logic [31:0] sum, input logic [WIDTH-1:0] word);
    logic [FOLDS*32-1:0] wide;
    wide   = (FOLDS * 32)'(word);
    folded = sum;
    for (int i = 0; i < FOLDS; i++)
      folded = {folded[30:0], folded[31]} ^ wide[i*32+:32];
  endfunction

  task automatic find(input string folder, input string name, output int needed,
                      output logic [31:0] checksum);
    int file, found;
    string entry;
    file = $fopen({folder, "/sums.txt"}, "r");
    if (file == 0) $fatal(1, "sums.txt: file is missing in %s", folder);
    found = $fscanf(file, "%s %d %h", entry, needed, checksum);
    while (found == 3 && entry != name)
      found = $fscanf(file, "%s %d %h", entry, needed, checksum);
    $fclose(file);
    if (found != 3) $fatal(1, "sums.txt: %s is not in it", name);
  endtask

  task automatic load(input string folder, input string name);
    int file, found, needed;
    logic [31:0] sum, checksum;
    logic [WIDTH-1:0] word;
    find(folder, name, needed, checksum);
    file = $fopen({folder, "/", name}, "r");
    if (file == 0) $fatal(1, "%s: file is missing", name);
    words = new[needed];
    sum = 0;
    count = 0;
    found = $fscanf(file, "%h", word);
    while (found == 1) begin
      if (count < needed) words[count] = word;
      sum = folded(sum, word);
      count = count + 1;
      found = $fscanf(file, "%h", word);
    end
    $fclose(file);
    if (count != needed) $fatal(1, "%s: has %0d words, %0d are needed", name, count, needed);
    if (sum !== checksum)
      $fatal(1, "%s: was altered: checksum %h, %h is needed", name, sum, checksum);
  endtask
endmodule
