"""Bugs of the engine's arithmetic: casts, lanes, the slots behind them."""

from __future__ import annotations

from collections.abc import Mapping

from tests.rtl_planting import Bug, bug

ROUNDING: Mapping[str, Bug] = {
    "floor for half up": bug(
        "plain", "words", "requantise", "RND:         offset = half;", "RND:         offset = '0;"
    ),
    "half away from zero for half up": bug(
        "plain",
        "words",
        "requantise",
        "RND:         offset = half;",
        "RND:         offset = half - SUM_BITS'(negative);",
    ),
    "ties go down": bug(
        "plain",
        "words",
        "requantise",
        "RND:         offset = half;",
        "RND:         offset = half - 1;",
    ),
    "ties to odd": bug(
        "modes",
        "words",
        "requantise",
        "default:     offset = half - SUM_BITS'(!odd);",
        "default:     offset = half - SUM_BITS'(odd);",
    ),
    "half without a shift": bug(
        "modes",
        "words",
        "requantise",
        "    if (amount == 0) offset = '0;\n",
        "    if (amount == 0) offset = SUM_BITS'(1);\n",
    ),
    "logical shift": bug(
        "plain",
        "words",
        "requantise",
        "(aligned + offset) >>> amount",
        "(aligned + offset) >> amount",
    ),
    "shift of a channel ignored": bug(
        "by-channel",
        "words",
        "post_lane",
        "delta0 = delta_at == 1 ? AMOUNT_BITS'(delta) : '0;",
        "delta0 = '0;",
    ),
}

OVERFLOW: Mapping[str, Bug] = {
    "wraps at the top": bug(
        "plain",
        "words",
        "requantise",
        "else if (wide > high) fitted = beyond == SAT_ZERO ? '0 : high;",
        "else if (wide > high) fitted = wrapped;",
    ),
    "saturates one below": bug(
        "plain",
        "words",
        "requantise",
        "beyond == SAT_ZERO ? '0 : high;",
        "beyond == SAT_ZERO ? '0 : high - 1;",
    ),
    "saturates one above the lowest": bug(
        "plain", "words", "requantise", "is_signed ? -high : low;", "is_signed ? -high : low + 1;"
    ),
    "unsigned comparison": bug(
        "plain",
        "words",
        "requantise",
        "else if (wide > high)",
        "else if ($unsigned(wide) > $unsigned(high))",
    ),
    "unsigned words keep a sign": bug(
        "unsigned",
        "words",
        "requantise",
        "assign high = is_signed ? mask >>> 1 : mask;",
        "assign high = mask >>> 1;",
    ),
    "ReLU before the overflow": bug(
        "wrap", "words", "requantise", "if (relu && fitted < 0)", "if (relu && wide < 0)"
    ),
    "no ReLU": bug("plain", "words", "requantise", "if (relu && fitted < 0)", "if (fitted < low)"),
}

LANES: Mapping[str, Bug] = {
    "operand without sign": bug(
        "plain", "words", "mac_lane", "PRODUCT_BITS'(x) *", "PRODUCT_BITS'({1'b0, x}) *"
    ),
    "weight without sign": bug(
        "plain", "words", "mac_lane", "PRODUCT_BITS'(weight);", "PRODUCT_BITS'({1'b0, weight});"
    ),
    "bias without sign": bug(
        "plain", "words", "mac_lane", "ACC_BITS'(bias)", "ACC_BITS'({1'b0, bias})"
    ),
    "bias dropped": bug("plain", "words", "mac_lane", "ACC_BITS'(bias)", "ACC_BITS'(0)"),
    "accumulator one bit too narrow": bug(
        "sixteen-bits",
        "stress",
        "mac_lane",
        "sum <= base + ACC_BITS'(product);",
        "sum <= ACC_BITS'($signed((ACC_BITS - 1)'(base + ACC_BITS'(product))));",
    ),
    "product two bits too narrow": bug(
        "sixteen-bits",
        "words",
        "mac_lane",
        "ACC_BITS'(product);",
        "ACC_BITS'($signed(product[PRODUCT_BITS-3:0]));",
    ),
    "digit with the bits above it": bug(
        "wrap",
        "words",
        "operand_digit",
        "low ? X_BITS'(moved[STEP-1:0]) : moved[X_BITS-1:0];",
        "moved[X_BITS-1:0];",
    ),
    "topmost digit without sign": bug(
        "wrap", "words", "operand_digit", "word >>> (d * STEP)", "word >> (d * STEP)"
    ),
    "sum stays where it is between digits": bug(
        "plain", "words", "mac_lane", "up ? ACC_BITS'({sum, UP_BITS'(bias)}) : sum;", "sum;"
    ),
    "lower digits of the bias dropped": bug(
        "scaled-norm", "words", "mac_lane", "{sum, UP_BITS'(bias)}", "{sum, UP_BITS'(0)}"
    ),
    "lanes of the operand in reverse": bug(
        "plain",
        "words",
        "mac_lanes",
        "common = x_line[32'(lane)*READ_BITS+:READ_BITS];",
        "common = x_line[(LANES-1-32'(lane))*READ_BITS+:READ_BITS];",
    ),
    "lanes of the output in reverse": bug(
        "plain",
        "words",
        "engine",
        "= emitted[n*VALUES*EMIT_BITS+:OUT_BITS];",
        "= emitted[(LANES-1-n)*VALUES*EMIT_BITS+:OUT_BITS];",
    ),
    "pad lane with a neighbour's weights": bug(
        "padded",
        "words",
        "mac_lanes",
        "$signed(weights[n*W_BITS+:W_BITS])",
        "$signed(weights[(n==LANES-1?0:n)*W_BITS+:W_BITS])",
    ),
    "argmax takes the last of equals": bug("four-bits", "words", "argmax", "x > best", "x >= best"),
    "argmax without the last bit": bug(
        "plain",
        "stress",
        "argmax",
        "x > best",
        "$signed(x[X_BITS-1:1]) > $signed(best[X_BITS-1:1])",
    ),
    "argmax wants more than an lsb": bug(
        "dilation", "stress", "argmax", "x > best", "x > best + 1"
    ),
    "argmax without sign": bug(
        "plain", "words", "argmax", "x > best", "$unsigned(x) > $unsigned(best)"
    ),
}

SLOTS: Mapping[str, Bug] = {
    "bias of a shift from another block": bug(
        "plain",
        "words",
        "engine",
        "N_ADDR_BITS'(line6) : block6)",
        "N_ADDR_BITS'(line6) : block4)",
    ),
    "residual without sign": bug(
        "plain",
        "words",
        "post_lane",
        "ADD_BITS'(residual) <<< residual_left",
        "ADD_BITS'({1'b0, residual}) <<< residual_left",
    ),
    "residual shifted like the sum": bug(
        "dilation", "words", "post_lane", "<<< residual_left", "<<< add_left"
    ),
    "addition as narrow as its operands": bug(
        "unsigned",
        "stress",
        "post_lane",
        "add_on ? own + other : ADD_BITS'(cast1);",
        "add_on ? ADD_BITS'($signed(READ_BITS'(own + other))) : ADD_BITS'(cast1);",
    ),
    "running sum one bit too narrow": bug(
        "dilation",
        "stress",
        "post_lane",
        "new_total = previous + TOTAL_BITS'(newest) - leaving;",
        "new_total = TOTAL_BITS'($signed((TOTAL_BITS - 1)'(previous + TOTAL_BITS'(newest)"
        " - leaving)));",
    ),
    "word that leaves the FIFO without sign": bug(
        "plain",
        "words",
        "post_lane",
        "TOTAL_BITS'(oldest) : '0",
        "TOTAL_BITS'({1'b0, oldest}) : '0",
    ),
}
