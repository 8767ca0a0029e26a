"""Clips that remember what graphs made of them, so that a changed graph runs from its change on.

`Replay` stands wherever a sequence of clips does (`fxp.ptq.reference.real_values`). A value depends
on its node and on what that reads, so it is known by a *signature*: the hash of the node and of its
operands' signatures. Stored values (input, casts) are kept under theirs, in the pieces in which the
simulator made them; another graph, or the same one with other words behind some node, finds
everything in front of the change and computes the rest with the simulator's own step
(`fxp.engine.evaluate`). Every word is that of a full run.

Accumulators are not kept: they are wider than the casts made of them, and a pass away from these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from fxp.cast import FloatArray
from fxp.engine import evaluate
from fxp.ir import Graph, Input, IntArray, Node, Requantise, operands
from fxp.plan import Plan, compile_graph
from fxp.signatures import Recent, Signatures
from fxp.state import initial_state
from fxp.validate import check_clip, check_length

MOST_BYTES = 1 << 29  # of kept values
MOST_SUMMARY_BYTES = 1 << 27
_SMALL_BITS = 16  # words of at most so many bits are kept in two bytes

Pieces = list[list[npt.NDArray[np.integer[Any]]]]  # clip by clip, piece by piece, (T', V, C)


class Replay(Sequence[IntArray]):
    """Clips, int64 (T, C, V), with the values of the graphs that ran on them.

    `needed` counts the values that were in reach of those asked for, `evaluated` those of them that
    were computed.
    """

    def __init__(self, clips: Sequence[IntArray], most_bytes: int = MOST_BYTES) -> None:
        """Take clips, which must not be changed; of values at most `most_bytes` are kept."""
        self._clips = tuple(clips)
        self._kept: Recent[str, Pieces] = Recent(most_bytes)
        self._signatures = Signatures()
        self._summaries: Recent[tuple[str, str], FloatArray] = Recent(MOST_SUMMARY_BYTES)
        self._piece_frames = 0
        self.evaluated = 0
        self.needed = 0

    @overload
    def __getitem__(self, index: int) -> IntArray: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[IntArray]: ...
    def __getitem__(self, index: int | slice) -> IntArray | Sequence[IntArray]:
        """A clip, or some of them."""
        return self._clips[index]

    def __len__(self) -> int:
        return len(self._clips)

    def values(self, graph: Graph, names: Sequence[str]) -> Iterator[dict[str, IntArray]]:
        """Clip by clip, raw words int64 (T', C, V) of some values, as `fxp.simulate.run` gives.

        Args:
            graph: any valid graph that ends with the last of `names`.
            names: values of it.

        Raises:
            GraphError: the graph cannot be certified.
            InputError: a clip is no possible input of it.
        """
        marks = self.signatures(graph)
        plan = compile_graph(graph, self._signatures.ranges(graph))
        self._piece_frames = self._piece_frames or plan.chunk_frames
        nodes = {node.name: node for node in graph.nodes}
        fresh = self._fresh(nodes, marks, names)
        used = {x for name in fresh for x in operands(nodes[name])} | set(names)
        known: dict[str, Pieces] = {}
        for name in nodes:
            if name in used and (found := self._kept.get(marks[name])) is not None:
                known[name] = found
        self.needed += len(nodes)
        self.evaluated += len(fresh)
        made: dict[str, Pieces] = {
            name: []
            for name, node in nodes.items()
            if name in fresh and isinstance(node, Input | Requantise)
        }
        for index, clip in enumerate(self._clips):
            words = check_clip(graph, clip)
            check_length(graph, len(words), plan.longest_clip)
            given = {name: pieces[index] for name, pieces in known.items()}
            pieces = _run(plan, fresh, words, given, self._piece_frames)
            for name, own in made.items():
                own.append([_small(piece[name], nodes[name]) for piece in pieces])
            yield {
                name: np.ascontiguousarray(
                    np.concatenate([piece[name] for piece in pieces]).transpose(0, 2, 1),
                    dtype=np.int64,
                )
                for name in names
            }
        for name, own in made.items():
            self._kept.put(marks[name], own, sum(part.nbytes for clip in own for part in clip))

    def known(self, what: str, graph: Graph, names: Sequence[str]) -> dict[str, FloatArray]:
        """Those of the summaries of values (`remember`) that are known, by name."""
        marks = self.signatures(graph)
        found = {name: self._summaries.get((what, marks[name])) for name in names}
        return {name: summary for name, summary in found.items() if summary is not None}

    def remember(self, what: str, graph: Graph, summaries: Mapping[str, FloatArray]) -> None:
        """Keep something small about values (means, a Gram matrix), by name."""
        marks = self.signatures(graph)
        for name, summary in summaries.items():
            self._summaries.put((what, marks[name]), summary, summary.nbytes)

    def signatures(self, graph: Graph) -> dict[str, str]:
        """What each value of a graph is made by (`fxp.signatures.Signatures.of`)."""
        return self._signatures.of(graph)

    def _fresh(
        self, nodes: Mapping[str, Node], marks: Mapping[str, str], names: Sequence[str]
    ) -> set[str]:
        """The values that have to be computed: those that are needed and not kept."""
        fresh: set[str] = set()
        open_names = list(names)
        while open_names:
            name = open_names.pop()
            if name not in fresh and marks[name] not in self._kept:
                fresh.add(name)
                open_names += operands(nodes[name])
        return fresh


def _run(
    plan: Plan,
    fresh: set[str],
    words: IntArray,
    given: Mapping[str, list[npt.NDArray[np.integer[Any]]]],
    piece_frames: int,
) -> list[dict[str, IntArray]]:
    """The frames (T', V, C) of a clip piece by piece: what is given, and what follows from it."""
    state = initial_state(plan)
    stages = [stage for name, stage in plan.stages.items() if name in fresh]
    pieces = []
    for number, start in enumerate(range(0, len(words), piece_frames)):
        chunk = words[start : start + piece_frames]
        values: dict[str, IntArray] = {
            name: own[number].astype(plan.stages[name].dtype) for name, own in given.items()
        }
        for stage in stages:
            if stage.reads:
                operand = [values[name] for name in stage.reads]
                flush = start + len(chunk) == len(words)
                values[stage.name] = evaluate(plan, state, stage, operand, flush)
            else:  # the input
                values[stage.name] = np.ascontiguousarray(
                    chunk.transpose(0, 2, 1), dtype=stage.dtype
                )
        state.frames += len(chunk)
        pieces.append(values)
    return pieces


def _small(piece: IntArray, node: Node) -> npt.NDArray[np.integer[Any]]:
    fmt = node.cast.to if isinstance(node, Requantise) else None
    narrow = fmt is not None and fmt.word_bits <= _SMALL_BITS - (not fmt.signed)
    return piece.astype(np.int16) if narrow else piece
