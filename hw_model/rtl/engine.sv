// The accelerator: LANES multiply-accumulators, a pipeline of post-processing slots behind each, and
// a sequencer that runs the passes of a program, layer after layer, one frame in flight.
// docs/rtl.md describes the pipeline, the memories and every cycle.
//
// Frames come in as lines of LANES words: joint by joint, channels in groups of LANES, lane 0 in the
// least significant bits. `in_last` marks the last line of a clip. Outputs leave as lines of LANES
// words, group by group and joint by joint; `out_id` says which output it is. The boot port fills
// the constant memories before the first frame.
module engine #(
`include "engine_params.svh"
) (
    input  logic                       clk,
    input  logic                       rst,
    input  logic                       boot_valid,
    input  logic [                2:0] boot_memory,
    input  logic [ BOOT_ADDR_BITS-1:0] boot_addr,
    input  logic [      BOOT_BITS-1:0] boot_data,
    // weights from outside: a request of some lines from `fetch_line` on, then the lines in order
    output logic                       fetch_valid,
    input  logic                       fetch_ready,
    output logic [     FETCH_BITS-1:0] fetch_line,
    output logic [      TILE_BITS-1:0] fetch_last,
    input  logic                       line_valid,
    input  logic [   LANES*W_BITS-1:0] line_data,
    input  logic                       in_valid,
    output logic                       in_ready,
    input  logic [  LANES*IN_BITS-1:0] in_data,
    input  logic                       in_last,
    output logic                       out_valid,
    input  logic                       out_ready,
    output logic [ LANES*OUT_BITS-1:0] out_data,
    output logic [    OUT_ID_BITS-1:0] out_id,
    output logic                       out_last,     // of this output's frame
    output logic                       frame_done    // a frame's last pass has ended
);
  localparam logic [2:0] BOOT_PROGRAM = 0, BOOT_WEIGHTS = 1, BOOT_BIAS = 2, BOOT_NORM = 3;
  localparam logic [2:0] BOOT_EDGES = 4, BOOT_DELTA = 5, BOOT_SEEDS = 6, BOOT_POWERS = 7;

  logic [PASS_BITS-1:0] pass_word, pass_next;
`include "pass_fields.svh"
`include "in_fields.svh"

  logic enable;
  assign enable = !(out_valid && !out_ready);

  // ---- the sequencer and its program
  logic load, pass_start, op_valid, op_first, op_last, op_zero, op_end, fifo_valid, total_valid;
  logic op_low, op_up, op_side;
  logic [DIGIT_BITS-1:0] op_digit;
  logic [1:0] op_sweep;
  logic [TIME_BITS-1:0] total_frames;
  logic [VALUE_ADDR_BITS-1:0] load_addr, op_line, add_off;
  logic [PC_BITS-1:0] pc;
  logic [LANE_BITS-1:0] op_lane;
  logic [W_ADDR_BITS-1:0] op_weight;
  logic [TILE_BITS-1:0] op_tile;
  logic tile_ready, tile_side, block_done;
  logic [B_ADDR_BITS-1:0] op_bias;
  logic [E_ADDR_BITS-1:0] op_edge;
  logic [VALUES*VALUE_ADDR_BITS-1:0] emit_off;
  logic [F_ADDR_BITS-1:0] fifo_off;
  logic [T_ADDR_BITS-1:0] total_off;

  sequencer u_sequencer (.*);

  logic [PASS_BITS-1:0] program_words[0:PASSES-1];
  always_ff @(posedge clk)
    if (boot_valid && boot_memory == BOOT_PROGRAM)
      program_words[boot_addr[PC_BITS-1:0]] <= boot_data[PASS_BITS-1:0];
  assign pass_next = program_words[pc];

  // ---- stage 1: addresses
  logic v1, first1, last1, zero1, low1, up1, side1, edge_first;
  logic [DIGIT_BITS-1:0] digit1;
  logic [VALUE_ADDR_BITS-1:0] line1, x_addr;
  logic [LANE_BITS-1:0] lane1;
  logic [W_ADDR_BITS-1:0] weight1;
  logic [B_ADDR_BITS-1:0] bias1;
  logic [EDGE_BITS-1:0] edge1;
  logic edge_last1;
  logic [SOURCE_BITS-1:0] source1;
  logic signed [COEF_BITS-1:0] coef1;
  assign {edge_last1, source1, coef1} = edge1;

  ram #(.WIDTH(EDGE_BITS), .DEPTH(EDGES), .ADDR_BITS(E_ADDR_BITS)) u_edges (
      .clk, .write(boot_valid && boot_memory == BOOT_EDGES),
      .write_addr(boot_addr[E_ADDR_BITS-1:0]), .write_data(boot_data[EDGE_BITS-1:0]),
      .read(enable), .read_addr(op_edge), .read_data(edge1)
  );
  assign x_addr = x_base + line1 + (mode == MODE_EDGES ? VALUE_ADDR_BITS'(source1) : '0);

  always_ff @(posedge clk) begin
    if (rst) v1 <= 1'b0;
    else if (enable) v1 <= op_valid;
    if (enable) begin
      first1 <= op_first;
      last1 <= op_last;
      zero1 <= op_zero;
      {digit1, low1, up1, side1} <= {op_digit, op_low, op_up, op_side};
      lane1 <= op_lane;
      line1 <= op_line;
      weight1 <= op_weight;
      bias1 <= op_bias;
      if (pass_start) edge_first <= 1'b1;
      else if (v1) edge_first <= edge_last1;
    end
  end

  // ---- stage 2: words come out of the memories
  logic v2, first2, last2, zero2, low2, up2, side2;
  logic [DIGIT_BITS-1:0] digit2;
  logic [LANE_BITS-1:0] lane2;
  logic [B_ADDR_BITS-1:0] bias2;
  logic signed [COEF_BITS-1:0] coef2;
  logic [LANES*W_BITS-1:0] weights2;

  always_ff @(posedge clk) begin
    if (rst) v2 <= 1'b0;
    else if (enable) v2 <= v1;
    if (enable) begin
      first2 <= mode == MODE_EDGES ? edge_first : first1;
      last2 <= mode == MODE_EDGES ? edge_last1 : last1;
      zero2 <= zero1;
      {digit2, low2, up2, side2} <= {digit1, low1, up1, side1};
      lane2 <= lane1;
      bias2 <= bias1;
      coef2 <= coef1;
    end
  end

  ram #(.WIDTH(LANES * W_BITS), .DEPTH(WEIGHTS), .ADDR_BITS(W_ADDR_BITS)) u_weights (
      .clk, .write(boot_valid && boot_memory == BOOT_WEIGHTS),
      .write_addr(boot_addr[W_ADDR_BITS-1:0]), .write_data(boot_data[LANES*W_BITS-1:0]),
      .read(enable), .read_addr(weight1), .read_data(weights2)
  );

  // ---- weights that stream in from outside
  logic [LANES*W_BITS-1:0] tile2, lines2;
  if (HAS_TILES != 0) begin : g_tiles
    logic write;
    logic [TILE_BITS:0] write_addr, tile1;
    tiles u_tiles (
        .clk, .rst, .enable, .pass_start(pass_start && weight_off), .first_line(fetch_base),
        .tile_last, .blocks_last, .block_done, .tile_ready, .tile_side,
        .fetch_valid, .fetch_ready, .fetch_line, .fetch_last, .line_valid, .write, .write_addr
    );
    always_ff @(posedge clk) if (enable) tile1 <= {tile_side, op_tile};
    ram #(.WIDTH(LANES * W_BITS), .DEPTH(2 << TILE_BITS), .ADDR_BITS(TILE_BITS + 1)) u_ram (
        .clk, .write, .write_addr, .write_data(line_data),
        .read(enable), .read_addr(tile1), .read_data(tile2)
    );
    assign lines2 = weight_off ? tile2 : weights2;
  end else begin : g_no_tiles
    assign {tile_ready, tile_side, tile2} = '0;
    assign {fetch_valid, fetch_line, fetch_last} = '0;
    assign lines2 = weights2;
  end

  // ---- memories of values: the operand of a pass from one, its residual from another
  logic [VALUES*LANES*READ_BITS-1:0] words;  // memory after memory, lane after lane
  logic [VALUE_ADDR_BITS-1:0] residual_addr;
  logic v11, out11;
  logic [VALUES-1:0] write11;
  logic [MEMORY_BITS-1:0] memory11;
  logic [VALUE_ADDR_BITS-1:0] emit_addr[0:VALUES-1];
  logic [LANES*VALUES*EMIT_BITS-1:0] emitted;  // lane after lane, within a lane memory after memory

  for (genvar m = 0; m < VALUES; m++) begin : g_values
    localparam int BITS = VALUE_WIDTHS[m*32+:32];
    localparam int LINES = VALUE_LINES[m*32+:32];
    localparam logic [MEMORY_BITS-1:0] OWN = MEMORY_BITS'(m);
    logic [LANES*BITS-1:0] written, came, read_line;
    logic write, loading;
    assign loading = load && in_memory == OWN;
    assign write   = loading || (enable && v11 && write11[m]);
    for (genvar n = 0; n < LANES; n++) begin : g_lane
      assign came[n*BITS+:BITS] =
          BITS'($signed(in_data[n*IN_BITS+:IN_BITS]));
      assign written[n*BITS+:BITS] = BITS'($signed(emitted[(n*VALUES+m)*EMIT_BITS+:EMIT_BITS]));
      assign words[(m*LANES+n)*READ_BITS+:READ_BITS] =
          READ_BITS'($signed(read_line[n*BITS+:BITS]));
    end
    ram #(.WIDTH(LANES * BITS), .DEPTH(LINES), .ADDR_BITS(VALUE_ADDR_BITS)) u_ram (
        .clk, .write(write), .write_addr(loading ? load_addr : emit_addr[m]),
        .write_data(loading ? came : written),
        .read(enable), .read_addr(add_on && add_memory == OWN ? residual_addr : x_addr),
        .read_data(read_line)
    );
  end

  logic [LANES*READ_BITS-1:0] x_line, residual_line;
  always_comb begin  // an index that is multiplied may become a DSP block
    x_line = words[LANES*READ_BITS-1:0];
    residual_line = words[LANES*READ_BITS-1:0];
    for (int m = 1; m < VALUES; m++) begin
      if (32'(x_memory) == m) x_line = words[m*LANES*READ_BITS+:LANES*READ_BITS];
      if (32'(add_memory) == m) residual_line = words[m*LANES*READ_BITS+:LANES*READ_BITS];
    end
  end

  // ---- stage 3: operands; stage 4: products, sums
  logic v3, first3, last3, up3, side3, v4, first4, last4, up4;
  logic [B_ADDR_BITS-1:0] bias3;
  logic [LANES*BIAS_BITS-1:0] biases4;
  logic signed [READ_BITS-1:0] compared4;
  logic [INDEX_BITS-1:0] index5;

  always_ff @(posedge clk) begin
    if (rst) {v3, v4} <= '0;
    else if (enable) {v3, v4} <= {v2, v3};
    if (enable) begin
      {first3, last3, up3, side3, bias3} <= {first2, last2, up2, side2, bias2};
      {first4, last4, up4} <= {first3, last3, up3};
      compared4 <= operands3[READ_BITS-1:0];
    end
  end

  ram #(.WIDTH(LANES * BIAS_BITS), .DEPTH(BIASES), .ADDR_BITS(B_ADDR_BITS)) u_bias (
      .clk, .write(boot_valid && boot_memory == BOOT_BIAS),
      .write_addr(boot_addr[B_ADDR_BITS-1:0]), .write_data(boot_data[LANES*BIAS_BITS-1:0]),
      .read(enable), .read_addr(bias3), .read_data(biases4)
  );

  if (HAS_ARGMAX != 0) begin : g_argmax
    argmax #(.X_BITS(READ_BITS), .INDEX_BITS(INDEX_BITS)) u_argmax (
        .clk, .enable, .add(v4), .first(first4), .x(compared4), .index(index5)
    );
  end else begin : g_no_argmax
    assign index5 = '0;
  end

  // ---- stages 5 to 11: where a result belongs
  logic v6, last_group, last11;
  logic [VALUE_ADDR_BITS-1:0] line5, line6, line8, line10;
  logic [N_ADDR_BITS-1:0] block4, block6, block7, block9;

  // ---- passes of several sweeps: their results come later
  logic result4, norm_result, share_result, mean_result;
  logic [LANES*READ_BITS-1:0] operands3;
  logic [LANES*ACC_BITS-1:0] norm_words5, share_words5, mean_words5;
  if (HAS_LAYER_NORM != 0) begin : g_layer_norm
    layer_norm u_layer_norm (
        .clk, .rst, .enable, .pass_word, .pass_start, .op_valid, .op_sweep, .op_end,
        .operands(operands3), .last_group,
        .boot_write(boot_valid && boot_memory == BOOT_SEEDS), .boot_addr,
        .boot_data(boot_data[19:0]), .result(norm_result), .words(norm_words5)
    );
  end else begin : g_no_layer_norm
    assign norm_result = 1'b0;
    assign norm_words5 = '0;
  end
  if (HAS_SOFTMAX != 0) begin : g_softmax
    softmax u_softmax (
        .clk, .rst, .enable, .pass_word, .pass_start, .op_valid, .op_sweep, .op_last, .op_end,
        .operand(operands3[SHARE_X_BITS-1:0]),
        .boot_write(boot_valid && boot_memory == BOOT_POWERS), .boot_addr,
        .boot_data(boot_data[SHARE_ENTRY_BITS-1:0]), .result(share_result), .words(share_words5)
    );
  end else begin : g_no_softmax
    assign share_result = 1'b0;
    assign share_words5 = '0;
  end
  if (HAS_CLIP_MEAN != 0) begin : g_clip_mean
    clip_mean u_clip_mean (
        .clk, .rst, .enable, .pass_word, .pass_start, .op_valid, .op_sweep, .op_last, .op_end,
        .further(fifo_valid), .total_frames, .operands(operands3), .result(mean_result), .words(mean_words5)
    );
  end else begin : g_no_clip_mean
    assign mean_result = 1'b0;
    assign mean_words5 = '0;
  end
  assign result4 = is_layer_norm ? norm_result : is_softmax ? share_result
                 : is_clip_mean ? mean_result : v4 && last4;

  result_place u_place (
      .clk, .rst, .enable, .pass_word, .pass_start, .made(result4), .last_group, .block4, .block6,
      .block7, .block9, .line5, .line6, .line8, .line10, .made6(v6), .made11(v11), .last11
  );

  // ---- temporal sums: read in stage 5, written in stage 6
  logic [LANES*FIFO_BITS-1:0] oldest, newest;
  logic [LANES*TOTAL_BITS-1:0] totals, new_totals;
  if (HAS_SUM != 0) begin : g_sum
    ram #(.WIDTH(LANES * FIFO_BITS), .DEPTH(FIFO_LINES), .ADDR_BITS(F_ADDR_BITS)) u_fifo (
        .clk, .write(enable && v6 && sum_on),
        .write_addr(fifo_base + fifo_off + F_ADDR_BITS'(line6)), .write_data(newest),
        .read(enable), .read_addr(fifo_base + fifo_off + F_ADDR_BITS'(line5)), .read_data(oldest)
    );
    ram #(.WIDTH(LANES * TOTAL_BITS), .DEPTH(TOTAL_LINES), .ADDR_BITS(T_ADDR_BITS)) u_totals (
        .clk, .write(enable && v6 && sum_on),
        .write_addr(total_base + total_off + T_ADDR_BITS'(line6)), .write_data(new_totals),
        .read(enable), .read_addr(total_base + total_off + T_ADDR_BITS'(line5)),
        .read_data(totals)
    );
  end else begin : g_no_sum
    assign {oldest, totals} = '0;
  end

  // ---- biases of shifts (stage 7) and shifts by channel
  logic [LANES*NORM_BITS-1:0] norm7;
  if (HAS_SHIFT != 0) begin : g_norm
    ram #(.WIDTH(LANES * NORM_BITS), .DEPTH(NORMS), .ADDR_BITS(N_ADDR_BITS)) u_norm (
        .clk, .write(boot_valid && boot_memory == BOOT_NORM),
        .write_addr(boot_addr[N_ADDR_BITS-1:0]), .write_data(boot_data[LANES*NORM_BITS-1:0]),
        .read(enable),
        .read_addr(norm_base + (norm_per_joint ? N_ADDR_BITS'(line6) : block6)), .read_data(norm7)
    );
  end else begin : g_no_norm
    assign norm7 = '0;
  end

  logic [LANES*DELTA_BITS-1:0] deltas;
  if (HAS_DELTA != 0) begin : g_delta
    logic [N_ADDR_BITS-1:0] block;
    assign block = delta_at == 1 ? block4 : delta_at == 2 ? block7 : block9;
    ram #(.WIDTH(LANES * DELTA_BITS), .DEPTH(DELTAS), .ADDR_BITS(D_ADDR_BITS)) u_delta (
        .clk, .write(boot_valid && boot_memory == BOOT_DELTA),
        .write_addr(boot_addr[D_ADDR_BITS-1:0]), .write_data(boot_data[LANES*DELTA_BITS-1:0]),
        .read(enable), .read_addr(delta_base + D_ADDR_BITS'(block)), .read_data(deltas)
    );
  end else begin : g_no_delta
    assign deltas = '0;
  end
  assign residual_addr = add_base + add_off + line8;

  // ---- the lanes
  logic [LANES*ACC_BITS-1:0] sums5;
  mac_lanes u_mac_lanes (
      .clk, .enable, .pass_word, .x_line, .weights(lines2), .coef(coef2), .zero(zero2),
      .lane(lane2), .digit(digit2), .low(low2), .side(side3), .add(v4), .first(first4), .up(up4),
      .biases(biases4), .operands(operands3), .sums(sums5)
  );

  for (genvar n = 0; n < LANES; n++) begin : g_lanes
    logic signed [ACC_BITS-1:0] result;
    assign result = is_layer_norm ? $signed(norm_words5[n*ACC_BITS+:ACC_BITS])
                  : is_softmax ? $signed(share_words5[n*ACC_BITS+:ACC_BITS])
                  : is_clip_mean ? $signed(mean_words5[n*ACC_BITS+:ACC_BITS])
                  : !is_argmax ? $signed(sums5[n*ACC_BITS+:ACC_BITS])
                  : n == 0 ? ACC_BITS'({1'b0, index5}) : '0;
    post_lane u_post (
        .clk, .enable, .pass_word, .sum(result), .delta(deltas[n*DELTA_BITS+:DELTA_BITS]),
        .fifo_valid, .total_valid, .oldest(oldest[n*FIFO_BITS+:FIFO_BITS]),
        .total(totals[n*TOTAL_BITS+:TOTAL_BITS]), .newest(newest[n*FIFO_BITS+:FIFO_BITS]),
        .new_total(new_totals[n*TOTAL_BITS+:TOTAL_BITS]),
        .norm_bias(norm7[n*NORM_BITS+:NORM_BITS]), .residual(residual_line[n*READ_BITS+:READ_BITS]),
        .emitted(emitted[n*VALUES*EMIT_BITS+:VALUES*EMIT_BITS])
    );
    always_comb begin
      out_data[n*OUT_BITS+:OUT_BITS] = emitted[n*VALUES*EMIT_BITS+:OUT_BITS];
      for (int m = 1; m < VALUES; m++)
        if (32'(memory11) == m)
          out_data[n*OUT_BITS+:OUT_BITS] = emitted[(n*VALUES+m)*EMIT_BITS+:OUT_BITS];
    end
  end

  // ---- stage 11: results into memory and out; the next pass may have started
  for (genvar m = 0; m < VALUES; m++) begin : g_emit
    always_ff @(posedge clk)
      if (enable)
        emit_addr[m] <= emit_base[m*VALUE_ADDR_BITS+:VALUE_ADDR_BITS]
                      + emit_off[m*VALUE_ADDR_BITS+:VALUE_ADDR_BITS] + line10;
  end
  always_ff @(posedge clk)
    if (enable) begin
      write11  <= emit_write;
      out11    <= out_on;
      memory11 <= out_memory;
      out_id   <= output_id;
    end
  assign out_valid = v11 && out11;
  assign out_last  = last11;
endmodule
