"""A watch over the engine while it works: sampled frames are computed again, and casts counted.

A clip is divided into runs of a few frames, and some are drawn. What the engine makes of a drawn
run is compared with a node-by-node run over a copy of the state: its results and the state it
leaves, whole. Of every node some words, drawn too, are computed by the definition from what the
node read, so a fault that both engines share is found as well, sooner or later.

The draw follows from the clip alone (or a given seed): the same call looks at the same frames.
"""

from __future__ import annotations

import math
import operator
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np

from fxp.cast import round_shift
from fxp.engine import evaluate
from fxp.errors import EngineError, InputError
from fxp.fused.steps import Words
from fxp.ir import Input, IntArray, Node, Requantise, complete_frames
from fxp.operations import Taps
from fxp.plan import Plan
from fxp.qformat import Cast, Overflow
from fxp.single_word import defined_word, operands_of
from fxp.state import State, frames_of

RUN_FRAMES = 64  # at most: calling a node costs more than the frames of a small network do
WORDS = 16  # of every node in a run, by the definition, where all frames are looked at; else fewer
_INT64 = np.iinfo(np.int64)


@dataclass
class CastCount:
    """What a `Requantise` did to the words of the frames looked at.

    Attributes:
        words: how many it cast.
        below: those that lay below its format after rounding, and were moved or wrapped; with a
            ReLU that makes them zero anyway (all but WRAP), none.
        above: those that lay above.
    """

    words: int = 0
    below: int = 0
    above: int = 0

    @property
    def share(self) -> float:
        """The share of words that did not fit; 0 where none was looked at."""
        return (self.below + self.above) / self.words if self.words else 0.0


@dataclass
class Counters:
    """Casts counted at sampled frames, over any number of runs of one network.

    Attributes:
        frames: input frames looked at.
        casts: one entry per `Requantise`, by name, in the order of the network.
    """

    frames: int = 0
    casts: dict[str, CastCount] = field(default_factory=dict)


@dataclass(frozen=True)
class Piece:
    """Frames `start..stop` of a call; `checked` ones are computed again."""

    start: int
    stop: int
    checked: bool = False


class Draw:
    """Which frames of a call, and which words of them, are looked at.

    Raises:
        InputError: `share` is not in 0..1.
    """

    def __init__(self, words: IntArray, seen: int, share: float, seed: int | None) -> None:
        """Seed a generator with the words (T, C, V), their number and that of frames before them.

        A `seed` stands in place of the words.
        """
        if not 0 <= share <= 1:
            raise InputError(f"`verify` is a share of the frames, 0..1, got {share}")
        self.share, self.frames = share, len(words)
        self.words = math.ceil(WORDS * share)
        content = zlib.crc32(np.ascontiguousarray(words).data) if seed is None else seed
        self.random = np.random.default_rng([content, len(words), seen])

    def pieces(self, most: int) -> Iterator[Piece]:
        """The drawn runs, of at most `most` frames each, and the stretches between them."""
        size, start = min(RUN_FRAMES, most), 0
        runs = -(-self.frames // size)
        for run in np.flatnonzero(self.random.random(runs) < self.share).tolist():
            if start < run * size:
                yield Piece(start, run * size)
            start = min((run + 1) * size, self.frames)
            yield Piece(run * size, start, checked=True)
        if start < self.frames:
            yield Piece(start, self.frames)


def check_run(
    plan: Plan,
    before: State,
    words: IntArray,
    found: Mapping[str, Words],
    after: State,
    draw: Draw,
    watch: Counters | None,
) -> None:
    """Compute a run again and compare.

    Args:
        plan: the compiled graph.
        before: a copy of the state before the run; it moves on.
        words: the run's frames, (T, C, V).
        found: what the engine made of them, (T', C, V) each.
        after: the engine's state after it.
        draw: where to look.
        watch: where casts are counted.

    Raises:
        EngineError: a word differs.
    """
    nodes = {node.name: node for node in plan.graph.nodes}
    # frames that waited for later ones come when a clip ends, which only `after` knows
    ended = after.finished
    first = {name: frames_of(plan, before, name) for name in found}
    values: dict[str, IntArray] = {}
    wrong: dict[str, EngineError] = {}
    places = draw.random.random((len(nodes), draw.words)).tolist()
    for (name, stage), drawn in zip(plan.stages.items(), places, strict=True):
        x = [values[operand] for operand in stage.reads]
        if isinstance(nodes[name], Input):
            values[name] = np.ascontiguousarray(words.transpose(0, 2, 1), dtype=stage.dtype)
        else:
            values[name] = _checked(plan, before, nodes[name], x, len(words), ended, drawn)
        if watch is not None and isinstance(node := nodes[name], Requantise):
            _count(watch, node, plan, values[node.x])
        if name in found:
            ours = found[name].transpose(0, 2, 1)
            error = _error(name, ours, values[name], partial(operator.add, first[name]))
            wrong |= {} if error is None else {name: error}
        for done in stage.done:
            del values[done]
    before.frames += len(words)
    before.finished = ended
    if watch is not None:
        watch.frames += len(words)
    if not ended:  # nothing is read of the state of a clip that is over
        wrong = _wrong_state(plan, before, after) | wrong
    for name in plan.stages:
        if name in wrong:
            raise wrong[name]


def _checked(
    plan: Plan,
    state: State,
    node: Node,
    x: list[IntArray],
    frames: int,
    ended: bool,
    places: list[float],
) -> IntArray:
    """The new frames (T', V, C) of a value, of which some words are compared with the definition.

    Args:
        plan: the compiled graph.
        state: before the run; the node's part of it moves on.
        node: which node.
        x: the new frames of what it reads.
        frames: of the input, in the run.
        ended: they are a clip's last.
        places: in 0..1, of the words among the new ones.
    """
    stage, first = plan.stages[node.name], frames_of(plan, state, node.name)
    count = complete_frames(plan.timing[node.name], state.frames + frames, ended) - first
    if not count:
        return evaluate(plan, state, stage, x, ended)
    size = stage.joints * stage.channels
    read, expected = operands_of(plan, state, node, x), {}
    for place in places:  # before the engine writes over the oldest frames
        u, rest = divmod(int(place * count * size), size)
        v, c = divmod(rest, stage.channels)
        expected[u, v, c] = defined_word(node, read, first + u, c, v)
    value = evaluate(plan, state, stage, x, ended)
    for at, word in expected.items():
        if int(value[at]) != word:
            raise EngineError(node.name, first + at[0], at[2], at[1], int(value[at]), word)
    return value


# ------------------------------------------------------------ comparison


def _error(
    name: str, found: Words, expected: Words, frames: Callable[[int], int]
) -> EngineError | None:
    """The first word that differs of arrays (slots, V, C); `frames` gives the frame of a slot."""
    if np.array_equal(found, expected):
        return None
    places = np.argwhere(found != expected).tolist()
    slot, joint, channel = min(places, key=lambda at: (frames(at[0]), at[1], at[2]))
    words = (int(each[slot, joint, channel]) for each in (found, expected))
    return EngineError(name, frames(slot), channel, joint, *words)


def _wrong_state(plan: Plan, expected: State, found: State) -> dict[str, EngineError]:
    """The first word that differs of each value of which the state keeps frames or sums."""
    kept = [(plan.stages[name].reads[0], name, "rings") for name in expected.rings]
    kept += [(plan.delayed[line][0], line, "delays") for line in expected.delays]
    kept += [(name, name, "accumulators") for name in expected.accumulators]
    wrong: dict[str, EngineError] = {}
    for name, key, part in kept:
        ours, theirs = getattr(found, part)[key], getattr(expected, part)[key]
        read, slots = frames_of(plan, expected, name), len(ours)
        frames = partial(_frame_in, max(read - 1, 0), slots)
        operation = plan.stages[key].operation if part == "rings" else None
        if isinstance(operation, Taps):  # there is room for frames that no tap reads any more
            live = range(max(0, read - operation.depth), read)
            at = [frame % slots for frame in live]
            ours, theirs, frames = ours[at], theirs[at], partial(operator.getitem, live)
        if (error := _error(name, ours, theirs, frames)) is not None:
            wrong.setdefault(name, error)
    return wrong


def _frame_in(newest: int, slots: int, slot: int) -> int:
    """The last frame that was put into a slot."""
    return newest - (newest - slot) % slots


# ------------------------------------------------------------ counters


def _count(watch: Counters, node: Requantise, plan: Plan, x: IntArray) -> None:
    signal = plan.signals[node.x]
    low, high = _limits(node.cast, node.relu, signal.frac_bits)
    count = watch.casts.setdefault(node.name, CastCount())
    count.words += x.size
    # in the words' own type, which is faster: limits beyond it are none, as 0 is within any
    info = np.iinfo(x.dtype)
    if min(signal.lo) < low.max():
        count.below += int(np.count_nonzero(x < low.clip(info.min).astype(x.dtype)))
    if max(signal.hi) > high.min():
        count.above += int(np.count_nonzero(x > high.clip(max=info.max).astype(x.dtype)))


@lru_cache(maxsize=4096)
def _limits(cast: Cast, relu: bool, frac_bits: tuple[int, ...]) -> tuple[IntArray, IntArray]:
    """Per channel, or for all, the lowest and the highest accumulator that a cast does not move."""
    to = cast.to
    lowest = max(to.raw_min, -to.raw_max) if cast.overflow == Overflow.SAT_SYM else to.raw_min
    shifts = [frac - to.frac_bits for frac in frac_bits]
    low = [_first_above(lowest - 1, shift, cast) for shift in shifts]
    if relu and cast.overflow != Overflow.WRAP:
        low = [_INT64.min] * len(shifts)
    high = [_first_above(to.raw_max, shift, cast) - 1 for shift in shifts]
    return np.array(low, np.int64), np.array(high, np.int64)


def _first_above(word: int, shift: int, cast: Cast) -> int:
    """The first accumulator of 64 bits that rounds to more than `word`, or the highest of all."""
    low, high = int(_INT64.min), int(_INT64.max)
    while low < high:
        middle = (low + high) // 2
        if round_shift(middle, shift, cast.rounding) > word:
            high = middle
        else:
            low = middle + 1
    return low
