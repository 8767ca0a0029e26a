"""How an engine walks the loops: cycles and on-chip memory accesses of every node, for one frame.

One engine computes pass after pass (`hw_model.passes`), one frame in flight. With N lanes (two for
each multiplier where every product of the network packs in pairs; where others pack, as many more
for their multiply-accumulates), V joints, Ci input and Co output channels, P partitions:

- load: `V * ceil(Ci/N)`, once per frame: the input comes in, a line a cycle;
- 1x1 convolution: `V * P * ceil(Co/P/N) * Ci` (P = 1 unless a graph product follows);
- temporal convolution: `V * ceil(Co/N) * Ci * taps`;
- graph product: `ceil(Co/N) * sum over joints of max(1, edges)`, dense `ceil(Co/N) * P * V * V`;
- norm with multiplications, joint mean: `V * ceil(C/N) * D`, where words wider than the multipliers
  of the matrix passes take D products of digits (`hw_model.digits`; 1 where none is wider), norms
  twice as many where lanes are paired;
- a pass that only copies, casts, adds or sums over time: `V * ceil(C/N)`;
- mean over the clip: `V * ceil(C/N) + V * C + 67` at the clip's last frame, when the sums are
  divided, a word a cycle; at the others `V * ceil(C/N)`;
- layer norm: `2 * V * ceil(C/N) + 6 * newton_steps + 11`: its sums, the root, its results;
- softmax to F fractional bits: `3 * V * C + F + 5`, a word a cycle: its maxima, its exponentials,
  its quotients;
- argmax: `V * C`, a word a cycle; flatten: nothing, it is wiring;
- every pass: 11 more, 2 to fetch its word and work out its addresses, 9 until its last result is in
  memory. Latency = interval + 2.

The RTL engine (docs/rtl.md) takes exactly these cycles. For one RT-ST-GCN layer alone they are
`interval = V*ceil(Ci/N) + V*P*ceil(Co/N)*Ci + ceil(Co/N)*sum_w max(1, nnz_w) + 22`.

On an R x C array, weights stationary, a matrix product of M x K x N takes
`ceil(K/R) * ceil(N/C) * (2R + C + M - 2) - 1` cycles (it reproduces SCALE-Sim): M = V,
K = Ci * taps, N = Co for convolutions; M = Co, K = P * V, N = V for graph products. Elementwise
passes go C words wide; load and pipeline are in the formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from hw_model.accelerator import Accelerator, Array, Lanes
from hw_model.digits import Digits, digits_of
from hw_model.flow import Flow, is_matrix
from hw_model.loops import NO_WORDS, Loop, Words

START_CYCLES = 2  # of a pass: its word is fetched, its addresses are worked out
DRAIN_CYCLES = 9  # from its last operation until the next pass may begin
PASS_CYCLES = START_CYCLES + DRAIN_CYCLES
LATENCY_CYCLES = 2
ROOT_CYCLES = 9  # of a layer norm: from its last line's sums to a seed
NEWTON_CYCLES = 6  # three products, one after another, two cycles each
NORM_DRAIN_CYCLES = 2  # its words come so much later than a sum of products
MEAN_PAUSE_CYCLES = 1  # of a mean over a clip, between its last frame's words and its quotients
MEAN_DRAIN_CYCLES = 66  # a quotient takes so long, however short
SHARE_DRAIN_CYCLES = 5  # those of a softmax too, and another one for each fractional bit


@dataclass(frozen=True, slots=True)
class Accesses:
    """Words (and their bits) that go in and out of on-chip memory for one frame."""

    weight_reads: Words = NO_WORDS
    activation_reads: Words = NO_WORDS
    activation_writes: Words = NO_WORDS
    state_reads: Words = NO_WORDS
    state_writes: Words = NO_WORDS

    def __add__(self, other: Accesses) -> Accesses:
        return Accesses(
            self.weight_reads + other.weight_reads,
            self.activation_reads + other.activation_reads,
            self.activation_writes + other.activation_writes,
            self.state_reads + other.state_reads,
            self.state_writes + other.state_writes,
        )

    @property
    def activations(self) -> int:
        """Bits read and written."""
        return self.activation_reads.bits + self.activation_writes.bits

    @property
    def state(self) -> int:
        """Bits read and written."""
        return self.state_reads.bits + self.state_writes.bits

    @property
    def bits(self) -> int:
        """All bits moved."""
        return self.weight_reads.bits + self.activations + self.state


@dataclass(frozen=True, slots=True)
class Step:
    """One node on the engine: cycle terms by name (none where it works in another's pass).

    `products` is how many of its `macs` one multiplier makes at once.
    """

    loop: Loop
    macs: int
    products: int
    terms: tuple[tuple[str, int], ...]
    accesses: Accesses


@dataclass(frozen=True, slots=True)
class _Pass:
    """Cycles of a pass, constants and operands fetched, partial sums written and read again.

    Operands that wait are read `reads` times.
    """

    cycles: int
    weight_words: int = 0
    operand_words: int = 0
    partial_words: int = 0
    reads: int = 1


def schedule(loops: Sequence[Loop], flow: Flow, accelerator: Accelerator) -> tuple[Step, ...]:
    """Every node's step, in the order of the loops."""
    engine, multiplier = accelerator.engine, accelerator.multiplier
    sparse = accelerator.adjacency == "sparse"
    paired = is_paired(loops, accelerator)
    digits = digits_of(loops, paired) if isinstance(engine, Lanes) else None
    wide = engine
    if paired and isinstance(engine, Lanes):
        wide = Lanes(kind="lanes", lanes=2 * engine.lanes)
    steps = []
    for position, loop in enumerate(loops):
        matrix, macs, products = is_matrix(loop.kind), loop.macs_dense, 1
        if matrix:
            macs = loop.macs_sparse if sparse else macs
            products = multiplier.products(loop.weight_bits, loop.operand_bits)
            work = _matrix_pass(loop, engine, products, sparse)
        else:
            turns = digits.turns(loop) if digits else 1
            work = _word_pass(loop, flow.fused(loop, position), wide, turns)
        terms = _terms(loop, work, isinstance(engine, Lanes))
        accesses = _accesses(loop, flow, work, sparse, digits)
        steps.append(Step(loop, macs, products, terms, accesses))
    return tuple(steps)


def is_paired(loops: Sequence[Loop], accelerator: Accelerator) -> bool:
    """Whether each multiplier serves two lanes: every product of the network packs in pairs."""
    products = accelerator.multiplier.products
    matrices = [loop for loop in loops if is_matrix(loop.kind)]
    return (
        isinstance(accelerator.engine, Lanes)
        and bool(matrices)
        and all(products(loop.weight_bits, loop.operand_bits) == 2 for loop in matrices)
    )


def _terms(loop: Loop, work: _Pass, lanes: bool) -> tuple[tuple[str, int], ...]:
    if work.cycles == 0:
        return ()
    if loop.kind == "input":
        return (("load", work.cycles),)
    named = (loop.name.removeprefix(f"{loop.layer}."), work.cycles)
    return (named, ("pipeline", PASS_CYCLES)) if lanes else (named,)


def _matrix_pass(loop: Loop, engine: Lanes | Array, products: int, sparse: bool) -> _Pass:
    if isinstance(engine, Array):
        return _array_pass(loop, engine)
    lanes = engine.lanes * products
    if loop.kind == "graph_product":  # each cycle one edge is broadcast to all lanes
        edges, slots = (loop.edges, loop.edge_slots) if sparse else (loop.weights.words,) * 2
        cycles = _ceil(loop.outputs, lanes) * slots
        return _Pass(cycles, cycles, loop.outputs * edges)
    groups = loop.partitions * _ceil(loop.outputs // loop.partitions, lanes)
    cycles = loop.joints * groups * loop.inputs * loop.taps  # each broadcasts one operand
    return _Pass(cycles, loop.macs_dense, cycles)


def _array_pass(loop: Loop, array: Array) -> _Pass:
    if loop.kind == "graph_product":
        m, k, n = loop.outputs, loop.partitions * loop.joints, loop.joints
    else:
        m, k, n = loop.joints, loop.inputs * loop.taps, loop.outputs
    row_folds, col_folds = _ceil(k, array.rows), _ceil(n, array.cols)
    cycles = row_folds * col_folds * (2 * array.rows + array.cols + m - 2) - 1
    return _Pass(cycles, k * n, m * k * col_folds, m * n * (row_folds - 1))


def _word_pass(loop: Loop, fused: bool, engine: Lanes | Array, turns: int) -> _Pass:
    """Word by word, as many at once as there are lanes or columns; `turns` products each."""
    groups = _ceil(loop.outputs, engine.lanes if isinstance(engine, Lanes) else engine.cols)
    words = loop.inputs * loop.joints
    match loop.kind:
        case "affine":
            return _Pass(loop.joints * groups * turns, weight_words=words * turns, reads=turns)
        case "joint_mean":
            return _Pass(loop.joints * groups * turns, reads=turns)
        case "clip_mean":  # the last frame of a clip: it is added, and all sums are divided
            work = loop.joints * groups + MEAN_PAUSE_CYCLES + words
            return _Pass(work + MEAN_DRAIN_CYCLES)
        case "layer_norm":  # once for the sums, once for the results, and the root between them
            steps = (loop.multiplies - 3 * words - 2) // 3  # three products each, see `loop_nest`
            root = ROOT_CYCLES + NEWTON_CYCLES * steps + NORM_DRAIN_CYCLES
            return _Pass(2 * loop.joints * groups + root, weight_words=1)
        case "softmax":  # once for the maximum, once for the exponentials, once to divide
            bits = (loop.adds - loop.multiplies) // words - 4  # of a quotient, see `loop_nest`
            return _Pass(3 * words + SHARE_DRAIN_CYCLES + bits, weight_words=words)
        case "argmax":
            return _Pass(words)
        case "temporal_sum" | "shift" | "add" | "requantise":
            return _Pass(0 if fused else loop.joints * groups)
        case "input":  # an array's first pass reads the frame itself
            return _Pass(loop.joints * groups if isinstance(engine, Lanes) else 0)
        case "flatten":
            return _Pass(0)  # wiring
        case "conv" | "temporal_conv" | "graph_product":
            raise AssertionError(f"{loop.name} is a matrix pass")
        case _:
            assert_never(loop.kind)


def _accesses(loop: Loop, flow: Flow, work: _Pass, sparse: bool, digits: Digits | None) -> Accesses:
    """What a node moves: constants with bias, operands, partial sums, state, buffered results."""
    weight_bits = loop.weight_bits
    if digits and work.reads > 1:
        weight_bits = min(weight_bits, digits.weight_bits)
    if sparse and loop.kind == "graph_product":
        weight_bits = loop.weights_sparse.bits // loop.weights_sparse.words
    bias_words = loop.outputs * loop.joints if loop.bias.words else 0
    weights = _words(work.weight_words, weight_bits) + _words(bias_words, loop.accumulator_bits)
    result = loop.result if loop.name in flow.buffered else NO_WORDS
    state = sum((_words(kept.frame_words, kept.word_bits) for kept in loop.state), NO_WORDS)
    if not is_matrix(loop.kind):
        operands = _waiting_operands(loop, flow, work.reads)
        return Accesses(weights, operands, result, state, state)
    operand = _words(work.operand_words, loop.operand_bits)
    extra = _words(work.partial_words, loop.accumulator_bits)
    if loop.kind == "temporal_conv":  # all its operands come out of its FIFO
        return Accesses(weights, extra, result + extra, operand, state)
    return Accesses(weights, operand + extra, result + extra)


def _waiting_operands(loop: Loop, flow: Flow, reads: int) -> Words:
    """Operands that come from a buffer; the others come from the pass or from a delay line."""
    delayed = {state.value for state in loop.state if state.kind == "delay"}
    words = loop.inputs * loop.joints * reads
    waiting = [
        _words(words, bits)
        for name, bits in zip(loop.reads, loop.reads_bits, strict=True)
        if name not in delayed and not flow.streams(loop, name)
    ]
    return sum(waiting, NO_WORDS)


def _words(words: int, word_bits: int) -> Words:
    return Words(words, words * word_bits)


def _ceil(count: int, width: int) -> int:
    return -(-count // width)
