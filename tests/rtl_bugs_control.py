"""Bugs of the engine's control: frames, the order of operations, handshakes."""

from __future__ import annotations

from collections.abc import Mapping

from tests.rtl_planting import ZEROED, Bug, bug

TIME: Mapping[str, Bug] = {
    "FIFO one slot short": bug(
        "dilation",
        "words",
        "sequencer",
        "ahead(ring[fifo_ring], fifo_step, fifo_limit);",
        "ahead(ring[fifo_ring], fifo_step, fifo_limit - fifo_step);",
    ),
    "FIFO valid a frame late": bug(
        "dilation",
        "words",
        "sequencer",
        "fifo_valid <= tau >= $signed({1'b0, fifo_age});",
        "fifo_valid <= tau > $signed({1'b0, fifo_age});",
    ),
    "FIFO always valid": bug(
        "dilation",
        "words",
        "sequencer",
        "fifo_valid <= tau >= $signed({1'b0, fifo_age});",
        "fifo_valid <= 1'b1;",
    ),
    "FIFO of the clip before": bug(
        "dilation",
        "clips",
        "sequencer",
        "fifo_valid <= tau >= $signed({1'b0, fifo_age});",
        "fifo_valid <= 1'b1;",
        ZEROED,
    ),
    "running sum of the clip before": bug(
        "dilation",
        "clips",
        "sequencer",
        "total_valid <= tau >= $signed({1'b0, total_age});",
        "total_valid <= 1'b1;",
        ZEROED,
    ),
    "taps of the clip before": bug(
        "lookahead",
        "clips",
        "sequencer",
        "op_zero   = tap_tau < 0 || ",
        "op_zero   = ",
        ZEROED,
    ),
    "frames counted on in the next clip": bug(
        "dilation",
        "clips",
        "sequencer",
        "        state <= LOAD;\n        frame <= '0;\n",
        "        state <= LOAD;\n",
    ),
    "taps behind the end of the clip": bug(
        "lookahead",
        "words",
        "sequencer",
        "tap_tau < 0 || (ended && tap_tau >= $signed({1'b0, total_frames}));",
        "tap_tau < 0;",
    ),
    "no flush behind a clip": bug(
        "lookahead",
        "words cycles",
        "sequencer",
        "else if (frame + 1 == total_frames + in_flush) begin",
        "else if (frame + 1 == total_frames) begin",
    ),
    "one running sum for all phases": bug(
        "dilation",
        "words",
        "sequencer",
        "total_off <= T_ADDR_BITS'(total_next);",
        "total_off <= '0;",
    ),
    "residual of the newest frame": bug(
        "lookahead",
        "words",
        "sequencer",
        "behind(ring[add_ring], add_back, add_limit)",
        "ring[add_ring]",
    ),
    "taps run out of their ring": bug(
        "lookahead",
        "words",
        "sequencer",
        "tap_off <= ahead(tap_off, tap_step, x_limit);",
        "tap_off <= tap_off + tap_step;",
    ),
}

ORDER: Mapping[str, Bug] = {
    "weights go on with every joint": bug(
        "plain",
        "words",
        "sequencer",
        "if (joint_end ? weight_per_block : weight_per_joint)",
        "if (joint_end ? weight_per_block : 1'b1)",
    ),
    "weights of a mean go on with every group": bug(
        "plain",
        "words",
        "sequencer",
        "if (joint_end ? weight_per_block : weight_per_joint)",
        "if (joint_end || weight_per_joint)",
    ),
    "weights of a mean go on with every joint": bug(
        "plain",
        "words",
        "sequencer",
        "if (mode != MODE_VECTOR || word_end) weight <= weight + 1;",
        "weight <= weight + 1;",
    ),
    "digits of one line, operands of the next": bug(
        "plain", "words", "sequencer", "word_end && !flat_end ? walk_start : walk + 1;", "walk + 1;"
    ),
    "sum moves up with every product": bug(
        "wrap-unsigned",
        "words",
        "sequencer",
        "op_up <= level_ends;",
        "op_up <= in_turns && word_end;",
    ),
    "joints of a later block with the first one's bias": bug(
        "scaled-norm", "words", "sequencer", "if (joint_end) bias_start <= bias + 1;", ""
    ),
    "bias of the wrong block": bug(
        "plain",
        "words",
        "sequencer",
        "bias <= joint_end || bias_per_joint ? bias + 1 : bias_start;",
        "bias <= bias_per_joint ? bias + 1 : bias_start;",
    ),
    "last edge dropped": bug(
        "plain",
        "words cycles",
        "sequencer",
        "edge_end   = edge_at == edge_last;",
        "edge_end   = edge_at == edge_last - 1;",
    ),
    "sums of edges run on": bug(
        "plain", "words", "engine", "mode == MODE_EDGES ? edge_first : first1", "first1"
    ),
    "result one operation early": bug(
        "plain",
        "words",
        "engine",
        "{first4, last4, up4} <= {first3, last3, up3};",
        "{first4, last4, up4} <= {first3, last2, up3};",
    ),
    "partition written over another": bug(
        "plain",
        "words",
        "result_place",
        "next_line  <= part_wraps ? next_line + 1 : next_start + 1;",
        "next_line  <= part_wraps ? next_line + 1 : next_start;",
    ),
    "groups of the input on one another": bug(
        "plain",
        "words",
        "sequencer",
        "in_base + VALUE_ADDR_BITS'(in_next) + load_row\n",
        "in_base + VALUE_ADDR_BITS'(in_next)\n",
    ),
    "output without last": bug(
        "plain", "words", "engine", "assign out_last  = last11;", "assign out_last  = 1'b0;"
    ),
    "pass one cycle longer": bug(
        "plain", "cycles", "sequencer", "DRAIN_CYCLES = 9;", "DRAIN_CYCLES = 10;"
    ),
    "next pass too early": bug(
        "plain", "words cycles", "sequencer", "DRAIN_CYCLES = 9;", "DRAIN_CYCLES = 4;"
    ),
}

HANDSHAKES: Mapping[str, Bug] = {
    "stall drops a word": bug(
        "plain",
        "stalls",
        "engine",
        "assign enable = !(out_valid && !out_ready);",
        "assign enable = 1'b1;",
    ),
    "stall writes twice": bug(
        "plain",
        "stalls",
        "engine",
        "assign write   = loading || (enable && v11 && write11[m]);",
        "assign write   = loading || (v11 && write11[m]);",
    ),
    "operand register runs on in a stall": bug(
        "classes",
        "stalls",
        "mac_lanes",
        "always_ff @(posedge clk) if (enable) {x3, w3} <= {x2, w2};",
        "always_ff @(posedge clk) {x3, w3} <= {x2, w2};",
    ),
    "accumulator runs on in a stall": bug(
        "classes",
        "stalls",
        "mac_lane",
        "    if (enable) begin\n",
        "    begin\n",
    ),
    "memory reads on in a stall": bug(
        "classes",
        "stalls",
        "engine",
        ".read(enable), .read_addr(weight1), .read_data(weights2)",
        ".read(1'b1), .read_addr(weight1), .read_data(weights2)",
    ),
    "input taken in a stall": bug(
        "plain",
        "stalls",
        "sequencer",
        "in_ready  = state == LOAD && enable && !rst;",
        "in_ready  = state == LOAD && !rst;",
    ),
    "input taken while a pass begins": bug(
        "plain",
        "words cycles",
        "sequencer",
        "in_ready  = state == LOAD && enable && !rst;",
        "in_ready  = (state == LOAD || state == START) && enable && !rst;",
    ),
    "line taken that is not there": bug(
        "plain",
        "words cycles",
        "sequencer",
        "beat      = in_valid && in_ready;",
        "beat      = in_ready;",
    ),
}
