"""All planted bugs of the engine by name, those of its units for norms and means among them."""

from __future__ import annotations

from collections.abc import Mapping

from tests.rtl_bugs_arithmetic import LANES, OVERFLOW, ROUNDING, SLOTS
from tests.rtl_bugs_control import HANDSHAKES, ORDER, TIME
from tests.rtl_planting import ZEROED, Bug, bug

_UNITS: Mapping[str, Bug] = {
    "mean of the clip before": bug(
        "clip-mean",
        "clips",
        "clip_mean",
        "held = further ? held4[n*MEAN_SUM_BITS+:MEAN_SUM_BITS] : '0;",
        "held = held4[n*MEAN_SUM_BITS+:MEAN_SUM_BITS];",
        ZEROED,
    ),
    "mean over a frame more": bug(
        "clip-mean",
        "words",
        "clip_mean",
        "(total_frames + period_mask) >> mean_period",
        "(total_frames + period_mask + 1) >> mean_period",
    ),
    "norm rounded down": bug(
        "layer-norm",
        "words",
        "layer_norm",
        "(ROUND_BITS'(scaled6) + half) >>> drop",
        "ROUND_BITS'(scaled6) >>> drop",
    ),
    "pad lanes of a norm": bug(
        "layer-norm",
        "words",
        "layer_norm",
        "last_group && idle[n] ? '0 : ACC_BITS'(rounded);",
        "ACC_BITS'(rounded);",
    ),
    "norm without epsilon": bug(
        "layer-norm",
        "stress",
        "reciprocal_root",
        "VARIANCE_BITS'(product) + epsilon;",
        "VARIANCE_BITS'(product);",
    ),
    "a Newton step too few": bug(
        "layer-norm-wide", "words", "reciprocal_root", "left == 1 ? IDLE", "left <= 2 ? IDLE"
    ),
    "seed of the next mantissa": bug(
        "layer-norm",
        "words",
        "reciprocal_root",
        "seed_base + ADDR_BITS'(past);",
        "seed_base + ADDR_BITS'(past) + 1;",
    ),
    "largest logit without sign": bug(
        "softmax", "words", "softmax", "x3 > top3))", "$unsigned(x3) > $unsigned(top3)))"
    ),
    "exponentials summed on": bug(
        "softmax", "words", "softmax", "firsts[7] ? SHARE_SUM_BITS'(power7) : ", ""
    ),
    "far exponential from the wrong entry": bug(
        "softmax-wide",
        "words",
        "softmax",
        "(block4 > BLOCK_BITS'(coarse_last) ? coarse_last : block4[C_ADDR_BITS-1:0]);",
        "block4[C_ADDR_BITS-1:0];",
    ),
    "line with words of the line before": bug(
        "softmax", "words", "gather", "else if (place[0]) kept <= '0;", ""
    ),
}

BUGS: Mapping[str, Bug] = {
    **ROUNDING,
    **OVERFLOW,
    **LANES,
    **SLOTS,
    **TIME,
    **ORDER,
    **HANDSHAKES,
    **_UNITS,
}
