"""Layer norm, softmax and mean over a clip alone: what they get in a cycle, and what they give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from fxp.elementary import exponential
from fxp.ir import ClipMean, Graph, IntArray, LayerNorm, Softmax
from fxp.oracle import evaluate
from hw_model.rtl.bench_files import hex_words
from hw_model.rtl.design import Design, design_of, include_files
from hw_model.rtl.expected import frame_lines
from hw_model.schedule import MEAN_PAUSE_CYCLES, NEWTON_CYCLES, ROOT_CYCLES
from tests.rtl_units import PATTERN, Case, pattern_file


@dataclass
class _Cycles:
    """What a unit gets, cycle by cycle, and the cycles in which its lines of results stand."""

    design: Design
    ops: list[int] = field(default_factory=list)
    stands: list[int] = field(default_factory=list)
    further: bool = False
    total: int = 0

    def give(
        self,
        words: Iterable[int] = (),
        *,
        start: bool = False,
        sweep: int | None = None,
        last: bool = False,
        end: bool = False,
    ) -> int:
        """One cycle; returns its number."""
        bits = self.design.parameters["READ_BITS"]
        operands = sum((word & ((1 << bits) - 1)) << bits * at for at, word in enumerate(words))
        flags = (start, sweep is not None, last, end, self.further, False)
        packed = int("".join(str(int(flag)) for flag in flags), 2)
        head = (packed << 2 | (sweep or 0)) << 32 | self.total
        self.ops.append(head << bits * self.design.parameters["LANES"] | operands)
        return len(self.ops) - 1

    def idle(self, cycles: int) -> None:
        for _ in range(cycles):
            self.give()

    def lines(self, sweep: int, lines: IntArray) -> list[int]:
        """A sweep of a line a cycle, `(lines, lanes)`; returns the cycle of each."""
        ends = [at == len(lines) - 1 for at in range(len(lines))]
        pairs = zip(lines.tolist(), ends, strict=True)
        return [self.give(line, sweep=sweep, last=True, end=end) for line, end in pairs]

    def words(self, sweep: int, x: IntArray) -> list[int]:
        """A sweep of a word a cycle of a frame `(C, V)`; returns the cycle of each line's last."""
        found, lanes = [], self.design.parameters["LANES"]
        for c, v in in_order(x, lanes):
            last = c == len(x) - 1 or c % lanes == lanes - 1
            end = (c, v) == (len(x) - 1, x.shape[1] - 1)
            at = self.give([int(x[c, v])], sweep=sweep, last=last, end=end)
            found += [at] if last else []
        return found


def in_order(x: IntArray, lanes: int) -> Iterator[tuple[int, int]]:
    """Channel and joint of the words of a frame `(C, V)`: group by group, joint by joint."""
    for first in range(0, len(x), lanes):
        for v in range(x.shape[1]):
            for c in range(first, min(first + lanes, len(x))):
                yield c, v


def norm_case(graph: Graph, clip: IntArray, lanes: int, seed: int) -> Case:
    """A layer norm of the graph's input."""
    node, design = graph.nodes[1], design_of(graph, lanes)
    assert isinstance(node, LayerNorm)
    cycles = _Cycles(design)
    for lines in frame_lines(clip, design.ground.frames[graph.nodes[0].name]):
        cycles.give(start=True)
        cycles.lines(0, lines)
        cycles.idle(ROOT_CYCLES + NEWTON_CYCLES * node.newton_steps)
        cycles.stands += [at + 7 for at in cycles.lines(1, lines)]
        cycles.idle(12)
    return _case(1, cycles, evaluate(graph, clip)[node.name], "seeds", seed)


def share_case(graph: Graph, clip: IntArray, lanes: int, seed: int) -> Case:
    """A softmax of the graph's input; every exponential is compared too."""
    node, design = graph.nodes[1], design_of(graph, lanes)
    assert isinstance(node, Softmax)
    coarse, fine = node.coarse.tolist(), node.fine.tolist()
    cycles, powers = _Cycles(design), list[int]()
    for x in clip:
        cycles.give(start=True)
        for sweep in range(3):
            ends = cycles.words(sweep, x)
        cycles.stands += [at + 10 + node.frac_bits for at in ends]
        cycles.idle(16 + node.frac_bits)
        below = [int(x[:, v].max() - x[c, v]) for c, v in in_order(x, lanes)]
        powers += 2 * [exponential(each, coarse, fine, node.exp_bits) for each in below]
    return _case(2, cycles, evaluate(graph, clip)[node.name], "powers", seed, powers)


def mean_case(
    graph: Graph, clips: Sequence[IntArray], lanes: int, seed: int, zeros: int = 0
) -> Case:
    """A mean over each of some clips of the graph's input, one behind the other.

    In front of each belong `zeros` frames of zeros, which the unit need not see.
    """
    node, design = graph.nodes[1], design_of(graph, lanes)
    assert isinstance(node, ClipMean)
    cycles, wanted = _Cycles(design), []
    for clip in clips:
        lines = frame_lines(clip, design.ground.frames[graph.nodes[0].name])
        for t in range(len(clip)):
            cycles.further, cycles.total = t > 0, t + 1 + zeros
            cycles.give(start=True)
            cycles.lines(0, lines[t])
            if t < len(clip) - 1:
                cycles.idle(10)
        cycles.idle(MEAN_PAUSE_CYCLES)
        behind = 8 + design.parameters["MEAN_BITS"]
        cycles.stands += [at + behind for at in cycles.words(1, clip[-1])]
        cycles.idle(behind)
        whole = np.pad(clip, ((zeros, 0), (0, 0), (0, 0)))
        wanted.append(evaluate(graph, whole)[node.name])
    return _case(3, cycles, np.concatenate(wanted), "seeds", seed)


def _case(
    unit: int,
    cycles: _Cycles,
    wanted: IntArray,
    table: str,
    seed: int,
    powers: Sequence[int] = (),
) -> Case:
    """The bench of the unit whose pass is the graph's first, on what it gets."""
    design, graph = cycles.design, cycles.design.ground.graph
    frame, p = design.ground.frames[graph.nodes[1].name], design.parameters
    lines = frame_lines(wanted, frame).reshape(-1, frame.lanes)
    mask = (1 << p["ACC_BITS"]) - 1
    packed = [
        at << p["LANES"] * p["ACC_BITS"]
        | sum((word & mask) << p["ACC_BITS"] * lane for lane, word in enumerate(line))
        for at, line in zip(cycles.stands, lines.tolist(), strict=True)
    ]
    boot = design.memories[table][1] or (0,)
    files = {
        **{name: text.encode() for name, text in include_files(design).items()},
        "ops.hex": hex_words(cycles.ops, 40 + p["LANES"] * p["READ_BITS"]),
        "pass.hex": hex_words(design.memories["program"][1][:1], p["PASS_BITS"]),
        "boot.hex": hex_words(boot, 32),
        "lines.hex": hex_words(packed, 32 + p["LANES"] * p["ACC_BITS"]),
        "powers.hex": hex_words((*powers, 0), 32),
        "pattern.hex": pattern_file(seed, 0.1, burst=5),
    }
    given = {
        "UNIT": unit,
        "COUNT": len(cycles.ops),
        "LINES": len(packed),
        "FRAME_LINES": frame.lines,
        "LAST_FROM": frame.lines - frame.joints,
        "POWERS": len(powers),
        "BOOT_LINES": len(boot),
        "PATTERN": PATTERN,
    }
    units = ("layer_norm reciprocal_root", "softmax divider gather", "clip_mean divider gather")
    return Case("sweeps_bench", ("ram", *units[unit - 1].split()), given, files)
