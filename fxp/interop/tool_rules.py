"""What the operators of other tools can do: the facts that `fxp.interop.portability` judges by.

Sources are named in docs/interchange.md. A tool with `float_bits` adds in floats of that mantissa,
one with `accumulator_bits` in integers of that width; 0 means without a limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from fxp.interop.magnitude import FLOAT32_BITS
from fxp.qformat import Overflow, Rounding


class Tool(StrEnum):
    """Who else may compute the network."""

    AP_FIXED = "ap_fixed"  # Vitis HLS, ap_fixed.h
    INTEGER = "integer"  # `--to qdq --form integer`, and `--to c`
    QONNX = "qonnx"  # its Quant operator
    QDQ = "qdq"  # ONNX QuantizeLinear and DequantizeLinear
    TFLITE = "tflite"  # reference kernels, double rounding
    DPU = "dpu"  # Vitis AI
    TORCH = "torch"  # fake quantisation


@dataclass(frozen=True, slots=True)
class Rules:
    """A tool's operators.

    Attributes:
        roundings: of its own casts.
        rounding_note: what it does instead of any other.
        overflows: of its own casts.
        word_bits: (width, signed) of the words it stores; none: any.
        weight_bits: the widest weight; 0: any.
        accumulator_bits: width of its integer sums; 0: as wide as asked for.
        float_bits: mantissa of its float sums; 0: its sums are integers.
        per_channel: a scale per output channel.
        aligns: adds operands of different scales without rounding one first.
        reciprocals: a mean as a product with a stated constant.
        joint_scales: scales and biases per joint, not only per channel, without a rounding between.
        graph_products: products over joints.
        running_sums: sums over frames that round nothing.
        ratios: LayerNorm and Softmax of some kind.
        own_tables: those work by tables of the tool's making.
        integer_programs: any integer function can be written.
        quant_quirks: its symmetric range of unsigned words lacks the largest, and its words of one
            signed bit are -1 and 1.
    """

    roundings: frozenset[Rounding]
    rounding_note: str
    overflows: frozenset[Overflow]
    word_bits: frozenset[tuple[int, bool]] = frozenset()
    weight_bits: int = 0
    accumulator_bits: int = 0
    float_bits: int = 0
    per_channel: bool = True
    aligns: bool = True
    reciprocals: bool = True
    joint_scales: bool = True
    graph_products: bool = True
    running_sums: bool = True
    ratios: bool = True
    own_tables: bool = False
    integer_programs: bool = False
    quant_quirks: bool = False


_EVERY_ROUNDING, _EVERY_OVERFLOW = frozenset(Rounding), frozenset(Overflow)
_SATURATES = frozenset({Overflow.SAT})
_INTEGERS = frozenset((bits, signed) for bits in (8, 16) for signed in (True, False))

TOOLS: Mapping[Tool, Rules] = MappingProxyType(
    {
        Tool.AP_FIXED: Rules(_EVERY_ROUNDING, "", _EVERY_OVERFLOW, integer_programs=True),
        Tool.INTEGER: Rules(_EVERY_ROUNDING, "", _EVERY_OVERFLOW, integer_programs=True),
        Tool.QONNX: Rules(
            _EVERY_ROUNDING - {Rounding.RND, Rounding.RND_MIN_INF},
            "no half up (its HALF_UP is half away)",
            frozenset({Overflow.SAT, Overflow.SAT_SYM}),
            float_bits=FLOAT32_BITS,
            ratios=False,
            quant_quirks=True,
        ),
        Tool.QDQ: Rules(
            frozenset({Rounding.RND_CONV}),
            "rounds half to even",
            _SATURATES,
            word_bits=_INTEGERS,
            weight_bits=16,
            float_bits=FLOAT32_BITS,
        ),
        Tool.TFLITE: Rules(
            frozenset(),
            "rounds twice, the second time half away",
            _SATURATES,
            word_bits=frozenset({(8, True), (16, True)}),
            weight_bits=8,
            accumulator_bits=32,
            aligns=False,
            reciprocals=False,
            joint_scales=False,
            running_sums=False,
            own_tables=True,
        ),
        Tool.DPU: Rules(
            frozenset({Rounding.RND}),
            "rounds half up",
            _SATURATES,
            word_bits=frozenset({(8, True)}),
            weight_bits=8,
            per_channel=False,
            reciprocals=False,
            joint_scales=False,
            graph_products=False,
            running_sums=False,
            ratios=False,
        ),
        Tool.TORCH: Rules(
            frozenset({Rounding.RND_CONV}),
            "rounds half to even",
            _SATURATES,
            float_bits=FLOAT32_BITS,
        ),
    }
)
