// Self-checking bench of a bundle. Plusargs:
//   +folder=PATH   where the bundle's `rtl` folder is (default .)
//   +stall=1       apply the bundle's stall patterns to both handshakes
//   +waves=FILE    write a waveform
// Without stalls every frame must end in exactly the cycle that the estimate says. Prints PASS and
// returns, or says every port's first difference and stops with $fatal.
`timescale 1ns / 1ps
module bench #(
`include "engine_params.svh"
) ();
`include "bench_params.svh"
  localparam int IN_BITS_ALL = LANES * IN_BITS;
  localparam int OUT_BITS_ALL = LANES * OUT_BITS;
  localparam int IN_DIGITS = ((IN_BITS_ALL + 3) / 4) * 4;

  logic clk = 0, rst = 1;
  always #5 clk = !clk;

  string folder, waves;
  logic stalling;
  int cycle = 0, late = 0, taken = 0;
  int first_cycle = 0, last_cycle = 0, done_frames = 0, failed = 0;
  logic running = 0;

  // ---- the engine
  logic boot_valid = 0;
  logic [2:0] boot_memory = 0;
  logic [BOOT_ADDR_BITS-1:0] boot_addr = 0;
  logic [BOOT_BITS-1:0] boot_data = 0;
  logic in_valid, in_ready, in_last, out_valid, out_ready, out_last, frame_done;
  logic [IN_BITS_ALL-1:0] in_data;
  logic [OUT_BITS_ALL-1:0] out_data;
  logic [OUT_ID_BITS-1:0] out_id;
  engine dut (.*);

  // ---- files
  checked_file #(.WIDTH(PASS_BITS), .COUNT(PROGRAM_COUNT), .CHECKSUM(PROGRAM_SUM)) program_file ();
  checked_file #(.WIDTH(LANES * W_BITS), .COUNT(WEIGHTS_COUNT), .CHECKSUM(WEIGHTS_SUM)) weights_file ();
  checked_file #(.WIDTH(LANES * BIAS_BITS), .COUNT(BIAS_COUNT), .CHECKSUM(BIAS_SUM)) bias_file ();
  checked_file #(.WIDTH(LANES * NORM_BITS), .COUNT(NORM_COUNT), .CHECKSUM(NORM_SUM)) norm_file ();
  checked_file #(.WIDTH(EDGE_BITS), .COUNT(EDGES_COUNT), .CHECKSUM(EDGES_SUM)) edges_file ();
  checked_file #(.WIDTH(LANES * DELTA_BITS), .COUNT(DELTA_COUNT), .CHECKSUM(DELTA_SUM)) delta_file ();
  checked_file #(.WIDTH(32 + IN_DIGITS), .COUNT(INPUT_COUNT), .CHECKSUM(INPUT_SUM)) input_file ();
  checked_file #(.WIDTH(32), .COUNT(CYCLES_COUNT), .CHECKSUM(CYCLES_SUM)) cycles_file ();
  checked_file #(.WIDTH(2), .COUNT(STALLS_COUNT), .CHECKSUM(STALLS_SUM)) stalls_file ();

  // ---- stimulus
  logic [1:0] stall = 0;
  logic [31+IN_DIGITS:0] in_word = 0;
  assign in_valid  = running && taken < INPUT_COUNT && !stall[0];
  assign in_data   = in_word[IN_BITS_ALL-1:0];
  assign in_last   = in_word[IN_DIGITS];
  assign out_ready = running && !stall[1];

  task automatic next_word(input int at);
    if (at < INPUT_COUNT) in_word <= input_file.words[at];
  endtask

  // ---- every word that leaves, and every word that is written
  port_check #(.WIDTH(OUT_BITS_ALL), .COUNT(OUTPUTS_COUNT), .CHECKSUM(OUTPUTS_SUM)) outputs (
      .clk, .strobe(out_valid && out_ready), .address({31'(out_id), out_last}), .data(out_data));
`include "bench_ports.svh"

  always @(posedge clk) begin
    if (running) cycle <= cycle + 1;
    if (running && stalling) stall <= stalls_file.words[cycle % STALLS_COUNT];
    if (in_valid && in_ready) begin
      if (taken == 0) first_cycle <= cycle;
      taken <= taken + 1;
      next_word(taken + 1);
    end
    if (out_valid && out_ready) last_cycle <= cycle;
    if (running && frame_done) begin
      if (!stalling && done_frames < CYCLES_COUNT
          && cycle - first_cycle + 1 != int'(cycles_file.words[done_frames])) begin
        if (late == 0)
          $display("CYCLES frame %0d ends after %0d cycles, should after %0d", done_frames,
                   cycle - first_cycle + 1, cycles_file.words[done_frames]);
        late <= late + 1;
      end
      done_frames <= done_frames + 1;
    end
  end

  task automatic boot(input logic [2:0] memory, input int at, input logic [BOOT_BITS-1:0] word);
    boot_valid  <= 1;
    boot_memory <= memory;
    boot_addr   <= BOOT_ADDR_BITS'(at);
    boot_data   <= word;
    @(posedge clk);
  endtask

  task automatic load_files();
    program_file.load(folder, "program.hex");
    weights_file.load(folder, "weights.hex");
    bias_file.load(folder, "bias.hex");
    norm_file.load(folder, "norm.hex");
    edges_file.load(folder, "edges.hex");
    delta_file.load(folder, "delta.hex");
    input_file.load(folder, "input.hex");
    cycles_file.load(folder, "cycles.hex");
    stalls_file.load(folder, "stalls.hex");
    outputs.load(folder, "outputs.hex");
    load_ports();
  endtask

  task automatic boot_all();
    for (int i = 0; i < PROGRAM_WORDS; i++) boot(0, i, BOOT_BITS'(program_file.words[i]));
    for (int i = 0; i < WEIGHTS_WORDS; i++) boot(1, i, BOOT_BITS'(weights_file.words[i]));
    for (int i = 0; i < BIAS_WORDS; i++) boot(2, i, BOOT_BITS'(bias_file.words[i]));
    for (int i = 0; i < NORM_WORDS; i++) boot(3, i, BOOT_BITS'(norm_file.words[i]));
    for (int i = 0; i < EDGES_WORDS; i++) boot(4, i, BOOT_BITS'(edges_file.words[i]));
    for (int i = 0; i < DELTA_WORDS; i++) boot(5, i, BOOT_BITS'(delta_file.words[i]));
    boot_valid <= 0;
    @(posedge clk);
  endtask

  initial begin
    if (!$value$plusargs("folder=%s", folder)) folder = ".";
    stalling = $test$plusargs("stall=1") != 0;
    if ($value$plusargs("waves=%s", waves)) begin
      $dumpfile(waves);
      $dumpvars(0, bench);
    end
    load_files();
    repeat (4) @(posedge clk);
    rst <= 0;
    @(posedge clk);
    boot_all();
    next_word(0);
    running <= 1;
    while (done_frames < CYCLES_COUNT && cycle < LIMIT) @(posedge clk);
    repeat (16) @(posedge clk);  // the last results leave, stalled or not
    while (outputs.seen < OUTPUTS_COUNT && cycle < LIMIT) @(posedge clk);
    finish();
  end

  task automatic finish();
    failed = outputs.failures() + late + port_failures();
    if (done_frames != CYCLES_COUNT) begin
      $display("CYCLES %0d of %0d frames were done after %0d cycles", done_frames, CYCLES_COUNT,
               cycle);
      failed = failed + 1;
    end
    $display("FRAMES %0d CYCLES %0d FIRST %0d LAST %0d", done_frames, cycle, first_cycle,
             last_cycle);
    if (failed != 0) $fatal(1, "FAIL: %0d differences", failed);
    $display("PASS: %0d output lines", outputs.seen);
    $finish;
  endtask
endmodule
