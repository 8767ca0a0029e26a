// Self-checking bench of one engine; what it runs is in a folder of hex memories. Plusargs:
//   +folder=PATH   the folder of the run (default .)
//   +stall=1       apply the folder's stall patterns to both handshakes and the memory outside
//   +waves=FILE    write a waveform
// Without stalls every frame must end in exactly the cycle that the estimate says. Prints PASS and
// returns, or says every port's first difference and stops with $fatal.
`timescale 1ns / 1ps
module bench #(
`include "engine_params.svh"
) ();
  localparam int IN_BITS_ALL = LANES * IN_BITS;
  localparam int OUT_BITS_ALL = LANES * OUT_BITS;
  localparam int IN_DIGITS = ((IN_BITS_ALL + 3) / 4) * 4;

  logic clk = 0, rst = 1;
  always #5 clk = !clk;

  string folder, waves;
  logic stalling;
  int cycle = 0, late = 0, taken = 0, limit = 0;
  int first_cycle = 0, last_cycle = 0, took = 0, done_frames = 0, failed = 0;
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
  logic fetch_valid, fetch_ready, line_valid;
  logic [FETCH_BITS-1:0] fetch_line;
  logic [TILE_BITS-1:0] fetch_last;
  logic [LANES*W_BITS-1:0] line_data;
  engine dut (.*);

  // ---- files
  checked_file #(.WIDTH(PASS_BITS)) program_file ();
  checked_file #(.WIDTH(LANES * W_BITS)) weights_file ();
  checked_file #(.WIDTH(LANES * BIAS_BITS)) bias_file ();
  checked_file #(.WIDTH(LANES * NORM_BITS)) norm_file ();
  checked_file #(.WIDTH(EDGE_BITS)) edges_file ();
  checked_file #(.WIDTH(LANES * DELTA_BITS)) delta_file ();
  checked_file #(.WIDTH(20)) seeds_file ();
  checked_file #(.WIDTH(SHARE_ENTRY_BITS)) powers_file ();
  checked_file #(.WIDTH(32 + IN_DIGITS)) input_file ();
  checked_file #(.WIDTH(32)) cycles_file ();
  checked_file #(.WIDTH(3)) stalls_file ();
  checked_file #(.WIDTH(LANES * W_BITS)) outside_file ();
  checked_file #(.WIDTH(32)) source_file ();

  // ---- the memory outside: the first line after so many cycles, then one every so many
  logic [2:0] stall = 0;  // lines in, lines out, lines from outside
  int latency = 1, interval = 1, wait_left = 0, line_at = 0, lines_left = 0;
  assign fetch_ready = lines_left == 0 && !stall[2];
  always @(posedge clk) begin
    line_valid <= 0;
    if (fetch_valid && fetch_ready) begin
      line_at    <= int'(fetch_line);
      lines_left <= int'(fetch_last) + 1;
      wait_left  <= latency - 1;
      if (latency == 1) give_line(int'(fetch_line), int'(fetch_last) + 1);
    end else if (lines_left > 0) begin
      if (wait_left > 1) wait_left <= wait_left - 1;
      else if (!stall[2]) give_line(line_at, lines_left);
    end
  end

  task automatic give_line(input int at, input int left);
    line_valid <= 1;
    line_data  <= outside_file.word(at);
    line_at    <= at + 1;
    lines_left <= left - 1;
    wait_left  <= interval;
  endtask

  // ---- stimulus
  logic [31+IN_DIGITS:0] in_word = 0;
  assign in_valid  = running && taken < input_file.count && !stall[0];
  assign in_data   = in_word[IN_BITS_ALL-1:0];
  assign in_last   = in_word[IN_DIGITS];
  assign out_ready = running && !stall[1];

  // ---- every word that leaves, and every word that is written
  port_check #(.WIDTH(OUT_BITS_ALL)) outputs (
      .clk, .strobe(out_valid && out_ready), .address({31'(out_id), out_last}), .data(out_data));
`include "bench_ports.svh"

  always @(posedge clk) begin
    if (running) cycle <= cycle + 1;
    if (running && stalling) stall <= stalls_file.word(cycle % stalls_file.count);
    if (in_valid && in_ready) begin
      if (taken == 0) first_cycle <= cycle;
      taken <= taken + 1;
      if (taken + 1 < input_file.count) in_word <= input_file.word(taken + 1);
    end else if (!running && input_file.count != 0) in_word <= input_file.word(0);
    if (out_valid && out_ready) last_cycle <= cycle;
    if (running && frame_done) begin
      if (!stalling && done_frames < cycles_file.count
          && cycle - first_cycle + 1 != int'(cycles_file.word(done_frames))) begin
        if (late == 0)
          $display("CYCLES frame %0d ends after %0d cycles, should after %0d", done_frames,
                   cycle - first_cycle + 1, cycles_file.word(done_frames));
        late <= late + 1;
      end
      took <= cycle - first_cycle + 1;
      done_frames <= done_frames + 1;
    end
  end

  task automatic load_files();
    program_file.load(folder, "program.hex");
    weights_file.load(folder, "weights.hex");
    bias_file.load(folder, "bias.hex");
    norm_file.load(folder, "norm.hex");
    edges_file.load(folder, "edges.hex");
    delta_file.load(folder, "delta.hex");
    seeds_file.load(folder, "seeds.hex");
    powers_file.load(folder, "powers.hex");
    outside_file.load(folder, "outside.hex");
    input_file.load(folder, "input.hex");
    cycles_file.load(folder, "cycles.hex");
    stalls_file.load(folder, "stalls.hex");
    source_file.load(folder, "source.hex");
    latency  = int'(source_file.word(0));
    interval = int'(source_file.word(1));
    outputs.load(folder, "outputs.hex");
    load_ports();
    limit    = 4 * int'(cycles_file.word(cycles_file.count - 1)) + 10000;
  endtask

  // what drives the engine changes at the falling edge, away from what samples it
  task automatic boot(input logic [2:0] memory, input int at, input logic [BOOT_BITS-1:0] word);
    boot_valid  = 1;
    boot_memory = memory;
    boot_addr   = BOOT_ADDR_BITS'(at);
    boot_data   = word;
    @(negedge clk);
  endtask

  task automatic boot_all();
    for (int i = 0; i < program_file.count; i++) boot(0, i, BOOT_BITS'(program_file.word(i)));
    for (int i = 0; i < weights_file.count; i++) boot(1, i, BOOT_BITS'(weights_file.word(i)));
    for (int i = 0; i < bias_file.count; i++) boot(2, i, BOOT_BITS'(bias_file.word(i)));
    for (int i = 0; i < norm_file.count; i++) boot(3, i, BOOT_BITS'(norm_file.word(i)));
    for (int i = 0; i < edges_file.count; i++) boot(4, i, BOOT_BITS'(edges_file.word(i)));
    for (int i = 0; i < delta_file.count; i++) boot(5, i, BOOT_BITS'(delta_file.word(i)));
    for (int i = 0; i < seeds_file.count; i++) boot(6, i, BOOT_BITS'(seeds_file.word(i)));
    for (int i = 0; i < powers_file.count; i++) boot(7, i, BOOT_BITS'(powers_file.word(i)));
    boot_valid = 0;
    @(negedge clk);
  endtask

  initial begin
    if (!$value$plusargs("folder=%s", folder)) folder = ".";
    stalling = $test$plusargs("stall=1") != 0;
    if ($value$plusargs("waves=%s", waves)) begin
      $dumpfile(waves);
      $dumpvars(0, bench);
    end
    load_files();
    repeat (4) @(negedge clk);
    rst = 0;
    boot_all();
    running = 1;
    while (done_frames < cycles_file.count && cycle < limit) @(negedge clk);
    repeat (16) @(negedge clk);  // the last results leave, stalled or not
    while (outputs.seen < outputs.file.count && cycle < limit) @(negedge clk);
    finish();
  end

  task automatic finish();
    failed = outputs.failures() + late + port_failures();
    if (done_frames != cycles_file.count) begin
      $display("CYCLES %0d of %0d frames were done after %0d cycles", done_frames,
               cycles_file.count, cycle);
      failed = failed + 1;
    end
    $display("FRAMES %0d CYCLES %0d LATENCY %0d", done_frames, took, last_cycle - first_cycle + 1);
    if (failed != 0) $fatal(1, "FAIL: %0d differences", failed);
    $display("PASS: %0d output lines", outputs.seen);
    $finish;
  endtask
endmodule
