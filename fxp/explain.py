"""What the engine does with a network, step by step, and why (`fxp.reasons`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np

from fxp.errors import InputError
from fxp.fused.fuse import nodes_of, results_of
from fxp.fused.steps import (
    CrossedStep,
    DelayStep,
    PickStep,
    ProductStep,
    ReadStep,
    RowsStep,
    SingleStep,
    Step,
    TapsStep,
    ViewStep,
    WideStep,
)
from fxp.fused.tiers import Tier, machine_tiers
from fxp.ir import Conv, GraphProduct, Node, TemporalConv, layer_of
from fxp.plan import Plan
from fxp.ranges import Signal
from fxp.reasons import deciding_bits, product_of, weight_bits, why
from fxp.state import initial_state

ALONE = "alone"


@dataclass(frozen=True)
class Row:
    """One step.

    Attributes:
        nodes: what it computes (of a delay line, its name).
        results: those that others read from memory.
        kind: input, product, taps, wide, rows, delay, view, argmax or alone.
        engine: the tier of a product, with the number of its digits' products; the lanes of a pass.
        bits: what its sums need in the worst case, bias and rounding included; what its words
            need where it has none.
        operand_bits: what the operands of a convolution need, else None.
        weight_bits: what its weights need, else None.
        period: frames of the input per frame of its value; 0: one frame per clip.
        words: of its results, per frame of the value.
        macs: multiply-accumulates of convolutions and graph products, of these the edges only, per
            frame of the value.
        constant_bytes: of weights, edges and other constants.
        state_bytes: of what it keeps from frame to frame.
        why: why nothing narrower does; empty where there is nothing narrower.
    """

    nodes: tuple[str, ...]
    results: tuple[str, ...]
    kind: str
    engine: str
    bits: int
    operand_bits: int | None
    weight_bits: int | None
    period: int
    words: int
    macs: int
    constant_bytes: int
    state_bytes: int
    why: str


@dataclass(frozen=True)
class Explanation:
    """All steps of a plan in their order.

    Attributes:
        machine: the tiers that this processor has.
        allowed: those that the plan may use.
        chunk_frames: how many frames of the input are taken at a time, at most.
        macs: per frame of the input; work at the end of a clip is left out.
        mac_percent: shares by engine, the largest first.
        rows: one per step.
    """

    machine: tuple[Tier, ...]
    allowed: tuple[Tier, ...]
    chunk_frames: int
    macs: float
    mac_percent: Mapping[str, float]
    rows: tuple[Row, ...]


def tiers_up_to(tier: Tier) -> frozenset[Tier]:
    """A tier and the plainer ones that this processor has.

    Raises:
        InputError: it lacks the tier itself.
    """
    machine = machine_tiers()
    if tier not in machine:
        has = ", ".join(each for each in Tier if each in machine)
        raise InputError(f"tier `{tier}`: this processor lacks it, it has {has}")
    order = list(Tier)
    return frozenset(order[order.index(tier) :]) & machine


def explain_plan(plan: Plan) -> Explanation:
    """What the engine does where the outputs of a network are asked for."""
    nodes: dict[str, Node] = {node.name: node for node in plan.graph.nodes}
    kept = _state_bytes(plan)
    rows = tuple(_row(plan, nodes, kept, step) for step in _steps(plan))
    macs: dict[str, float] = {}
    for row in rows:
        if row.macs and row.period:
            macs[row.engine] = macs.get(row.engine, 0.0) + row.macs / row.period
    total = sum(macs.values())
    largest_first = sorted(macs, key=lambda engine: -macs[engine])
    return Explanation(
        tuple(tier for tier in Tier if tier in machine_tiers()),
        tuple(tier for tier in Tier if tier in plan.tiers),
        plan.chunk_frames,
        total,
        {engine: 100 * macs[engine] / total for engine in largest_first},
        rows,
    )


def label_of(row: Row) -> str:
    """Nodes and results, each layer named once: `block3: graph, graph.q, sum -> sum.q`."""
    inner = [name for name in row.nodes if name not in row.results]
    if not inner:
        return _grouped(row.results)
    return f"{_grouped(inner)} -> {_grouped(row.results, layer_of(inner[-1]))}"


def _grouped(names: Sequence[str], layer: str = "") -> str:
    """Names joined, without the layer where it is that of the one before."""
    text = ""
    for name in names:
        own = layer_of(name)
        rest = name[len(own) + 1 :]
        if own == layer:
            part = rest or own
            text += f", {part}" if text else part
        else:
            text += ("; " if text else "") + (f"{own}: {rest}" if rest else own)
        layer = own
    return text


def _steps(plan: Plan) -> tuple[Step, ...]:
    """Those of the engine that gives a plan's outputs."""
    if plan.fused:
        return plan.steps
    first, *others = plan.stages.values()
    return (ReadStep(first.name), *(SingleStep(stage.name, stage.reads) for stage in others))


def _state_bytes(plan: Plan) -> dict[str, int]:
    """Bytes of state by the step that keeps them: a node, or in the fused engine a delay line."""
    state = initial_state(plan)
    found: dict[str, int] = {}
    for part in (state.rings, state.accumulators, state.delays):
        for name, array in part.items():
            owner = name if plan.fused else plan.delayed.get(name, ("", name))[1]
            found[owner] = found.get(owner, 0) + array.nbytes
    return found


def _row(plan: Plan, nodes: Mapping[str, Node], kept: Mapping[str, int], step: Step) -> Row:
    computed, results = nodes_of(step), results_of(step)
    named = computed or results  # a delay line is no node
    shapes = [plan.shape(name) for name in results]
    node = product_of(nodes, step)
    return Row(
        nodes=named,
        results=results,
        kind=_kind(step),
        engine=_engine(step),
        bits=deciding_bits(plan, nodes, step),
        operand_bits=None if node is None else plan.signals[node.x].width_bits,
        weight_bits=None if node is None else weight_bits(node),
        period=plan.timing_of(results[0]).period,
        words=sum(joints * channels for joints, channels in shapes),
        macs=sum(_macs(nodes[name], plan.signals[name]) for name in computed),
        constant_bytes=_constant_bytes(plan, step),
        state_bytes=sum(kept.get(name, 0) for name in named),
        why=why(plan, nodes, step),
    )


def _kind(step: Step) -> str:
    match step:
        case ReadStep():
            return "input"
        case ProductStep():
            return "product"
        case CrossedStep():
            return "crossed"
        case TapsStep():
            return "taps"
        case WideStep():
            return "wide"
        case RowsStep():
            return "rows"
        case DelayStep():
            return "delay"
        case ViewStep():
            return "view"
        case PickStep():
            return "argmax"
        case SingleStep():
            return ALONE
        case _:
            assert_never(step)


def _engine(step: Step) -> str:
    match step:
        case ProductStep():
            return step.tier + (" carried" if step.carry else "")
        case TapsStep():
            return _engine(step.product)
        case CrossedStep():
            return f"{step.product.tier} x3"
        case WideStep():
            return f"{step.tier} x{len(step.passes)}"
        case RowsStep():
            return f"lanes{step.lanes_bits}"
        case SingleStep():
            return ALONE
        case ReadStep() | DelayStep() | ViewStep() | PickStep():
            return ""
        case _:
            assert_never(step)


def _macs(node: Node, y: Signal) -> int:
    """Multiply-accumulates per frame, as `hw_model.loops` counts them for sparse adjacencies."""
    match node:
        case Conv() | TemporalConv():
            return node.weight.raw.size * y.joints
        case GraphProduct():
            return int(np.count_nonzero(node.adjacency.raw)) * y.channels
        case _:
            return 0


def _constant_bytes(plan: Plan, step: Step) -> int:
    match step:
        case TapsStep():
            return _constant_bytes(plan, step.product)
        case ProductStep():
            return _bytes((step.weight, step.constants))
        case CrossedStep():
            return _constant_bytes(plan, step.product) + _bytes((step.low, step.both))
        case WideStep():
            weights = {id(weight): weight for _, weight, _ in step.passes}
            return _bytes((*weights.values(), step.constants, step.bias))
        case RowsStep():
            return _bytes((step.constants, step.edges))
        case PickStep():
            return _bytes((step.left,))
        case SingleStep():
            return _bytes(vars(plan.stages[step.name].operation).values())
        case ReadStep() | DelayStep() | ViewStep():
            return 0
        case _:
            assert_never(step)


def _bytes(constants: Iterable[Any]) -> int:
    """Of all arrays among them, tuples of arrays included; a single number is no memory."""
    total = 0
    for constant in constants:
        if isinstance(constant, np.ndarray):
            total += constant.nbytes
        elif isinstance(constant, tuple):
            total += _bytes(constant)
    return total
