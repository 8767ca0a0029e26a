"""The fast simulator: a compiled graph run over whole clips, chunks or single frames.

There are two engines over one state. Where only a graph's outputs are asked for, `fxp.fused.run`
takes the next frames of a clip, few or many, through passes in which most values never reach the
memory; where a value in between is asked for, `fxp.engine` computes them node by node. `run`,
`step` and `finish` differ in what they hand them, and may take turns. All equal `fxp.oracle` word
for word, wherever a clip is cut.

A value that needs the future (`TemporalConv` with lookahead) runs behind the input by
`plan.lookahead[name]` frames while the stream goes on; at its end, nodes read zero frames until all
values have as many frames as the input, or one for every `period` of them behind a stride. What
stands behind a `ClipMean` has one frame, which comes with the end of the clip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from fxp.engine import advance
from fxp.errors import InputError
from fxp.fused.program import Program
from fxp.fused.run import advance as fused_advance
from fxp.fused.run import lent_last_program, lent_program, program_for, through
from fxp.fused.split import Stretch, stretches
from fxp.fused.steps import Words
from fxp.ir import Argmax, IntArray, complete_frames
from fxp.plan import Plan, Stage, compile_graph
from fxp.sampling import Counters, Draw, check_run
from fxp.state import State, copy_state, frames_of, initial_state, restore, snapshot, take_over
from fxp.validate import check_clip, check_length

SHORT_CHUNKS = 2  # so many chunks may end a clip at once, beyond what the second cache holds

__all__ = [
    "Plan",
    "State",
    "compile_graph",
    "copy_state",
    "finish",
    "initial_state",
    "predict",
    "restore",
    "run",
    "snapshot",
    "step",
]


def run(
    plan: Plan,
    x: npt.ArrayLike,
    state: State | None = None,
    taps: Sequence[str] = (),
    *,
    more: bool = False,
    threads: int = 1,
    verify: float = 0.0,
    seed: int | None = None,
    watch: Counters | None = None,
) -> tuple[dict[str, IntArray], State]:
    """Simulate the next frames of a clip, in chunks: memory beyond the results is bounded.

    Args:
        plan: the compiled graph.
        x: input words, integers `(T, C, V)`, T >= 1.
        state: where the clip stands; updated in place and returned. None starts a clip.
        taps: names of values wanted besides the graph's outputs.
        more: further frames will follow. It matters for graphs with lookahead or a `ClipMean`
            alone: without it their last frames are flushed, and the clip is over.
        threads: share the frames among so many threads, where the clip is long enough for what the
            network remembers and where no taps are wanted (`fxp.fused.split`).
        verify: share of the frames, 0..1, that are computed again and compared with the definition,
            in short runs of frames drawn by the clip's content (`fxp.sampling`).
        seed: draws in place of the content.
        watch: counts, at those frames, the words that casts could not hold.

    Returns:
        Value name to raw words, int64 `(T', C, V)`, and the state. T' is T, or `ceil(T / period)`
        behind strides, except that with `more` a value lags by its lookahead: these are the frames
        completed by this call.

    Raises:
        InputError: `x` is no possible input, a tap is no value, the clip is over already, it
            gets longer than a `ClipMean` allows, `verify` is no share, or 0 with a `watch`. The
            state is then untouched.
        EngineError: a word at a verified frame is wrong. The state is then worth nothing.
    """
    words = check_clip(plan.graph, x)
    names = _wanted(plan, taps)
    if verify == 0 and watch is not None:
        raise InputError("`watch` counts at verified frames: `verify` must be above 0")
    draw = Draw(words, 0 if state is None else state.frames, verify, seed) if verify else None
    state = initial_state(plan) if state is None else _going_on(plan, state)
    check_length(plan.graph, state.frames + len(words), plan.longest_clip)
    before = {name: frames_of(plan, state, name) for name in names}
    results = _blank(plan, state, len(words), names, more)
    if draw is None:
        _run(plan, state, words, results, threads, more=more)
        return results, state
    for piece in draw.pieces(plan.chunk_frames):
        some, goes_on = words[piece.start : piece.stop], more or piece.stop < len(words)
        copy = copy_state(state) if piece.checked else None
        found = {}
        for name in names:
            last = _frames_after(plan, state, len(some), name, goes_on) - before[name]
            found[name] = results[name][frames_of(plan, state, name) - before[name] : last]
        _run(plan, state, some, found, threads, more=goes_on)
        if copy is not None:
            check_run(plan, copy, some, found, state, draw, watch)
    return results, state


def _blank(
    plan: Plan, state: State, frames: int, names: Sequence[str], more: bool
) -> dict[str, IntArray]:
    """Room for the frames of values that so many more frames of the input complete."""
    found = {}
    for name in names:
        count = _frames_after(plan, state, frames, name, more) - frames_of(plan, state, name)
        found[name] = np.empty((count, *_shape(plan.stages[name])), np.int64)
    return found


def _run(
    plan: Plan,
    state: State,
    words: IntArray,
    results: Mapping[str, IntArray],
    threads: int,
    *,
    more: bool,
) -> None:
    """Fill `results` from the next frames of a clip, shared among threads where it is worth it."""
    names = list(results)
    before = {name: frames_of(plan, state, name) for name in names}
    after = {name: before[name] + len(results[name]) for name in names}
    shares: Sequence[Stretch] = [
        Stretch(state.frames, state.frames, last := state.frames + len(words), last)
    ]
    if threads > 1 and _fused(plan, names):
        shares = stretches(plan.graph, plan.timing, state.frames, len(words), threads)
    origin, places = state.frames, []
    for share in shares:
        periods = {name: max(1, plan.timing[name].period) for name in names}
        final = share is shares[-1]
        places.append(
            {
                name: (
                    before[name] if share is shares[0] else share.first // period,
                    after[name] if final else share.last // period,
                )
                for name, period in periods.items()
            }
        )

    def work(share: Stretch, place: Mapping[str, tuple[int, int]]) -> State:
        own = state if share is shares[0] else initial_state(plan)
        own.frames = share.start
        part = words[share.start - origin : share.stop - origin]
        wanted = {
            name: (first, results[name][first - before[name] : last - before[name]])
            for name, (first, last) in place.items()
        }
        _through(plan, own, part, wanted, flush=share is shares[-1] and not more)
        return own

    if len(shares) == 1:
        work(shares[0], places[0])
    else:
        with ThreadPoolExecutor(threads) as pool:
            ends = list(pool.map(work, shares, places))
        take_over(state, ends[-1])


def _through(
    plan: Plan,
    state: State,
    words: IntArray,
    wanted: Mapping[str, tuple[int, IntArray]],
    *,
    flush: bool,
) -> None:
    """Run frames in chunks, and put values' frames from a first one on where they are wanted."""
    if not _fused(plan, list(wanted)):
        _in_chunks(plan, state, words, wanted, None, flush=flush)
        return
    ends = flush and plan.waits_for_end
    last = min(len(words), plan.chunk_frames)
    if len(words) <= SHORT_CHUNKS * plan.chunk_frames:
        last = len(words)  # the last frames want a program of their own: let it do all
    going_on = len(words) - (last if ends else 0)
    if going_on:
        with lent_program(plan, state, going_on) as program:
            first = words[:going_on]
            if program.compiled:
                through(plan, state, program, first, wanted)
            else:
                _in_chunks(plan, state, first, wanted, program, flush=False)
    if ends:
        with lent_last_program(plan, state, last) as program:
            _in_chunks(plan, state, words[going_on:], wanted, program, flush=True)


def _in_chunks(
    plan: Plan,
    state: State,
    words: IntArray,
    wanted: Mapping[str, tuple[int, IntArray]],
    program: Program | None,
    *,
    flush: bool,
) -> None:
    """The same chunk by chunk, by a program, or node by node; what ends a clip is one chunk."""
    frames = len(words) if flush and program is not None else plan.chunk_frames
    for start in range(0, len(words), frames):
        chunk = words[start : start + frames]
        last = start + len(chunk) == len(words)
        at = {name: frames_of(plan, state, name) for name in wanted}
        values = _advance(plan, state, chunk, list(wanted), program, flush=last and flush)
        for name, (first, target) in wanted.items():
            value, place = values[name], at[name] - first
            skipped = min(max(-place, 0), len(value))
            value = value[skipped : skipped + max(0, len(target) - max(place, 0))]
            target[max(place, 0) : max(place, 0) + len(value)] = value.transpose(0, 2, 1)


def _fused(plan: Plan, names: Sequence[str]) -> bool:
    """Whether the fused engine gives all these values."""
    return plan.fused and all(name in plan.graph.outputs for name in names)


def _advance(
    plan: Plan,
    state: State,
    words: IntArray,
    names: Sequence[str],
    program: Program | None,
    *,
    flush: bool,
) -> Mapping[str, Words]:
    """The new frames (T', V, C) of some values, which the next call may overwrite."""
    if not _fused(plan, names):
        return advance(plan, state, words, names, flush=flush)
    assert program is not None
    return fused_advance(plan, state, program, words, flush=flush)


def step(
    plan: Plan, frame: npt.ArrayLike, state: State, taps: Sequence[str] = ()
) -> dict[str, IntArray]:
    """Simulate one frame in realtime.

    Args:
        plan: the compiled graph.
        frame: input words, integers `(C, V)`.
        state: updated in place.
        taps: names of values wanted besides the graph's outputs.

    Returns:
        Name to raw words, int64 `(C, V)`, of the values of which this frame completes one: theirs
        is frame `(state.frames - 1 - plan.lookahead[name]) / period`. A value of which this frame
        completes none is left out: one that waits for later frames, or for the next of its stride.

    Raises:
        InputError: as `run`.
    """
    words = check_clip(plan.graph, np.asarray(frame)[None])
    names = _wanted(plan, taps)
    _going_on(plan, state)
    check_length(plan.graph, state.frames + 1, plan.longest_clip)
    program = None
    if _fused(plan, names):
        if state.program is None or state.program.plan is not plan:
            state.program = program_for(plan, state, 1)
        program = state.program
    values = _advance(plan, state, words, names, program, flush=False)
    return {name: _outwards(values[name])[0] for name in names if len(values[name])}


def finish(plan: Plan, state: State, taps: Sequence[str] = ()) -> dict[str, IntArray]:
    """End a clip: the frames that were still waiting for later ones.

    Returns:
        Name to raw words, int64 `(n, C, V)`; n is at most the value's lookahead over its period,
        rounded up.

    Raises:
        InputError: the clip is over already, or a tap is no value.
    """
    names = _wanted(plan, taps)
    node = plan.stages[plan.graph.nodes[0].name]
    nothing = np.empty((0, *_shape(node)), np.int64)
    _going_on(plan, state)
    if not _fused(plan, names):
        values = _advance(plan, state, nothing, names, None, flush=True)
        return {name: _outwards(values[name]) for name in names}
    with lent_last_program(plan, state, 0) as program:
        values = _advance(plan, state, nothing, names, program, flush=True)
        return {name: _outwards(values[name]) for name in names}


def predict(plan: Plan, x: npt.ArrayLike) -> IntArray:
    """The label of every frame of a whole clip (of every one that the labels have).

    Args:
        plan: a compiled graph with one `Argmax` over one joint among its outputs.
        x: input words, integers `(T, C, V)`.

    Returns:
        Class indices, int64 `(T,)`, or `(ceil(T / period),)` behind strides.

    Raises:
        InputError: as `run`, or the graph has no such output.
    """
    kinds = {node.name: node for node in plan.graph.nodes}
    labels = [name for name in plan.graph.outputs if isinstance(kinds[name], Argmax)]
    if len(labels) != 1 or plan.stages[labels[0]].joints != 1:
        raise InputError(
            f"graph `{plan.graph.name}`: one output must be an Argmax over one joint, "
            f"got {len(labels)} among {', '.join(plan.graph.outputs)}"
        )
    results, _ = run(plan, x)
    return results[labels[0]][:, 0, 0]


def _wanted(plan: Plan, taps: Sequence[str]) -> list[str]:
    for name in taps:
        if name not in plan.stages:
            raise InputError(f"tap `{name}` is no value of graph `{plan.graph.name}`")
    return list(dict.fromkeys((*plan.graph.outputs, *taps)))


def _going_on(plan: Plan, state: State) -> State:
    if state.finished:
        raise InputError(
            f"graph `{plan.graph.name}`: the clip is over, its last frames were flushed; "
            "start another with `initial_state`"
        )
    return state


def _frames_after(plan: Plan, state: State, frames: int, name: str, more: bool) -> int:
    return complete_frames(plan.timing[name], state.frames + frames, not more)


def _shape(stage: Stage) -> tuple[int, int]:
    return stage.channels, stage.joints


def _outwards(x: Words) -> IntArray:
    """(T, V, C) -> (T, C, V), int64."""
    return np.array(x.transpose(0, 2, 1), dtype=np.int64, order="C")
