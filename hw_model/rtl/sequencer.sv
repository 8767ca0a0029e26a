// Takes the engine through its frames: loads one, runs the passes of the program one after another
// and issues each pass's operations, one a cycle. docs/rtl.md states every cycle.
module sequencer #(
`include "engine_params.svh"
) (
    input  logic                             clk,
    input  logic                             rst,
    input  logic                             enable,
    // input frames, line by line
    input  logic                             in_valid,
    output logic                             in_ready,
    input  logic                             in_last,
    output logic                             load,
    output logic [        VALUE_ADDR_BITS-1:0] load_addr,
    // program
    output logic [         PC_BITS-1:0]      pc,
    input  logic [       PASS_BITS-1:0]      pass_next,
    output logic [       PASS_BITS-1:0]      pass_word,
    // stage 0: one operation
    output logic                             op_valid,
    output logic                             op_first,
    output logic                             op_last,
    output logic                             op_zero,     // the frame is outside the clip
    output logic [      DIGIT_BITS-1:0]      op_digit,    // which one of the operand
    output logic                             op_low,      // it has no sign
    output logic                             op_up,       // the sum moves up before
    output logic                             op_side,     // whose operand two lanes share
    output logic [       LANE_BITS-1:0]      op_lane,
    output logic [VALUE_ADDR_BITS-1:0]       op_line,     // relative to the value's base
    output logic [     W_ADDR_BITS-1:0]      op_weight,
    output logic [       TILE_BITS-1:0]      op_tile,     // line within the tile, where weights stream
    input  logic                             tile_ready,
    output logic                             block_done,
    output logic [     B_ADDR_BITS-1:0]      op_bias,
    output logic [     E_ADDR_BITS-1:0]      op_edge,
    output logic [                1:0]       op_sweep,    // which one of the pass
    output logic                             op_end,      // the last of its sweep
    // of the pass that runs
    output logic                             pass_start,
    output logic [VALUE_ADDR_BITS-1:0]       add_off,
    output logic [VALUES*VALUE_ADDR_BITS-1:0] emit_off,
    output logic [     F_ADDR_BITS-1:0]      fifo_off,
    output logic [     T_ADDR_BITS-1:0]      total_off,
    output logic                             fifo_valid,
    output logic                             total_valid,
    output logic [       TIME_BITS-1:0]      total_frames,  // of the clip, once it has ended
    output logic                             frame_done
);
`include "pass_fields.svh"
`include "in_fields.svh"

  typedef enum logic [2:0] {LOAD, START, SETUP, RUN, PAUSE, DRAIN} state_t;
  state_t state;

  localparam int DRAIN_CYCLES = 9;  // the last operation has left stage 10

  logic [TIME_BITS-1:0] frame;
  logic ended;
  logic [PAUSE_BITS-1:0] drained, paused;
  logic [1:0] sweep;  // a pass may go through its lines several times
  logic [RING_ADDR_BITS-1:0] ring[0:RINGS-1];  // newest frame of each ring; ring 0 stays 0

  // ---- loading: joint by joint from outside, group by group inside
  logic [COUNT_BITS-1:0] load_joint, load_group;
  logic [VALUE_ADDR_BITS-1:0] load_row;
  logic [RING_ADDR_BITS-1:0] in_next;
  logic beat, loaded;
  assign in_next   = ahead(ring[in_ring], in_step, in_limit);
  assign in_ready  = state == LOAD && enable && !rst;
  assign beat      = in_valid && in_ready;
  assign load      = beat;
  assign load_addr = in_base + VALUE_ADDR_BITS'(in_next) + load_row
                   + VALUE_ADDR_BITS'(load_joint);
  assign loaded    = beat && load_group == in_groups && load_joint == in_joints;

  // ---- when a pass runs: frame `tau` of the input, counted from the node's first one
  logic signed [TIME_BITS:0] tau;
  logic reached, due, at_end, runs;
  assign tau     = $signed({1'b0, frame}) - $signed({1'b0, pass_lag});
  assign reached = tau >= 0 && (tau[TIME_BITS-1:0] & period_mask) == 0;
  assign due     = reached && !(ended && tau >= $signed({1'b0, total_frames}));
  assign at_end  = ended && frame + 1 == total_frames + in_flush;
  assign runs    = once ? at_end : due || (is_clip_mean && at_end);

  function automatic logic [RING_ADDR_BITS-1:0] ahead(
      input logic [RING_ADDR_BITS-1:0] at, input logic [RING_ADDR_BITS-1:0] step,
      input logic [RING_ADDR_BITS-1:0] limit);
    ahead = at + step >= limit ? at + step - limit : at + step;
  endfunction
  function automatic logic [RING_ADDR_BITS-1:0] behind(
      input logic [RING_ADDR_BITS-1:0] at, input logic [RING_ADDR_BITS-1:0] back,
      input logic [RING_ADDR_BITS-1:0] limit);
    behind = at >= back ? at - back : at + limit - back;
  endfunction

  logic [RING_ADDR_BITS-1:0] x_start, emit_next[0:VALUES-1], fifo_next, total_next;
  assign x_start    = behind(ring[x_ring], x_back, x_limit);
  assign fifo_next  = ahead(ring[fifo_ring], fifo_step, fifo_limit);
  assign total_next = ahead(ring[total_ring], fifo_step, total_limit);
  for (genvar m = 0; m < VALUES; m++) begin : g_next
    assign emit_next[m] = ahead(ring[emit_ring[m*RING_BITS+:RING_BITS]],
                                emit_step[m*RING_ADDR_BITS+:RING_ADDR_BITS],
                                emit_limit[m*RING_ADDR_BITS+:RING_ADDR_BITS]);
  end

  // ---- the loops of a pass
  logic [COUNT_BITS-1:0] group, part, joint, tap, flat, word;
  logic [LANE_BITS-1:0] lane;
  logic [RING_ADDR_BITS-1:0] tap_off, x_first;
  logic signed [TIME_BITS:0] tap_tau, first_tau;
  logic [VALUE_ADDR_BITS-1:0] row, walk, walk_start;
  logic [W_ADDR_BITS-1:0] weight, weight_start;
  logic [B_ADDR_BITS-1:0] bias, bias_start;
  logic [E_ADDR_BITS-1:0] edge_at;
  logic [TILE_BITS-1:0] tile_line;
  logic [1:0] final_sweep;
  logic by_word, word_end, flat_end, tap_end, joint_end, part_end, group_end, edge_end, result_end, final_op;
  logic level_ends;

  assign by_word    = is_softmax || (is_clip_mean && sweep == 1);
  assign word_end   = (is_clip_mean && sweep == 0)
                    || word == (by_word && group_end ? COUNT_BITS'(last_lane) : count_words);
  assign final_sweep = is_clip_mean ? {1'b0, at_end} : last_sweep;
  assign flat_end   = flat == count_flats;
  assign tap_end    = tap == count_taps;
  assign joint_end  = joint == count_joints;
  assign part_end   = part == count_parts;
  assign group_end  = group == count_groups;
  assign edge_end   = edge_at == edge_last;
  assign result_end = word_end && flat_end && tap_end;
  assign final_op   = mode == MODE_EDGES ? edge_end && group_end
                    : result_end && joint_end && part_end && group_end;

  assign op_valid  = state == RUN && (tile_ready || !weight_off);
  assign block_done = op_valid && weight_off && mode == MODE_MATRIX && result_end && joint_end;
  assign op_first  = word == 0 && flat == 0 && tap == 0;
  assign op_last   = result_end;
  assign op_zero   = tap_tau < 0 || (ended && tap_tau >= $signed({1'b0, total_frames}));
  assign op_lane   = lane;
  if (HAS_DIGITS != 0) begin : g_digits
    logic in_turns;
    assign in_turns = mode == MODE_VECTOR && count_flats != 0;
    assign op_digit = in_turns ? turn_digit[32'(flat)*DIGIT_BITS+:DIGIT_BITS] : '0;
    assign op_side  = in_turns && turn_side[32'(flat)+:1];
    assign op_low   = in_turns && turn_low[32'(flat)+:1];
    assign level_ends = in_turns && word_end && turn_ends[32'(flat)+:1];
    always_ff @(posedge clk) begin
      if (rst) op_up <= 1'b0;
      else if (enable && op_valid) op_up <= level_ends;
    end
  end else begin : g_no_digits
    assign {op_digit, op_low, op_up, op_side, level_ends} = '0;
  end
  assign op_line   = VALUE_ADDR_BITS'(tap_off) + (mode == MODE_MATRIX
                   ? row + VALUE_ADDR_BITS'(joint) + VALUE_ADDR_BITS'(flat) : walk);
  assign op_weight = weight;
  assign op_tile   = tile_line;
  assign op_bias   = bias;
  assign op_edge   = edge_at;
  assign op_sweep  = sweep;
  assign op_end    = final_op;

  assign pass_start = state == SETUP && enable && runs;
  assign frame_done = enable && pc_last
                    && ((state == SETUP && !runs) || (state == DRAIN && drained == 0));

  always_ff @(posedge clk) begin
    if (rst) begin
      state <= LOAD;
      frame <= '0;
      total_frames <= '0;
      ended <= 1'b0;
      pc <= '0;
      load_joint <= '0;
      load_group <= '0;
      load_row <= '0;
      for (int i = 0; i < RINGS; i++) ring[i] <= '0;
    end else if (enable) begin
      case (state)
        LOAD:
        if (beat) begin
          load_group <= load_group == in_groups ? '0 : load_group + 1;
          load_row   <= load_group == in_groups ? '0 : load_row + VALUE_ADDR_BITS'(in_joints) + 1;
          if (load_group == in_groups)
            load_joint <= load_joint == in_joints ? '0 : load_joint + 1;
          if (loaded) begin
            if (in_ring != 0) ring[in_ring] <= in_next;
            ended <= in_last;
            total_frames <= frame + 1;
            state <= START;
          end
        end
        START: begin
          pass_word <= pass_next;
          state <= SETUP;
        end
        SETUP: begin
          {group, part, joint, tap, flat, word} <= '0;
          sweep <= {1'b0, is_clip_mean && !due};
          lane <= '0;
          x_first <= x_start;
          tap_off <= x_start;
          first_tau <= $signed({1'b0, frame}) - $signed({1'b0, tap_lag});
          tap_tau <= $signed({1'b0, frame}) - $signed({1'b0, tap_lag});
          row <= '0;
          {walk, walk_start} <= '0;
          weight <= weight_base;
          weight_start <= weight_base;
          bias <= bias_base;
          bias_start <= bias_base;
          edge_at <= edge_base;
          tile_line <= '0;
          add_off <= VALUE_ADDR_BITS'(behind(ring[add_ring], add_back, add_limit));
          fifo_off <= F_ADDR_BITS'(fifo_next);
          total_off <= T_ADDR_BITS'(total_next);
          fifo_valid <= tau >= $signed({1'b0, fifo_age});
          total_valid <= tau >= $signed({1'b0, total_age});
          for (int m = 0; m < VALUES; m++)
            emit_off[m*VALUE_ADDR_BITS+:VALUE_ADDR_BITS] <= VALUE_ADDR_BITS'(emit_next[m]);
          if (runs) state <= RUN;
          else next_pass(reached);
        end
        RUN:
        if (op_valid) begin
          step();
          drained <= PAUSE_BITS'(DRAIN_CYCLES - 1)
                   + (is_clip_mean && sweep == 0 ? '0 : more_drain);
          paused <= sweep_pause - 1;
          if (final_op) begin
            if (sweep == final_sweep) state <= DRAIN;
            else if (sweep_pause != 0) state <= PAUSE;
            else next_sweep();
          end
        end
        PAUSE: begin
          paused <= paused - 1;
          if (paused == 0) next_sweep();
        end
        DRAIN: begin
          drained <= drained - 1;
          if (drained == 0) next_pass(1'b1);
        end
        default: state <= LOAD;
      endcase
    end
  end

  // the next operation of the pass
  task automatic step();
    if (mode != MODE_VECTOR || word_end) weight <= weight + 1;
    if (level_ends) bias <= bias + 1;
    tile_line <= result_end ? '0 : tile_line + 1;
    walk <= by_word && !word_end ? walk : word_end && !flat_end ? walk_start : walk + 1;
    if (result_end) walk_start <= walk + 1;
    if (mode == MODE_EDGES) begin
      edge_at <= edge_end ? edge_base : edge_at + 1;
      walk <= edge_end ? walk + x_step : walk;
      if (edge_end) group <= group + 1;
    end else if (!word_end) begin
      word <= word + 1;
      lane <= lane == LANE_BITS'(LANES - 1) ? '0 : lane + 1;
      if (lane == LANE_BITS'(LANES - 1)) row <= row + x_step;
    end else begin
      word <= '0;
      lane <= '0;
      row  <= '0;
      if (!flat_end) flat <= flat + 1;
      else begin
        flat <= '0;
        if (!tap_end) begin
          tap <= tap + 1;
          tap_off <= ahead(tap_off, tap_step, x_limit);
          tap_tau <= tap_tau + $signed({1'b0, tap_frames});
        end else next_result();
      end
    end
  endtask

  task automatic next_result();
    tap <= '0;
    tap_off <= x_first;
    tap_tau <= first_tau;
    if (joint_end ? weight_per_block : weight_per_joint) weight_start <= weight + 1;
    else weight <= weight_start;
    bias <= joint_end || bias_per_joint ? bias + 1 : bias_start;
    if (joint_end) bias_start <= bias + 1;
    if (!joint_end) joint <= joint + 1;
    else begin
      joint <= '0;
      part <= part_end ? '0 : part + 1;
      if (part_end) group <= group + 1;
    end
  endtask

  task automatic next_sweep();
    {group, walk, walk_start} <= '0;
    sweep <= sweep + 1;
    state <= RUN;
  endtask

  // rings move on with every frame of their values, also where those lie behind a clip's end
  task automatic next_pass(input logic moved);
    if (moved) begin
      for (int m = 0; m < VALUES; m++)
        if (emit_ring[m*RING_BITS+:RING_BITS] != 0)
          ring[emit_ring[m*RING_BITS+:RING_BITS]] <= emit_next[m];
      if (fifo_ring != 0) ring[fifo_ring] <= fifo_next;
      if (total_ring != 0) ring[total_ring] <= total_next;
    end
    pc <= pc_last ? '0 : pc + 1;
    state <= START;
    if (pc_last) begin
      frame <= frame + 1;
      if (!ended) state <= LOAD;
      else if (frame + 1 == total_frames + in_flush) begin
        state <= LOAD;
        frame <= '0;
        ended <= 1'b0;
        for (int i = 0; i < RINGS; i++) ring[i] <= '0;
      end else if (in_ring != 0) ring[in_ring] <= in_next;
    end
  endtask
endmodule
