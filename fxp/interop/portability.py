"""Which other tools compute each node to the same words, and where not, why.

A verdict is about the tool's own operator, put in place of the node and given the same operands:
`equal`, `exact` (equal as the operators that an exporter here writes, not as the tool's plain one),
`may differ`, or `absent`. It follows from the node and the ranges of its operands alone, so `equal`
holds for every input; `may differ` is said of whatever is not shown to be equal. What the tools do
stands in docs/interchange.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from fxp.interop.magnitude import (
    FLOAT64_BITS,
    cast_bits,
    drops_bits,
    needed_bits,
    overflows,
)
from fxp.interop.tool_rules import TOOLS, Rules, Tool
from fxp.ir import (
    Add,
    Affine,
    Argmax,
    ClipMean,
    Conv,
    Flatten,
    Graph,
    GraphProduct,
    Input,
    JointMean,
    LayerNorm,
    Node,
    Requantise,
    Softmax,
    TemporalConv,
    TemporalSum,
    Weights,
    operands,
)
from fxp.node_fields import kind_of
from fxp.qformat import Overflow, QFormat
from fxp.ranges import Signal, analyse, certify


class Verdict(StrEnum):
    """Whether a tool gives the words of a node."""

    EQUAL = "equal"
    EXACT = "exact"
    DIFFERS = "may differ"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict and the reasons against an `equal`, none where it is one."""

    verdict: Verdict
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeReport:
    """The findings on one node, by tool; `bits` a float needs for its sums."""

    node: str
    kind: str
    bits: int
    findings: Mapping[Tool, Finding]


def survey(graph: Graph) -> list[NodeReport]:
    """A report on every node, in order.

    Raises:
        GraphError: the graph breaks a rule of the IR.
    """
    certify(graph)
    signals = analyse(graph)
    bits = needed_bits(graph, signals)
    reports = []
    for node in graph.nodes:
        x = [signals[name] for name in operands(node)]
        inside = cast_bits(node, x[0]) if isinstance(node, Requantise) else bits[node.name]
        findings = {
            tool: _finding(tool, TOOLS[tool], node, x, signals[node.name], inside) for tool in Tool
        }
        reports.append(NodeReport(node.name, kind_of(node), inside, findings))
    return reports


def _finding(
    tool: Tool, rules: Rules, node: Node, x: Sequence[Signal], y: Signal, bits: int
) -> Finding:
    match node:
        case Input(fmt=fmt):
            return _judged(_width(rules, fmt), tool, bits)
        case Requantise():
            return _judged(_cast(rules, node, x[0]), tool, bits)
        case Flatten() | Argmax():
            return Finding(Verdict.EQUAL)
        case LayerNorm() | Softmax() | ClipMean():
            return _ratio(rules, node, tool, bits)
        case Conv() | TemporalConv():
            return _judged(_sum(rules, y, bits) + _weights(rules, node.weight), tool, bits)
        case Affine(scale=scale, bias=bias):
            if max(scale.raw.shape[1], bias.shape[1]) > 1 and not rules.joint_scales:
                return Finding(Verdict.ABSENT, ("no scale per joint",))
            return _judged(_sum(rules, y, bits) + _weights(rules, scale), tool, bits)
        case GraphProduct(adjacency=adjacency):
            reasons = _sum(rules, y, bits) + _weights(rules, adjacency, partitions=True)
            if not rules.graph_products:
                return Finding(Verdict.ABSENT, ("no product of joints with a constant",))
            return _judged(reasons, tool, bits)
        case TemporalSum():
            if not rules.running_sums:
                return Finding(Verdict.ABSENT, ("no sum over frames that rounds nothing",))
            return _judged(_sum(rules, y, bits), tool, bits)
        case Add():
            aligned = len({*x[0].frac_bits, *x[1].frac_bits}) == 1 or rules.aligns
            reasons = () if aligned else ("rounds an operand of another scale",)
            return _judged(_sum(rules, y, bits) + reasons, tool, bits)
        case JointMean():
            reasons = () if rules.reciprocals else ("divides, where the network multiplies",)
            return _judged(_sum(rules, y, bits) + reasons, tool, bits)
        case _:
            assert_never(node)


def _judged(reasons: tuple[str, ...], tool: Tool, bits: int) -> Finding:
    """`exact` where the exporter writes operators of its own, in a float that holds all bits."""
    if not reasons:
        return Finding(Verdict.EQUAL)
    writes = tool in (Tool.QONNX, Tool.QDQ) and bits <= FLOAT64_BITS
    return Finding(Verdict.EXACT if writes else Verdict.DIFFERS, reasons)


def _ratio(rules: Rules, node: LayerNorm | Softmax | ClipMean, tool: Tool, bits: int) -> Finding:
    if rules.integer_programs:
        return Finding(Verdict.EXACT, ("integer operators, not the tool's own function",))
    if isinstance(node, ClipMean):
        return _judged(("rounds its mean otherwise",), tool, bits)
    if not rules.ratios:
        return Finding(Verdict.ABSENT, (f"no {type(node).__name__}",))
    why = "a table of its own" if rules.own_tables else "divides and takes roots in floats"
    return Finding(Verdict.DIFFERS, (why,))


def _cast(rules: Rules, node: Requantise, x: Signal) -> tuple[str, ...]:
    reasons = list(_width(rules, node.cast.to))
    if rules.float_bits and cast_bits(node, x) > rules.float_bits:
        reasons.append(f"{cast_bits(node, x)} bits in a float of {rules.float_bits}")
    if drops_bits(node, x) and node.cast.rounding not in rules.roundings:
        reasons.append(rules.rounding_note)
    if overflows(node, x) and node.cast.overflow not in rules.overflows:
        reasons.append(f"no {node.cast.overflow} overflow")
    elif (
        node.cast.overflow == Overflow.SAT_SYM
        and overflows(node, x)
        and not node.cast.to.signed
        and rules.quant_quirks
    ):
        reasons.append("a narrow range loses the largest unsigned word")
    return tuple(reasons)


def _width(rules: Rules, fmt: QFormat) -> tuple[str, ...]:
    if rules.word_bits and (fmt.word_bits, fmt.signed) not in rules.word_bits:
        held = f"{'s' if fmt.signed else 'u'}{fmt.word_bits}"
        return (f"no words of {held}",)
    if rules.float_bits and fmt.word_bits > rules.float_bits:
        return (f"words of {fmt.word_bits} bits in a float of {rules.float_bits}",)
    if rules.quant_quirks and fmt.signed and fmt.word_bits == 1:
        return ("one signed bit is -1 or 1",)
    return ()


def _sum(rules: Rules, y: Signal, bits: int) -> tuple[str, ...]:
    if rules.float_bits and bits > rules.float_bits:
        return (f"{bits} bits in a float of {rules.float_bits}",)
    if rules.accumulator_bits and y.width_bits > rules.accumulator_bits:
        return (f"{y.width_bits} bits in sums of {rules.accumulator_bits}",)
    return ()


def _weights(rules: Rules, weights: Weights, partitions: bool = False) -> tuple[str, ...]:
    reasons: tuple[str, ...] = ()
    if rules.weight_bits and weights.word_bits > rules.weight_bits:
        reasons += (f"weights of {weights.word_bits} bits, it has {rules.weight_bits}",)
    if rules.float_bits and weights.word_bits > rules.float_bits + 1:
        reasons += (f"weights of {weights.word_bits} bits in a float of {rules.float_bits}",)
    if len(set(weights.frac_bits)) > 1 and not rules.per_channel and not partitions:
        reasons += ("one scale for all channels",)
    return reasons
