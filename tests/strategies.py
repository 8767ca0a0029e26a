"""Random formats, casts, graphs and clips: seeded generators, and hypothesis strategies over them.

`random_graph` draws every kind of node, formats of 2 to 32 bits, all roundings and overflows,
binary points per channel and per partition, windows, dilations and lookaheads. It follows the
ranges while it builds, so that each graph passes `fxp.ranges.certify`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

from fxp.cast import reciprocal
from fxp.elementary import MAX_EXP_BITS, MAX_SHARE_BITS, ROOT_BITS
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
    IntArray,
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
from fxp.node_tables import exp_tables, reciprocal_root_seeds
from fxp.qformat import Cast, Overflow, QFormat, Rounding
from fxp.ranges import MAX_INNER_BITS, Signal, inner_bits, signal_of
from fxp.validate import Value, describe_node

ROUNDINGS = tuple(Rounding)
OVERFLOWS = tuple(Overflow)
_WIDEST = 62  # bits that no accumulator of a random graph exceeds


# ---------------------------------------------------------------------------- hypothesis


def qformats(min_bits: int = 2, max_bits: int = 32) -> st.SearchStrategy[QFormat]:
    return st.builds(QFormat, st.integers(min_bits, max_bits), st.integers(-40, 72), st.booleans())


def casts(min_bits: int = 2, max_bits: int = 32) -> st.SearchStrategy[Cast]:
    return st.builds(
        Cast, qformats(min_bits, max_bits), st.sampled_from(ROUNDINGS), st.sampled_from(OVERFLOWS)
    )


@st.composite
def graphs_with_clips(draw: st.DrawFn, max_frames: int = 6) -> tuple[Graph, IntArray]:
    """A random graph and a clip for it; shrinks towards few nodes, channels, joints and frames."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["free", "chain"]))
    size = draw(st.integers(1, 8 if kind == "free" else 2))
    channels, joints = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    make = random_free_graph if kind == "free" else random_chain
    graph = make(rng, size, channels=channels, joints=joints)
    return graph, random_clip(rng, graph, draw(st.integers(1, max_frames)))


# ---------------------------------------------------------------------------- seeded


def random_graph(rng: np.random.Generator, *, channels: int = 6, joints: int = 5) -> Graph:
    """A graph of any kind with at most about `channels` channels and `joints` joints."""
    channels, joints = int(rng.integers(1, channels + 1)), int(rng.integers(1, joints + 1))
    if rng.random() < 0.5:
        return random_free_graph(rng, int(rng.integers(1, 13)), channels=channels, joints=joints)
    return random_chain(rng, int(rng.integers(1, 4)), channels=channels, joints=joints)


def random_free_graph(
    rng: np.random.Generator, size: int, *, channels: int = 4, joints: int = 3
) -> Graph:
    """About `size` nodes of random kinds, each reading random earlier values, all of them outputs.

    Ends with a cast and an argmax, so that it is a network that labels frames.
    """
    build = _Builder(rng, channels, joints)
    for _ in range(size):
        build.random_node()
    last = build.pick(False)
    build.argmax(build.cast(last, "logits") if rng.random() < 0.5 else last)
    return build.graph("free")


def random_chain(
    rng: np.random.Generator, blocks: int, *, channels: int = 4, joints: int = 3
) -> Graph:
    """A small network of the shape that `fxp.lower` makes, streams wider than operands included."""
    build = _Builder(rng, channels, joints)
    entry = build.cast(build.affine("input", "input_norm"), "input_norm.q")
    x = stream = build.cast(build.conv(entry, channels, "embedding"), "embedding.q")
    for i in range(blocks):
        at = f"block{i}"
        temporal, stride = rng.random() < 0.25, int(rng.integers(1, 3))
        out = channels if rng.random() < 0.5 else int(rng.integers(1, channels + 2))
        partitions = int(rng.integers(1, 4))
        y = build.cast(build.conv(x, partitions * out, f"{at}.conv"), f"{at}.conv.q")
        y = build.graph_product(y, partitions, f"{at}.graph")
        y = build.cast(y, f"{at}.graph.q", most_bits=28)  # the sum adds up to 4
        if temporal:
            y = build.cast(build.affine(y, f"{at}.norm"), f"{at}.norm.q", relu=True)
            y = build.temporal_conv(y, out, f"{at}.tconv", stride)
            y = build.cast(y, f"{at}.tconv.q", relu=True)
        else:
            y = build.affine(build.temporal_sum(y, f"{at}.sum"), f"{at}.norm")
            y = build.cast(y, f"{at}.norm.q", relu=True)
        if build.values[y].period != build.values[stream].period:
            stream = build.temporal_conv(x, out, f"{at}.residual", stride, most_taps=1)
            stream = build.cast(stream, f"{at}.residual.q")
        elif out != build.values[stream].channels:
            stream = build.cast(build.conv(x, out, f"{at}.residual"), f"{at}.residual.q")
        joined = build.add(y, stream, f"{at}.add")
        x = build.cast(joined, f"{at}.add.q", relu=True)
        stream = build.cast(joined, f"{at}.add.stream", relu=True) if rng.random() < 0.5 else x
    pooled = build.cast(build.joint_mean(x, "pool"), "pool.q")
    if rng.random() < 0.2:
        pooled = build.cast(build.clip_mean(pooled, "whole"), "whole.q")
    logits = build.cast(build.conv(pooled, int(rng.integers(2, 6)), "classifier"), "logits")
    build.argmax(logits)
    return build.graph("chain")


def random_clip(rng: np.random.Generator, graph: Graph, frames: int) -> IntArray:
    """Input words `(frames, C, V)` over the whole input format, some frames at its extremes."""
    node = graph.nodes[0]
    assert isinstance(node, Input)
    low, high = node.fmt.raw_min, node.fmt.raw_max
    shape = (frames, node.channels, node.joints)
    words = rng.integers(low, high, shape, endpoint=True)
    small = rng.integers(max(low, -9), min(high, 9), shape, endpoint=True)
    extreme = np.where(rng.random(shape) < 0.5, low, high)
    kind = rng.random((frames, 1, 1))
    words = np.where(kind < 0.2, small, np.where(kind < 0.35, extreme, words))
    return np.where(kind > 0.95, np.where(rng.random() < 0.5, low, high), words)


def random_weights(
    rng: np.random.Generator, shape: tuple[int, ...], word_bits: int, per_index: bool
) -> Weights:
    """Constants of `word_bits` bits; their binary points per index of the first axis if asked."""
    low, high = -(1 << (word_bits - 1)), (1 << (word_bits - 1)) - 1
    raw = rng.integers(low, high, shape, endpoint=True)
    kind = rng.random()
    if kind < 0.1:
        raw = np.where(rng.random(shape) < 0.5, low, high)
    elif kind < 0.4:
        raw = np.where(rng.random(shape) < 0.5, 0, raw)
    frac = int(rng.integers(-4, 24))
    if not per_index:
        return Weights(raw, word_bits, (frac,))
    return Weights(raw, word_bits, tuple(frac + int(d) for d in rng.integers(0, 4, shape[0])))


def random_cast(rng: np.random.Generator, frac_bits: int, width_bits: int, word_bits: int) -> Cast:
    """A cast from about `width_bits` bits that mostly neither clips nor kills everything."""
    kind = rng.random()
    if kind < 0.8:
        shift = width_bits - word_bits - int(rng.integers(0, 7))
    elif kind < 0.97:
        shift = int(rng.integers(-6, 7))
    else:
        shift = int(rng.integers(-80, 81))
    signed = rng.random() < 0.75
    rounding = ROUNDINGS[int(rng.integers(len(ROUNDINGS)))]
    overflow = OVERFLOWS[int(rng.integers(len(OVERFLOWS)))]
    return Cast(QFormat(word_bits, frac_bits - shift, bool(signed)), rounding, overflow)


class _Builder:
    """Grows a graph node by node; every method adds one node and returns its name.

    An accumulator that came out wider than `_WIDEST` is drawn again with fewer bits.
    """

    def __init__(self, rng: np.random.Generator, channels: int, joints: int) -> None:
        self.rng = rng
        self.nodes: list[Node] = []
        self.values: dict[str, Value] = {}
        self.signals: dict[str, Signal] = {}
        self.bits = ((2, 8), (4, 16), (8, 24), (2, 32))[self.below(4)]
        fmt = QFormat(self.word_bits(), self.between(-4, 20), bool(rng.random() < 0.8))
        self.put(Input("input", channels, joints, fmt))

    def below(self, count: int) -> int:
        return int(self.rng.integers(count))

    def between(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high, endpoint=True))

    def word_bits(self) -> int:
        return self.between(*self.bits)

    def put(self, node: Node) -> str:
        about = describe_node(node, [self.values[name] for name in operands(node)])
        signal = signal_of(node, [self.signals[name] for name in operands(node)], about)
        inside = inner_bits(node, [self.signals[name] for name in operands(node)])
        too_wide = signal.width_bits > _WIDEST and not isinstance(node, Requantise)
        if too_wide or inside > MAX_INNER_BITS:
            raise _TooWideError
        self.nodes.append(node)
        self.values[node.name] = about
        self.signals[node.name] = signal
        return node.name

    def graph(self, name: str) -> Graph:
        outputs = tuple(node.name for node in self.nodes[1:])
        widest = max(signal.width_bits for signal in self.signals.values())
        return Graph(name, tuple(self.nodes), outputs, accumulator_bits=widest)

    # ---- choices

    def pick(self, multiplied: bool, over_time: bool = False) -> str:
        """A random earlier value, recent ones more often.

        One that a multiplier, or a node over time may read, if asked.
        """
        names = [name for name, value in self.values.items() if value.period or not over_time]
        if multiplied:
            bits = [self.values[name].stored_bits for name in names]
            names = [n for n, b in zip(names, bits, strict=True) if b is not None and b <= 32]
        return names[-min(int(self.rng.geometric(0.5)), len(names))]

    def pick_stored(self) -> str:
        """A random stored value, of any width, recent ones more often."""
        names = [name for name, value in self.values.items() if value.stored_bits is not None]
        return names[-min(int(self.rng.geometric(0.5)), len(names))]

    def like(self, name: str) -> str:
        """A random value of the same shape and frame rate."""

        def key(value: Value) -> tuple[int, int, int]:
            return value.channels, value.joints, value.period

        names = [n for n, value in self.values.items() if key(value) == key(self.values[name])]
        return names[self.below(len(names))]

    def weights(self, shape: tuple[int, ...], limit: int) -> Weights:
        per_index = bool(self.rng.random() < 0.5)
        return random_weights(self.rng, shape, min(self.word_bits(), limit), per_index)

    def bias(self, shape: tuple[int, ...], limit: int) -> IntArray:
        if self.rng.random() < 0.2:
            return np.zeros(shape, np.int64)
        bound = 1 << self.between(0, limit + 8)
        return self.rng.integers(-bound, bound, shape)

    # ---- one method per kind of node

    def random_node(self) -> None:
        at = f"n{len(self.nodes)}"
        kind = self.below(13)
        if kind == 0:
            self.conv(self.pick(True), self.between(1, 5), at)
        elif kind == 1:
            x = self.pick(True)
            parts = [p for p in (1, 2, 3) if self.values[x].channels % p == 0]
            self.graph_product(x, parts[self.below(len(parts))], at)
        elif kind == 2:
            self.temporal_sum(self.pick(self.rng.random() < 0.7, True), at)
        elif kind == 3:
            stride = 1 if self.rng.random() < 0.6 else self.between(2, 4)
            self.temporal_conv(self.pick(True, True), self.between(1, 5), at, stride)
        elif kind == 4:
            self.affine(self.pick(True), at)
        elif kind == 5:
            a = self.pick(False)
            self.add(a, self.like(a), at)
        elif kind == 6:
            self.joint_mean(self.pick(True), at)
        elif kind == 11:
            self.flatten(self.pick_stored(), at)
        elif kind == 12:
            self.clip_mean(self.pick(True, True), at)
        elif kind == 7:
            self.layer_norm(self.pick(True), at)
        elif kind == 8:
            self.softmax(self.pick(True), at)
        else:
            self.cast(self.pick(False), at, relu=bool(self.rng.random() < 0.3))

    def conv(self, x: str, out: int, name: str) -> str:
        shape = (out, self.values[x].channels)
        return self.fitting(
            lambda bits: Conv(name, x, self.weights(shape, bits), self.bias((out,), bits))
        )

    def graph_product(self, x: str, partitions: int, name: str) -> str:
        shape = (partitions, self.values[x].joints, self.values[x].joints)
        return self.fitting(lambda bits: GraphProduct(name, x, self.weights(shape, bits)))

    def temporal_sum(self, x: str, name: str) -> str:
        window, dilation = self.between(1, 9), self.between(1, 3)
        return self.fitting(lambda bits: TemporalSum(name, x, min(window, bits), dilation))

    def temporal_conv(
        self, x: str, out: int, name: str, stride: int = 1, most_taps: int = 5
    ) -> str:
        taps, dilation = self.between(1, most_taps), self.between(1, 3)
        shape = (out, self.values[x].channels, taps)
        ahead = self.between(0, (taps - 1) * dilation)
        return self.fitting(
            lambda bits: TemporalConv(
                name, x, self.weights(shape, bits), self.bias((out,), bits), dilation, ahead, stride
            )
        )

    def affine(self, x: str, name: str) -> str:
        channels, joints = self.values[x].channels, self.values[x].joints
        wide, tall = ((channels, (1, joints)[self.below(2)]) for _ in range(2))
        return self.fitting(
            lambda bits: Affine(name, x, self.weights(wide, bits), self.bias(tall, bits))
        )

    def add(self, a: str, b: str, name: str) -> str:
        """Binary points too far apart for one accumulator: the sum of `a` and a cast of `b`."""
        try:
            return self.put(Add(name, a, b))
        except _TooWideError:
            near = self.values[a].frac_bits[0] - self.between(0, 3)
            to = QFormat(self.word_bits(), near)
            b = self.put(Requantise(f"{name}_near", b, Cast(to)))
            try:
                return self.put(Add(name, a, b))
            except _TooWideError:  # `a` itself is as wide as an accumulator gets
                return b

    def flatten(self, x: str, name: str) -> str:
        return self.put(Flatten(name, x))

    def joint_mean(self, x: str, name: str) -> str:
        shift = self.between(3, 20)
        exact, _ = reciprocal(self.values[x].joints, shift)
        multiplier = exact if self.rng.random() < 0.8 else self.between(1, 1 << shift)
        return self.fitting(
            lambda bits: JointMean(name, x, min(multiplier, (1 << bits) - 1), shift)
        )

    def clip_mean(self, x: str, name: str) -> str:
        shift, longest = self.between(0, 12), self.between(64, 2000)
        return self.fitting(lambda bits: ClipMean(name, x, min(shift, bits), longest))

    def layer_norm(self, x: str, name: str) -> str:
        """A norm of `x`, or of a narrower cast of it where the sums of squares need that."""
        steps, frac_bits = self.between(0, 3), self.between(0, ROOT_BITS)
        seeds = reciprocal_root_seeds(3 << self.between(3, 8))
        if self.rng.random() < 0.3:  # any table is a table
            seeds = np.maximum(seeds + self.rng.integers(-(1 << 14), 1, seeds.shape), 1)
        epsilon = self.rng.integers(0, 1 << self.between(0, 40), 1) * self.below(4)
        for bits in (32, 20, 16, 12, 8):
            if (self.values[x].stored_bits or 0) > bits:
                near = QFormat(bits, self.values[x].frac_bits[0] - 2)
                x = self.put(Requantise(f"{name}_x{bits}", x, Cast(near)))
            try:
                return self.put(LayerNorm(name, x, epsilon, seeds, steps, frac_bits))
            except _TooWideError:
                continue
        raise AssertionError("not even eight bits fit")

    def softmax(self, x: str, name: str) -> str:
        """Of any stored value: made tables where it is near 1, drawn ones elsewhere."""
        exp_bits, frac_bits = self.between(1, MAX_EXP_BITS), self.between(0, MAX_SHARE_BITS)
        fmt = QFormat(self.values[x].stored_bits or 0, self.values[x].frac_bits[0])
        if -4 <= fmt.frac_bits <= 10 and self.rng.random() < 0.7:
            coarse, fine = exp_tables(fmt, exp_bits)
        else:
            one, sizes = 1 << exp_bits, (self.between(1, 99), 1 << self.between(0, 6))
            coarse, fine = (self.rng.integers(0, one, size, endpoint=True) for size in sizes)
            coarse[0] = fine[0] = one
        return self.put(Softmax(name, x, coarse, fine, exp_bits, frac_bits))

    def cast(self, x: str, name: str, relu: bool = False, most_bits: int = 32) -> str:
        frac_bits, width = self.values[x].frac_bits[0], self.signals[x].width_bits
        cast = random_cast(self.rng, frac_bits, width, min(self.word_bits(), most_bits))
        return self.put(Requantise(name, x, cast, relu))

    def argmax(self, x: str) -> str:
        return self.put(Argmax("label", x))

    def fitting(self, make: Callable[[int], Node]) -> str:
        """The first node of fewer and fewer bits that fits; `make` gets the limit."""
        for bits in (32, 24, 16, 8, 4, 2, 1):
            try:
                return self.put(make(bits))
            except _TooWideError:
                continue
        raise AssertionError("not even one bit fits")


class _TooWideError(Exception):
    """The drawn node needs an accumulator wider than `_WIDEST`."""
