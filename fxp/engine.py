"""The one inner step of the simulator: the next frames in, every value's new frames out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

import numpy as np

from fxp.fused.fuse import delay_name
from fxp.ir import IntArray
from fxp.kernels import conv, graph, norm, pointwise, temporal
from fxp.kernels.casting import Clamp, Recast, apply_cast
from fxp.operations import (
    Aggregate,
    Average,
    Join,
    Mean,
    Multiply,
    Normalise,
    Pick,
    Read,
    Scale,
    Share,
    Taps,
    Unfold,
    Window,
)
from fxp.plan import Plan, Stage, zeros_after
from fxp.state import State, frames_of


def advance(
    plan: Plan, state: State, words: IntArray, names: Iterable[str], *, flush: bool
) -> dict[str, IntArray]:
    """Read frames (T, C, V), update the state and return new frames (T', V, C) of the names."""
    kept = set(names)
    return {name: value for name, value in walk(plan, state, words, flush=flush) if name in kept}


def walk(
    plan: Plan, state: State, words: IntArray, *, flush: bool
) -> Iterator[tuple[str, IntArray]]:
    """Read frames (T, C, V) and give the new frames (T', V, C) of every value, in graph order.

    A value is forgotten once its last reader has read it. The state is right when all were taken.
    """
    values: dict[str, IntArray] = {}
    for stage in plan.stages.values():
        if isinstance(stage.operation, Read):
            value = np.ascontiguousarray(words.transpose(0, 2, 1), dtype=stage.dtype)
        else:
            value = evaluate(plan, state, stage, [values[name] for name in stage.reads], flush)
        values[stage.name] = value
        yield stage.name, value
        for name in stage.done:
            del values[name]
    state.frames += len(words)
    state.finished = flush and plan.waits_for_end


def evaluate(plan: Plan, state: State, stage: Stage, x: list[IntArray], flush: bool) -> IntArray:
    """The frames (T', V, C) of one value that its operands' new frames complete.

    A step of `walk`, of any stage but a `Read`: `x` are the new frames of what it reads, in the
    dtypes of their stages; the stage's part of the state moves on, `state.frames` does not.
    """
    name, k = stage.name, stage.operation
    match k:
        case Read():
            raise AssertionError("a Read has no operands")
        case Taps():
            seen = frames_of(plan, state, stage.reads[0])
            extra = zeros_after(k, seen + len(x[0])) if flush else 0
            first, last = (_outputs(k, frames) for frames in (seen, seen + len(x[0]) + extra))
            y, ring = _empty(stage, last - first), state.rings[name]
            temporal.temporal_conv(
                x[0], extra, seen, k.lookahead, k.stride, k.dilation, ring, k.weight, k.bias, y
            )
            return y
        case Average():
            frames = frames_of(plan, state, stage.reads[0]) + len(x[0])
            y = _empty(stage, int(flush and frames > 0))
            temporal.clip_mean(
                _flat(x[0]), frames, k.shift, _flat(state.accumulators[name]), _flat(y)
            )
            return y
        case Join():
            a, b = (_delayed(plan, state, stage, side, x) for side in (0, 1))
            y = _empty(stage, len(a))
            pointwise.add(_flat(a), _flat(b), *k.factors, _flat(y))
            return y
        case Unfold():  # (T, V, C) -> (T, 1, V * C), a view: no kernel writes to what it reads
            return _flat(x[0])[:, None]
    y = _empty(stage, len(x[0]))
    match k:
        case Multiply():
            conv.conv(_rows(x[0]), k.weight, k.bias, _rows(y))
        case Aggregate():
            graph.graph_product(_flat(x[0]), k.first, k.source, k.factor, y)
        case Window():
            seen = frames_of(plan, state, stage.reads[0])
            fifo, total = _flat(state.rings[name]), _flat(state.accumulators[name])
            temporal.temporal_sum(_flat(x[0]), seen, fifo, total, _flat(y))
        case Scale():
            pointwise.affine(_flat(x[0]), k.scale, k.bias, _flat(y))
        case Mean():
            graph.joint_mean(x[0], k.multiplier, y)
        case Normalise():
            norm.layer_norm(_flat(x[0]), k.epsilon, k.seeds, k.newton_steps, k.frac_bits, _flat(y))
        case Share():
            norm.softmax(x[0], k.coarse, k.fine, k.exp_bits, k.frac_bits, y)
        case Clamp() | Recast():
            apply_cast(k, _flat(x[0]), _flat(y))
        case Pick():
            pointwise.argmax(x[0], k.left, y)
        case _:
            assert_never(k)
    return y


def _delayed(plan: Plan, state: State, stage: Stage, side: int, x: list[IntArray]) -> IntArray:
    """An `Add`'s operand: its frames that go with the new ones of the operand that comes last."""
    assert isinstance(stage.operation, Join)
    if stage.operation.delays[side] == 0:
        return x[side]
    seen, first = (frames_of(plan, state, stage.reads[i]) for i in (side, 1 - side))
    y = np.empty((len(x[1 - side]), *x[side].shape[1:]), x[side].dtype)
    line = state.delays[delay_name(stage.name, side)]
    temporal.delay(_flat(x[side]), seen, first, _flat(line), _flat(y))
    return y


def _outputs(taps: Taps, frames: int) -> int:
    """How many results a temporal convolution has after reading so many frames."""
    return max(0, -((taps.lookahead - frames) // taps.stride))


def _empty(stage: Stage, frames: int) -> IntArray:
    return np.empty((frames, stage.joints, stage.channels), stage.dtype)


def _flat(x: IntArray) -> IntArray:
    """(T, V, C) -> (T, V * C)."""
    return x.reshape(len(x), x.shape[1] * x.shape[2])


def _rows(x: IntArray) -> IntArray:
    """(T, V, C) -> (T * V, C)."""
    return x.reshape(len(x) * x.shape[1], x.shape[2])
