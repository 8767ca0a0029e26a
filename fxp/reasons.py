"""Why a step is what it is: the bound that decided, and why nothing narrower does.

The functions that decide (`fxp.fused`) are asked again about a node of which all but one thing was
made small. What they still refuse they refuse for that one thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import assert_never

import numpy as np

from fxp.fused.casts import MOST_SHIFT, VectorCast, extremes, vector_cast
from fxp.fused.fuse import reads_of
from fxp.fused.products import product_tier, reach
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
from fxp.fused.wide import MOST_DIGITS, wide_product
from fxp.ir import Conv, Node, Requantise, TemporalConv, Weights, operands
from fxp.node_fields import kind_of
from fxp.plan import Plan
from fxp.qformat import Cast, Overflow, Rounding
from fxp.ranges import Signal, signed_bits

_HALVES = (Tier.INT16, Tier.MADD16, Tier.PLAIN16)

Product = Conv | TemporalConv
Nodes = Mapping[str, Node]


def product_of(nodes: Nodes, step: Step) -> Product | None:
    """The convolution that a step is about, if it is about one."""
    match step:
        case TapsStep() | CrossedStep():
            return product_of(nodes, step.product)
        case ProductStep() | WideStep() | SingleStep():
            node = nodes[step.name]
            return node if isinstance(node, Conv | TemporalConv) else None
        case ReadStep() | RowsStep() | DelayStep() | ViewStep() | PickStep():
            return None
        case _:
            assert_never(step)


def weight_bits(node: Product) -> int:
    """What a convolution's weights need."""
    return signed_bits(int(node.weight.raw.min()), int(node.weight.raw.max()))


def deciding_bits(plan: Plan, nodes: Nodes, step: Step) -> int:
    """What sums need in the worst case, bias and rounding included; words, where there are none."""
    signals = plan.signals
    match step:
        case TapsStep() | CrossedStep():
            return deciding_bits(plan, nodes, step.product)
        case ProductStep():
            return signed_bits(*reach(signals[step.name], _casts(plan, nodes, step)))
        case RowsStep():
            return step.needs[0]
        case DelayStep() | ViewStep() | PickStep():
            return signals[step.x].width_bits
        case ReadStep() | WideStep() | SingleStep():
            return max(signals[name].width_bits for name in (*reads_of(step), step.name))
        case _:
            assert_never(step)


def why(plan: Plan, nodes: Nodes, step: Step) -> str:
    """Why nothing narrower computes a step; empty where there is nothing narrower."""
    node = product_of(nodes, step)
    match step:
        case TapsStep():
            return why(plan, nodes, step.product)
        case ProductStep():
            assert node is not None
            narrower = list(Tier)[: list(Tier).index(step.tier)]
            reasons = (
                _why_no_tier(plan, narrower, node),
                _why_carried(plan, nodes, step, node) if step.carry else "",
                _why_apart(plan, nodes, step, node),
            )
            return "; ".join(reason for reason in reasons if reason)
        case CrossedStep():
            assert node is not None
            return _why_no_tier(plan, [step.product.tier], node)
        case WideStep():
            assert node is not None
            return _why_no_tier(plan, [step.tier], node)
        case RowsStep():
            return _why_lanes(step)
        case ReadStep() | DelayStep() | ViewStep() | PickStep():
            return ""
        case SingleStep():
            return _why_alone(plan, nodes[step.name])
        case _:
            assert_never(step)


def _casts(plan: Plan, nodes: Nodes, step: ProductStep) -> list[VectorCast]:
    """The casts that a product makes of its sums."""
    casts = []
    for name in step.nodes[1:]:
        node = nodes[name]
        assert isinstance(node, Requantise)
        cast = vector_cast(node, plan.signals[node.x])
        assert cast is not None
        casts.append(cast)
    return casts


# ------------------------------------------------------------ products


def _why_no_tier(plan: Plan, tiers: Sequence[Tier], node: Product) -> str:
    """What keeps a product out of each of some tiers."""
    found: dict[str, list[str]] = {}
    for tier in tiers:
        found.setdefault(", ".join(_refusals(plan, tier, node)), []).append(tier)
    return "; ".join(f"{', '.join(names)}: {text}" for text, names in found.items())


def _refusals(plan: Plan, tier: Tier, node: Product) -> list[str]:
    """Each thing that a tier refuses by itself."""
    if tier not in machine_tiers():
        return ["this processor lacks it"]
    if tier not in plan.tiers:
        return ["left out"]
    x, y, only = plan.signals[node.x], plan.signals[node.name], frozenset({tier})
    zeros = Weights(np.zeros_like(node.weight.raw), 1, node.weight.frac_bits)
    blank, nothing, small = replace(node, weight=zeros), _zero(x), _zero(y)
    found = []
    if product_tier(blank, x, small, (), only) is None:
        found.append(f"operands need {x.width_bits} bits")
    if product_tier(node, nothing, small, (), only) is None:
        found.append(f"weights need {weight_bits(node)} bits")
    if product_tier(blank, nothing, y, (), only) is None:
        found.append(f"sums need {y.width_bits} bits")
    return found


def _why_carried(plan: Plan, nodes: Nodes, step: ProductStep, node: Product) -> str:
    """Why 32 bits do not hold the sums, or what casts make of them."""
    refused = ", ".join(_refusals(plan, step.tier, node))
    y, casts = plan.signals[node.name], _casts(plan, nodes, step)
    return f"{step.tier}: {refused or _too_much(y, casts)}"


def _too_much(y: Signal, casts: Sequence[VectorCast]) -> str:
    """What casts need that 32 bits do not have."""
    bits, places = signed_bits(*reach(y, casts)), max(max(cast.shift) for cast in casts)
    return f"rounding needs {bits} bits" if bits > 32 else f"a shift of {places} places"


def _why_apart(plan: Plan, nodes: Nodes, step: ProductStep, node: Product) -> str:
    """Why a product leaves its sums in memory, where it is the rounding of their casts."""
    x, y = plan.signals[node.x], plan.signals[node.name]
    readers = [other for other in nodes.values() if node.name in operands(other)]
    casts = [vector_cast(each, y) for each in readers if isinstance(each, Requantise)]
    found = [cast for cast in casts if cast is not None]
    if len(step.nodes) > 1 or not found or len(found) < len(readers):
        return ""
    if product_tier(node, x, y, found, plan.tiers) is not None:
        return ""
    return f"casts run behind: {_too_much(y, found)}"


def _zero(signal: Signal) -> Signal:
    """The same value, always zero."""
    return replace(signal, lo=(0,), hi=(0,))


# ------------------------------------------------------------ passes and lone nodes


def _why_lanes(step: RowsStep) -> str:
    bits, name = step.needs
    if bits <= step.lanes_bits // 2:
        return "" if step.lanes_bits == 16 else f"{step.source} lies in {step.lanes_bits} bits"
    return f"{name} needs {bits} bits" if step.lanes_bits > 16 else ""


def _why_alone(plan: Plan, node: Node) -> str:
    signals, tiers = plan.signals, plan.tiers
    if not plan.fused:
        return "tier generic: every node runs alone"
    match node:
        case Requantise():
            return _why_no_cast(node, signals[node.x])
        case TemporalConv():
            reason = _why_no_tier(plan, [tier for tier in _HALVES if tier in tiers], node)
            return f"{reason}; taps are not multiplied in digits"
        case Conv():
            assert wide_product(node, signals[node.x], tiers) is None
            reason = _why_no_tier(plan, [tier for tier in _HALVES if tier in tiers], node)
            return f"{reason}; {MOST_DIGITS} digits by {MOST_DIGITS} do not hold it"
        case _:
            return f"no pass has a {kind_of(node)}"


def _why_no_cast(node: Requantise, x: Signal) -> str:
    """What of a cast no pass has; sums too wide to be rounded in 64 bits otherwise."""
    cast, found = node.cast, []
    to = cast.to.frac_bits
    if not _possible(node, Cast(cast.to, Rounding.RND, cast.overflow), x, (to,)):
        found.append(f"overflow {cast.overflow}")
    if not _possible(node, Cast(cast.to, cast.rounding, Overflow.SAT), x, (to + 1,)):
        found.append(f"rounding {cast.rounding}")
    if not _possible(node, Cast(cast.to, Rounding.RND, Overflow.SAT), x, x.frac_bits):
        places = max(abs(frac - to) for frac in x.frac_bits)
        found.append(f"a shift of {places} places, more than {MOST_SHIFT}")
    return ", ".join(found) or _why_no_room(node, x)


def _why_no_room(node: Requantise, x: Signal) -> str:
    """How many bits a cast needs that 64 bits do not hold."""
    cast, left = vector_cast(node, x), node.cast.to.frac_bits - min(x.frac_bits)
    assert cast is not None
    if left > 0:
        return f"moved {left} places to the left, words need {x.width_bits + left} bits"
    return f"rounding needs {signed_bits(*extremes(cast, x))} bits"


def _possible(node: Requantise, cast: Cast, x: Signal, fracs: tuple[int, ...]) -> bool:
    return vector_cast(replace(node, cast=cast), replace(x, frac_bits=fracs)) is not None
