// `engine_axis` with a run of `hw_model.rtl.bench_files`: input lines as AXI4-Stream transfers in, output
// lines out, both sides with gaps. What is left of an input line's last byte is not zero here. Checked:
// TDATA with its zeros, TKEEP, TLAST, TUSER of every transfer, that none is taken back or altered, and
// how many frames are done.
`timescale 1ns / 1ps
module axis_bench #(
`include "engine_params.svh"
) ();
  localparam int IN_DIGITS = ((LANES * IN_BITS + 3) / 4) * 4;
  localparam int OUT_DIGITS = ((LANES * OUT_BITS + 3) / 4) * 4;
  localparam int S_BITS = 8 * ((LANES * IN_BITS + 7) / 8);
  localparam int M_BITS = 8 * ((LANES * OUT_BITS + 7) / 8);

  logic aclk = 0, aresetn = 0;
  always #5 aclk = !aclk;

  logic boot_valid = 0;
  logic [2:0] boot_memory;
  logic [BOOT_ADDR_BITS-1:0] boot_addr;
  logic [BOOT_BITS-1:0] boot_data;
  logic fetch_valid, fetch_ready = 0, line_valid = 0;
  logic [FETCH_BITS-1:0] fetch_line;
  logic [TILE_BITS-1:0] fetch_last;
  logic [LANES*W_BITS-1:0] line_data = '0;
  logic s_axis_tvalid = 0, s_axis_tready, s_axis_tlast, m_axis_tvalid, m_axis_tready = 0;
  logic m_axis_tlast, frame_done;
  logic [S_BITS-1:0] s_axis_tdata;
  logic [M_BITS-1:0] m_axis_tdata;
  logic [M_BITS/8-1:0] m_axis_tkeep;
  logic [OUT_ID_BITS-1:0] m_axis_tuser;
  engine_axis dut (.*);

  checked_file #(.WIDTH(PASS_BITS)) program_file ();
  checked_file #(.WIDTH(LANES * W_BITS)) weights_file ();
  checked_file #(.WIDTH(LANES * BIAS_BITS)) bias_file ();
  checked_file #(.WIDTH(LANES * NORM_BITS)) norm_file ();
  checked_file #(.WIDTH(EDGE_BITS)) edges_file ();
  checked_file #(.WIDTH(LANES * DELTA_BITS)) delta_file ();
  checked_file #(.WIDTH(32 + IN_DIGITS)) input_file ();
  checked_file #(.WIDTH(32 + OUT_DIGITS)) outputs_file ();
  checked_file #(.WIDTH(32)) cycles_file ();
  checked_file #(.WIDTH(3)) stalls_file ();
  checked_file #(.WIDTH(LANES * W_BITS)) outside_file ();

  string folder;
  int cycle = 0, limit = 0, taken = 0, seen = 0, frames = 0, wrong = 0;
  logic running = 0, waits = 0, stall_in, stall_out, stall_fetch = 0;
  logic [31+IN_DIGITS:0] line;
  logic [31+OUT_DIGITS:0] wanted;
  logic [M_BITS+M_BITS/8+OUT_ID_BITS:0] given, held;
  assign given = {m_axis_tlast, m_axis_tuser, m_axis_tkeep, m_axis_tdata};

  // ---- weights from outside, as far as a run has any: lines in order, with gaps
  int line_at = 0, lines_left = 0;
  always @(negedge aclk) begin
    fetch_ready = lines_left == 0 && !stall_fetch;
    line_valid  = lines_left > 0 && cycle % 5 != 0;
    if (line_valid) begin
      line_data  = outside_file.word(line_at);
      line_at    = line_at + 1;
      lines_left = lines_left - 1;
    end
  end
  always @(posedge aclk)
    if (running && fetch_valid && fetch_ready) begin
      line_at = int'(fetch_line);
      lines_left = int'(fetch_last) + 1;
    end

  // ---- a transfer that is offered stays until it is taken
  always @(negedge aclk)
    if (running) begin
      if (s_axis_tvalid && was_taken) taken = taken + 1;
      cycle = cycle + 1;
      {stall_fetch, stall_out, stall_in} = stalls_file.word(cycle % stalls_file.count);
      m_axis_tready = !stall_out;
      if (!(s_axis_tvalid && !was_taken)) s_axis_tvalid = taken < input_file.count && !stall_in;
      s_axis_tdata = '1;
      s_axis_tlast = 'x;
      if (s_axis_tvalid) begin
        line = input_file.word(taken);
        s_axis_tdata[LANES*IN_BITS-1:0] = line[LANES*IN_BITS-1:0];
        s_axis_tlast = line[IN_DIGITS];
      end
    end
  logic was_taken = 0;
  always @(posedge aclk) was_taken = s_axis_tvalid && s_axis_tready;

  always @(posedge aclk)
    if (running) begin
      if (frame_done) frames = frames + 1;
      if (waits && (!m_axis_tvalid || given !== held)) say("transfer altered");
      waits  = m_axis_tvalid && !m_axis_tready;
      held   = given;
      if (m_axis_tvalid && m_axis_tready) begin
        wanted = seen < outputs_file.count ? outputs_file.word(seen) : 'x;
        if (m_axis_tdata !== M_BITS'(wanted[LANES*OUT_BITS-1:0])) say("tdata");
        if (m_axis_tkeep !== '1) say("tkeep");
        if (m_axis_tlast !== wanted[OUT_DIGITS]) say("tlast");
        if (m_axis_tuser !== wanted[OUT_DIGITS+1+:OUT_ID_BITS]) say("tuser");
        seen = seen + 1;
      end
    end

  task automatic say(input string what);
    if (wrong == 0)
      $display("DIFFERENT %s of transfer %0d: tdata %h tkeep %h tlast %b tuser %0d", what, seen,
               m_axis_tdata, m_axis_tkeep, m_axis_tlast, m_axis_tuser);
    wrong = wrong + 1;
  endtask

  task automatic boot(input logic [2:0] memory, input int at, input logic [BOOT_BITS-1:0] word);
    boot_valid  = 1;
    boot_memory = memory;
    boot_addr   = BOOT_ADDR_BITS'(at);
    boot_data   = word;
    @(negedge aclk);
    boot_valid = 0;
  endtask

  initial begin
    if (!$value$plusargs("folder=%s", folder)) folder = ".";
    program_file.load(folder, "program.hex");
    weights_file.load(folder, "weights.hex");
    bias_file.load(folder, "bias.hex");
    norm_file.load(folder, "norm.hex");
    edges_file.load(folder, "edges.hex");
    delta_file.load(folder, "delta.hex");
    input_file.load(folder, "input.hex");
    outputs_file.load(folder, "outputs.hex");
    cycles_file.load(folder, "cycles.hex");
    stalls_file.load(folder, "stalls.hex");
    outside_file.load(folder, "outside.hex");
    repeat (4) @(negedge aclk);
    aresetn = 1;
    for (int i = 0; i < program_file.count; i++) boot(0, i, BOOT_BITS'(program_file.word(i)));
    for (int i = 0; i < weights_file.count; i++) boot(1, i, BOOT_BITS'(weights_file.word(i)));
    for (int i = 0; i < bias_file.count; i++) boot(2, i, BOOT_BITS'(bias_file.word(i)));
    for (int i = 0; i < norm_file.count; i++) boot(3, i, BOOT_BITS'(norm_file.word(i)));
    for (int i = 0; i < edges_file.count; i++) boot(4, i, BOOT_BITS'(edges_file.word(i)));
    for (int i = 0; i < delta_file.count; i++) boot(5, i, BOOT_BITS'(delta_file.word(i)));
    running = 1;
    limit   = 6 * int'(cycles_file.word(cycles_file.count - 1)) + 10000;
    while ((seen < outputs_file.count || frames < cycles_file.count) && cycle < limit)
      @(negedge aclk);
    repeat (200) @(negedge aclk);
    if (seen != outputs_file.count || frames != cycles_file.count)
      $fatal(1, "FAIL: %0d of %0d transfers, %0d of %0d frames", seen, outputs_file.count, frames,
             cycles_file.count);
    if (wrong != 0) $fatal(1, "FAIL: %0d differences", wrong);
    $display("PASS: %0d words", seen);
    $finish;
  end
endmodule
