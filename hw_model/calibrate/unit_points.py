"""The units that area models are fitted to, and those that they are tried on.

A unit is synthesised alone, with the parameters that a network of nothing else gives it: it is the
only node between an input and a cast. Frames, tables and lanes are drawn by chance, and by how much
the accumulators of an engine are wider than its unit needs. Held-out units have other widths and
other numbers of lanes. Every list is drawn from a fixed seed, so that a longer one begins with a
shorter one.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from fxp.ir import ClipMean, Graph, Input, LayerNorm, Node, Requantise, Softmax
from fxp.node_tables import (
    LAYER_NORM_EPS,
    NEWTON_STEPS,
    exp_tables,
    layer_norm_epsilon,
    reciprocal_root_seeds,
)
from fxp.qformat import Cast, Overflow, QFormat, Rounding
from hw_model.area.unit_terms import Unit
from hw_model.calibrate.points import FITTED_BITS, HELD_OUT_BITS, Point
from hw_model.rtl.design import design_of

COUNTS: Mapping[Unit, tuple[int, int]] = {  # fitted, held out
    "layer_norm": (10, 4),  # its multipliers take long
    "softmax": (12, 5),
    "clip_mean": (12, 5),
}
_LANES = (1, 2, 4, 8), (3, 5, 6)  # fitted, held out; so are all pairs below
_CAST = Cast(QFormat(8, 4), Rounding.RND, Overflow.SAT)
_NORM_BITS = 14  # fractional bits of a norm's words
_ACCUMULATOR_BITS = 63
_WIDER_BITS = 8


def unit_points(
    unit: Unit, fitted: int | None = None, held_out: int | None = None
) -> tuple[Point, ...]:
    """The first so many of each kind; as `COUNTS` has it where not given."""
    fitted = COUNTS[unit][0] if fitted is None else fitted
    held_out = COUNTS[unit][1] if held_out is None else held_out
    return (*_drawn(unit, fitted, held_out=False), *_drawn(unit, held_out, held_out=True))


def _drawn(unit: Unit, count: int, *, held_out: bool) -> list[Point]:
    """Widths of words come in turn, so that a few units have them all."""
    rng = random.Random(f"{unit} {held_out}")
    widths = HELD_OUT_BITS if held_out else FITTED_BITS
    found = []
    for at in range(count):
        bits, lanes = widths[at % len(widths)], rng.choice(_LANES[held_out])
        node, shape, about = _node(rng, unit, bits, held_out)
        label = f"{unit} x{bits}, {shape[0]} x {shape[1]} words{about}, {lanes} lanes"
        graph = Graph(
            unit,
            (Input("input", *shape, _words(bits)), node, Requantise("out", "unit", _CAST)),
            ("out",),
            _ACCUMULATOR_BITS,
            {},
        )
        design = design_of(graph, lanes)
        acc = design.parameters["ACC_BITS"] + rng.randint(0, _WIDER_BITS)
        parameters = {**design.parameters, "ACC_BITS": acc}
        found.append(Point(label, replace(design, parameters=parameters), held_out, unit))
    return found


def _words(bits: int) -> QFormat:
    return QFormat(bits, bits // 2)


def _node(
    rng: random.Random, unit: Unit, bits: int, held_out: bool
) -> tuple[Node, tuple[int, int], str]:
    """A node that reads the input, channels and joints of its frames, what else sets its size."""

    def one(fitted: Sequence[int], tried: Sequence[int]) -> int:
        return rng.choice(tried if held_out else fitted)

    match unit:
        case "layer_norm":
            shape = one((8, 16, 32, 64, 128), (12, 24, 48, 96)), one((6, 18, 25), (5, 14, 22))
            epsilon = layer_norm_epsilon(LAYER_NORM_EPS, shape[0] * shape[1], bits // 2)
            seeds = reciprocal_root_seeds()
            return LayerNorm("unit", "input", epsilon, seeds, NEWTON_STEPS, _NORM_BITS), shape, ""
        case "softmax":
            shape = one((2, 8, 18, 52), (4, 12, 40)), one((1, 1, 6, 18, 25), (1, 5, 14))
            exp_bits, share_bits = one((8, 12, 16), (10, 14, 16)), one((7, 11, 15), (8, 10, 14))
            tables = exp_tables(_words(bits), exp_bits)
            about = f", exponentials of {exp_bits}, shares of {share_bits} bits"
            return Softmax("unit", "input", *tables, exp_bits, share_bits), shape, about
        case "clip_mean":
            shape = one((16, 64, 256), (24, 128)), one((1, 1, 25), (1, 18))
            frames, shift = one((60, 300, 1500), (100, 500, 900)), one((0, 4, 8), (2, 6))
            return ClipMean("unit", "input", shift, frames), shape, f", {frames} frames << {shift}"
        case _:
            assert_never(unit)
