"""What the units of the RTL engine are tried with: all there is where that is little, else draws.

Seeds of draws stand with each case; where words, divisors or mantissas have ends, those come too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import product

import numpy as np

from fxp.elementary import LEAST_MANTISSA, MANTISSA_BITS, ROOT_BITS
from fxp.ir import (
    ClipMean,
    Conv,
    Graph,
    Input,
    IntArray,
    LayerNorm,
    Requantise,
    Softmax,
    TemporalConv,
    Weights,
)
from fxp.node_tables import exp_tables, reciprocal_root_seeds
from fxp.qformat import Cast, QFormat
from hw_model.streaming import LineSource
from tests.rtl_sweeps import mean_case, norm_case, share_case
from tests.rtl_units import (
    Case,
    Division,
    Streamed,
    axis_case,
    divider_case,
    root_case,
    tiles_case,
)

# ---------------------------------------------------------------------------- the divider


def every_division(width: int, most_bits: int) -> Iterator[Division]:
    """Of divisors of `width` bits."""
    for bits, by in product(range(most_bits + 1), range(1, 1 << width)):
        yield from (Division(bits, n, t, by) for n in range(by) for t in range(1 << bits))
        yield Division(bits, by, 0, by)


def drawn_divisions(width: int, most_bits: int, count: int, seed: int) -> list[Division]:
    """Words of every length, and the ends: quotients of all ones, of one, of none."""
    rng = np.random.default_rng(seed)

    def word(bits: int) -> int:
        return int(rng.integers(1 << bits, dtype=np.uint64)) >> int(rng.integers(bits + 1))

    found = []
    for at in range(count):
        bits, by = (at * 7 // count * most_bits // 6), max(word(width), 1)
        number = min(word(width), by)
        tail = word(bits) if number < by else 0
        most = (1 << bits) - 1
        found.append(Division(bits, number, tail, by))
        if at % 8 == 0:
            ends = ((by - 1, most), (by, 0), (0, 0), (0, most), (0, min(by, most)))
            found += [Division(bits, number, tail, by) for number, tail in ends]
    return found


# ---------------------------------------------------------------------------- the root


def ends_of_seeds(entries: int) -> list[int]:
    """Variances of the first and the last mantissa of each seed, at every exponent.

    The bits below the mantissa are all zeros or all ones.
    """
    each = 3 * LEAST_MANTISSA // entries
    firsts = range(LEAST_MANTISSA, 1 << MANTISSA_BITS, each)
    found = []
    for at, mantissa in enumerate(m for first in firsts for m in (first, first + each - 1)):
        for pairs in range(-(MANTISSA_BITS // 2 - 1), (62 - MANTISSA_BITS) // 2 + 1):
            shift = 2 * pairs
            low = (1 << max(shift, 0)) - 1 if (at // 2 + pairs) % 2 else 0
            found.append(max(mantissa << shift | low if shift >= 0 else mantissa >> -shift, 1))
    return found


def drawn_variances(count: int, seed: int) -> list[int]:
    """Every part of the mantissas, at drawn exponents."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        mantissa = LEAST_MANTISSA + i * (3 * LEAST_MANTISSA // count) + int(rng.integers(48))
        shift = int(rng.integers(-16, 37))
        variance = mantissa << shift if shift > 0 else max(mantissa >> -shift, 1)
        found.append(variance | int(rng.integers(1 << 62)) & ((1 << max(shift, 0)) - 1))
    return found


# ---------------------------------------------------------------------------- softmaxes


def share_graph(fmt: QFormat, shape: tuple[int, int], exp_bits: int, share_bits: int) -> Graph:
    """Of a good table."""
    coarse, fine = exp_tables(fmt, exp_bits)
    share = Softmax("share", "input", coarse, fine, exp_bits, share_bits)
    return Graph("g", (Input("input", *shape, fmt), share), ("share",))


def every_distance(bits: int, joints: int) -> IntArray:
    """Frames `(T, 2, V)`: the largest word in front of or behind each other one."""
    top = (1 << (bits - 1)) - 1
    below = np.arange(1 << bits).reshape(-1, 1, joints)
    frames = np.concatenate([np.full_like(below, top), top - below], axis=1)
    frames[::2] = frames[::2, ::-1]
    return frames


def tables_of_any_words(seed: int) -> Case:
    """Tables need not fall; a whole is the largest entry."""
    rng = np.random.default_rng(seed)
    exp_bits = 4
    coarse, fine = (rng.integers(1, (1 << exp_bits) + 1, count) for count in (11, 8))
    coarse[0] = fine[0] = 1 << exp_bits
    share = Softmax("share", "input", coarse, fine, exp_bits, 9)
    graph = Graph("g", (Input("input", 7, 12, QFormat(8, 2)), share), ("share",))
    return share_case(graph, rng.integers(-128, 128, (4, 7, 12)), 3, seed)


# ---------------------------------------------------------------------------- means, norms


def mean_graph(fmt: QFormat, shape: tuple[int, int], shift: int, most: int) -> Graph:
    """A mean over clips of at most so many frames."""
    nodes = (Input("input", *shape, fmt), ClipMean("mean", "input", shift, most))
    return Graph("g", nodes, ("mean",))


def every_sum(fmt: QFormat, frames: int) -> IntArray:
    """A clip `(T, 1, V)` of `frames` frames in which each sum there is has a joint of its own."""
    low, high = fmt.raw_min, fmt.raw_max
    rest = np.arange(low * frames, high * frames + 1)
    clip = []
    for left in range(frames - 1, -1, -1):
        words = np.clip(rest, low, high)
        words = np.where(rest - words < left * low, rest - left * low, words)
        words = np.clip(np.where(rest - words > left * high, rest - left * high, words), low, high)
        clip.append(words)
        rest = rest - words
    assert not rest.any()
    return np.array(clip)[:, None]


def every_mean(fmt: QFormat, frames: int, shift: int) -> Case:
    clip = every_sum(fmt, frames)
    return mean_case(mean_graph(fmt, (1, clip.shape[2]), shift, 9), [clip], 2, frames)


def drawn_means(bits: int, shift: int, zeros: int, seed: int) -> Case:
    """Clips of several lengths, ends of the words among them; the second finds the first's sums."""
    rng, fmt = np.random.default_rng(seed), QFormat(bits, 3)
    clips = [rng.integers(fmt.raw_min, fmt.raw_max + 1, (t, 5, 6)) for t in (3, 1, 2, 7, 5)]
    for clip in clips:
        clip[:, 0], clip[:, -1] = fmt.raw_min, fmt.raw_max
        clip[:, 1, :3] = rng.integers(-1, 2, (len(clip), 3))
    return mean_case(mean_graph(fmt, (5, 6), shift, 7 + zeros), clips, 3, seed, zeros)


def drawn_norms(bits: int, frac_bits: int, seeds: IntArray, steps: int, seed: int) -> Case:
    """Frames of every spread; the last group of lanes is ragged."""
    rng, fmt = np.random.default_rng(seed), QFormat(bits, 3)
    spread = (1 << rng.integers(0, bits - 1, (12, 1, 1))).astype(np.int64)
    clip = rng.integers(-spread, spread, (12, 5, 4))
    clip[-1, 0], clip[-1, 1:] = fmt.raw_max, fmt.raw_min
    norm = LayerNorm("norm", "input", np.array([3]), seeds, steps, frac_bits)
    graph = Graph("g", (Input("input", 5, 4, fmt), norm), ("norm",))
    return norm_case(graph, clip, 3, seed)


# ---------------------------------------------------------------------------- tiles


def drawn_passes(count: int, seed: int, timed: bool) -> list[Streamed]:
    """Few and many blocks, lines and joints, one of each among them."""
    rng = np.random.default_rng(seed)

    def most(high: int) -> int:
        return int(rng.integers(1, high, endpoint=True)) if rng.integers(3) else 1

    def source() -> LineSource | None:
        return LineSource(most(30), most(5)) if timed else None

    return [Streamed(most(12), most(9), most(6), source()) for _ in range(count)]


# ---------------------------------------------------------------------------- AXI4-Stream


def axis_graph() -> Graph:
    """Two outputs, one with a lookahead; of three lanes no line fills its bytes, in or out."""
    rng = np.random.default_rng(19)

    def drawn(*shape: int) -> Weights:
        return Weights(rng.integers(-128, 128, shape), 8, (0,))

    nodes = (
        Input("input", 4, 3, QFormat(6, 0)),
        Conv("first", "input", drawn(7, 4), rng.integers(-99, 99, 7)),
        Requantise("first.q", "first", Cast(QFormat(9, -4))),
        TemporalConv("second", "first.q", drawn(5, 7, 3), rng.integers(-99, 99, 5), 1, 1),
        Requantise("second.q", "second", Cast(QFormat(11, -7))),
    )
    return Graph("g", nodes, ("second.q", "first.q"))


def axis_run(off_chip: frozenset[str]) -> Case:
    graph, rng = axis_graph(), np.random.default_rng(20)
    clips = [rng.integers(-32, 32, (frames, 4, 3)) for frames in (4, 1, 3)]
    return axis_case(graph, clips, 3, off_chip)


# ---------------------------------------------------------------------------- all

_CASES: Mapping[str, Callable[[], Case]] = {
    "divider, every word": lambda: divider_case(list(every_division(5, 5)), 5, 5, 1),
    "divider, one bit": lambda: divider_case(list(every_division(3, 1)), 3, 1, 2),
    "divider, as softmaxes have it": lambda: divider_case(
        drawn_divisions(40, 30, 1500, 3), 40, 30, 3
    ),
    "divider, as means have it": lambda: divider_case(
        [Division(62, 0, each.tail, each.by) for each in drawn_divisions(22, 62, 900, 4)], 22, 62, 4
    ),
    "root, ends of seeds": lambda: root_case(ends_of_seeds(48), 48, 2, 5),
    "root, drawn": lambda: root_case(drawn_variances(1024, 6), 48, 2, 6),
    "root, the seed alone": lambda: root_case(drawn_variances(1024, 7), 3 << 10, 0, 7),
    "root, four steps": lambda: root_case(drawn_variances(512, 8), 12, 4, 8),
    "root, narrow": lambda: root_case(range(1, 1025), 48, 1, 9, 18),
    "shares, every distance": lambda: share_case(
        share_graph(QFormat(10, 6), (2, 128), 24, 30), every_distance(10, 128), 2, 10
    ),
    "shares, every pair": lambda: share_case(
        share_graph(QFormat(4, 2), (2, 256), 9, 11),
        np.array(list(product(range(-8, 8), repeat=2))).T[None],
        1,
        11,
    ),
    "shares, any table": lambda: tables_of_any_words(12),
    **{
        f"means, every sum of {frames}": lambda frames=frames: every_mean(  # type: ignore[misc]
            QFormat(4, 0), frames, frames % 2 * 3
        )
        for frames in range(1, 10)
    },
    "means, drawn": lambda: drawn_means(16, 12, 0, 13),
    "means, long": lambda: drawn_means(8, 5, 4_000, 14),
    "tiles, as they like": lambda: tiles_case(drawn_passes(150, 17, timed=False), 17),
    "tiles, every cycle": lambda: tiles_case(drawn_passes(150, 18, timed=True), 18),
    "axis": lambda: axis_run(frozenset()),
    "axis, weights from outside": lambda: axis_run(frozenset({"first", "second"})),
    "norms": lambda: drawn_norms(9, 12, reciprocal_root_seeds(48), 2, 15),
    "norms, wide": lambda: drawn_norms(16, 18, reciprocal_root_seeds(192), 3, 16),
    "norms, ties": lambda: drawn_norms(9, 2, np.full(12, 1 << ROOT_BITS), 0, 21),
}
NAMES = tuple(_CASES)


@cache
def unit_case(name: str) -> Case:
    """The case of that name."""
    return _CASES[name]()
