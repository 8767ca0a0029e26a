"""How an engine walks the loops: cycles and on-chip memory accesses of every node, for one frame.

One engine computes node after node, one frame in flight. With N lanes (times the products that the
operands' widths pack into one multiplier, for multiply-accumulates), V joints, Ci input and Co
output channels, P partitions:

- load: `V * ceil(Ci/N)`, once per layer that multiplies matrices: the frame is copied in (a
  temporal convolution in front finds it in its FIFO);
- 1x1 convolution: `V * P * ceil(Co/P/N) * Ci` (P = 1 unless a graph product follows), 3 to fill;
- temporal convolution: `V * ceil(Co/N) * Ci * taps`, 3 to fill;
- graph product: `ceil(Co/N) * sum over joints of max(1, edges)`, dense `ceil(Co/N) * P * V * V`;
- norm with multiplications: `V * ceil(C/N)`; joint mean: `V * ceil(C/N) + ceil(C/N)`;
- layer norm: `2 * V * ceil(C/N) + 24`: its sums, the root, its results;
- softmax: `3 * V * ceil(C/N) + 32`: its maxima, its exponentials, its quotients;
- flatten: nothing, it is wiring;
- argmax: one cycle per word; other elementwise nodes nothing, but `V * ceil(C/N)` on the input;
- drain: 5, once per layer that multiplies matrices; latency = interval + 2.

For one RT-ST-GCN layer this is the formula that was measured on RTL, cycle by cycle:
`interval = V*ceil(Ci/N) + V*P*ceil(Co/N)*Ci + 3 + ceil(Co/N)*sum_w max(1, nnz_w) + 5`.

On an R x C array, weights stationary, a matrix product of M x K x N takes
`ceil(K/R) * ceil(N/C) * (2R + C + M - 2) - 1` cycles (it reproduces SCALE-Sim): M = V,
K = Ci * taps, N = Co for convolutions; M = Co, K = P * V, N = V for graph products. Elementwise
passes go C words wide; load, fill and drain are in the formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from hw_model.accelerator import Accelerator, Array, Lanes
from hw_model.flow import Flow, is_matrix
from hw_model.loops import NO_WORDS, Loop, Words

FILL_CYCLES = 3
DRAIN_CYCLES = 5
LATENCY_CYCLES = 2
DIVIDE_CYCLES = 32  # of a softmax: the depth of a pipelined divider
ROOT_CYCLES = 24  # of a layer norm: seed and two Newton steps of three products, three cycles each


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
    """Cycles of a pass, constants and operands fetched, partial sums written and read again."""

    cycles: int
    weight_words: int = 0
    operand_words: int = 0
    partial_words: int = 0


def schedule(loops: Sequence[Loop], flow: Flow, accelerator: Accelerator) -> tuple[Step, ...]:
    """Every node's step, in the order of the loops."""
    engine, multiplier = accelerator.engine, accelerator.multiplier
    sparse = accelerator.adjacency == "sparse"
    first = {loop.layer: loop.name for loop in reversed(loops) if is_matrix(loop.kind)}
    last = {loop.layer: loop.name for loop in loops if is_matrix(loop.kind)}
    steps = []
    for position, loop in enumerate(loops):
        matrix, macs, products = is_matrix(loop.kind), loop.macs_dense, 1
        loaded = NO_WORDS
        if matrix:
            macs = loop.macs_sparse if sparse else macs
            products = multiplier.products(loop.weight_bits, loop.operand_bits)
            work = _matrix_pass(loop, engine, products, sparse)
        else:
            work = _word_pass(loop, flow.fused(loop, position), engine)
        terms = [(loop.name.removeprefix(f"{loop.layer}."), work.cycles)] if work.cycles else []
        if matrix and isinstance(engine, Lanes):
            if loop.name == first[loop.layer] and loop.kind != "temporal_conv":
                loaded = operand_frame(loop)
                terms.insert(0, ("load", loop.joints * _ceil(loop.inputs, engine.lanes)))
            if loop.kind != "graph_product":
                terms.append(("fill", FILL_CYCLES))
            if loop.name == last[loop.layer]:
                terms.append(("drain", DRAIN_CYCLES))
        accesses = _accesses(loop, flow, work, loaded, sparse)
        steps.append(Step(loop, macs, products, tuple(terms), accesses))
    return tuple(steps)


def loaded_frame(steps: Sequence[Step]) -> Words:
    """The largest frame that is copied in before a pass."""
    loaded = [
        operand_frame(step.loop) for step in steps if any(term == "load" for term, _ in step.terms)
    ]
    return max(loaded, key=lambda frame: frame.bits, default=NO_WORDS)


def operand_frame(loop: Loop) -> Words:
    """One frame of a node's operand."""
    return _words(loop.inputs * loop.joints, loop.operand_bits)


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


def _word_pass(loop: Loop, fused: bool, engine: Lanes | Array) -> _Pass:
    """Word by word, as many at once as there are lanes or columns."""
    groups = _ceil(loop.outputs, engine.lanes if isinstance(engine, Lanes) else engine.cols)
    words = loop.inputs * loop.joints
    match loop.kind:
        case "affine":
            return _Pass(loop.joints * groups, weight_words=words)
        case "joint_mean":
            return _Pass(loop.joints * groups + groups)
        case "layer_norm":  # once for the sums, once for the results, and the root between them
            return _Pass(2 * loop.joints * groups + ROOT_CYCLES, weight_words=1)
        case "softmax":  # once for the maximum, once for the exponentials, once to divide
            return _Pass(3 * loop.joints * groups + DIVIDE_CYCLES, weight_words=words)
        case "argmax":
            return _Pass(words)
        case "temporal_sum" | "clip_mean" | "shift" | "add" | "requantise":
            return _Pass(0 if fused else loop.joints * groups)
        case "input":
            return _Pass(0)  # the first pass reads the frame
        case "flatten":
            return _Pass(0)  # wiring
        case "conv" | "temporal_conv" | "graph_product":
            raise AssertionError(f"{loop.name} is a matrix pass")
        case _:
            assert_never(loop.kind)


def _accesses(loop: Loop, flow: Flow, work: _Pass, loaded: Words, sparse: bool) -> Accesses:
    """What a node moves: constants with bias, operands, partial sums, state, buffered results."""
    weight_bits = loop.weight_bits
    if sparse and loop.kind == "graph_product":
        weight_bits = loop.weights_sparse.bits // loop.weights_sparse.words
    bias_words = loop.outputs * loop.joints if loop.bias.words else 0
    weights = _words(work.weight_words, weight_bits) + _words(bias_words, loop.accumulator_bits)
    result = loop.result if loop.name in flow.buffered else NO_WORDS
    state = sum((_words(kept.frame_words, kept.word_bits) for kept in loop.state), NO_WORDS)
    if not is_matrix(loop.kind):
        return Accesses(weights, _waiting_operands(loop, flow), result, state, state)
    operand = _words(work.operand_words, loop.operand_bits)
    extra = loaded + _words(work.partial_words, loop.accumulator_bits)
    if loop.kind == "temporal_conv":  # all its operands come out of its FIFO
        return Accesses(weights, extra, result + extra, operand, state)
    return Accesses(weights, operand + extra, result + extra)


def _waiting_operands(loop: Loop, flow: Flow) -> Words:
    """Operands that come from a buffer; the others come from the pass or from a delay line."""
    delayed = {state.value for state in loop.state if state.kind == "delay"}
    words = loop.inputs * loop.joints
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
