"""Scores of many graphs on the same clips: threads, windows of graphs, results one by one.

Graphs come lazily, in windows. Of each window the values are numbered by signature and the graphs
ordered depth first; threads take pieces of the order, within which values are kept for later ones.
While threads work on one window, one of them makes the graphs of the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, pairwise
from queue import PriorityQueue, SimpleQueue
from threading import Event
from typing import Generic, TypeAlias, TypeVar

from fxp.configurations.cuts import Stored
from fxp.configurations.order import Signed, Uses, depth_first
from fxp.configurations.walk import Walk
from fxp.errors import InputError
from fxp.fused.steps import Words
from fxp.fused.tiers import machine_tiers
from fxp.ir import Graph, Input, IntArray, Node
from fxp.plan import compile_graph
from fxp.signatures import Signatures
from fxp.validate import check_clip, check_length, describe, longest_clip

MEMORY_BYTES = 1 << 30
WINDOW = 512
FIRST_WINDOW = 16  # graphs per thread
PIECES = 4  # of the order per thread, so that all end at about the same time
LEAST_PIECE = 8  # graphs: at the beginning of a piece nothing is kept

Key = TypeVar("Key")
Score = TypeVar("Score")
Make: TypeAlias = Graph | Callable[[], Graph]
Values: TypeAlias = list[dict[str, IntArray]]


@dataclass(frozen=True)
class Outcome(Generic[Key, Score]):
    """What became of a graph: its score, or why it has none."""

    key: Key
    score: Score | None
    error: InputError | None


@dataclass(frozen=True, eq=False)
class _Ended(Generic[Key]):
    """A job is done: it ordered a window, or ran a piece, or failed."""

    window: int
    order: list[Signed[Key]] | None
    failure: BaseException | None


def evaluate_all(
    graphs: Iterable[tuple[Key, Make]],
    clips: Sequence[Words],
    score: Callable[[Key, Values], Score],
    *,
    names: Sequence[str] | None = None,
    threads: int = 2,
    memory_bytes: int = MEMORY_BYTES,
    window: int = WINDOW,
    done: Callable[[Outcome[Key, Score]], None] = lambda _: None,
) -> list[Outcome[Key, Score]]:
    """The outcomes of `outcomes`, in the order in which the graphs were given.

    Keys must differ. `done` is called with each outcome as soon as it is there, by this thread.
    """
    keys: list[Key] = []

    def listed() -> Iterator[tuple[Key, Make]]:
        for key, make in graphs:
            keys.append(key)
            yield key, make

    found: dict[Key, Outcome[Key, Score]] = {}
    for outcome in outcomes(
        listed(),
        clips,
        score,
        names=names,
        threads=threads,
        memory_bytes=memory_bytes,
        window=window,
    ):
        found[outcome.key] = outcome
        done(outcome)
    return [found[key] for key in keys]


def outcomes(
    graphs: Iterable[tuple[Key, Make]],
    clips: Sequence[Words],
    score: Callable[[Key, Values], Score],
    *,
    names: Sequence[str] | None = None,
    threads: int = 2,
    memory_bytes: int = MEMORY_BYTES,
    window: int = WINDOW,
) -> Iterator[Outcome[Key, Score]]:
    """Evaluate graphs on clips; outcomes come as they are ready. Stopping early stops the work.

    Every word is that of a run of the graph alone (`fxp.simulate.run`).

    Args:
        graphs: keys, each with a graph or with what makes it (in any thread, called once).
        clips: integers (T, C, V) each, T >= 1; not to be changed meanwhile.
        score: of a key and of the values by name, int64 (T', C, V), clip by clip; it is called by
            several threads.
        names: of the values to be scored, outputs of every graph; None for all outputs.
        threads: that work at a time, besides this one, which waits.
        memory_bytes: of the values kept between graphs, all threads together. What does not fit is
            computed again. Beyond it stand the clips in the narrowest type of the input, the values
            to be scored of a graph per thread, buffers of a chunk per thread, and the graphs of two
            windows.
        window: the most graphs that are ordered together; the first windows are smaller.

    Yields:
        An outcome for each graph. A graph that cannot be made, certified or fed with the clips has
        the error.

    Raises:
        Exception: what `score` or `graphs` raised, or what a graph's maker raised that is no
            `InputError`.
    """
    if threads < 1 or window < 1 or not clips:
        raise ValueError("at least one thread, one graph in a window, one clip")
    work = _Work(clips, score, names, threads, memory_bytes)
    batches = _batches(graphs, min(window, FIRST_WINDOW * threads), window)
    left: dict[int, int] = {}  # pieces of the windows that are ordered, by their number
    try:
        ordering = work.begin(next(batches, None))
        while ordering or left:
            message = work.messages.get()
            if isinstance(message, Outcome):
                yield message
                continue
            if message.failure is not None:
                raise message.failure
            if message.order is None:
                left[message.window] -= 1
            else:
                ordering, left[message.window] = False, len(work.pieces(message.order))
            left = {number: pieces for number, pieces in left.items() if pieces}
            if not ordering and len(left) < 2:
                ordering = work.begin(next(batches, None))
            if message.order is not None:
                work.hand_out(message.order, message.window)
    finally:
        work.end()


def _batches(
    graphs: Iterable[tuple[Key, Make]], first: int, most: int
) -> Iterator[list[tuple[Key, Make]]]:
    """Windows of graphs, small at first, so that all threads soon have work."""
    source = iter(graphs)
    while batch := list(islice(source, first)):
        yield batch
        first = min(2 * first, most)


class _Work(Generic[Key, Score]):
    """What the threads share."""

    def __init__(
        self,
        clips: Sequence[Words],
        score: Callable[[Key, Values], Score],
        names: Sequence[str] | None,
        threads: int,
        memory_bytes: int,
    ) -> None:
        self.clips, self.score, self.names = clips, score, names
        self.threads, self.memory_bytes = threads, memory_bytes
        self.pool = ThreadPoolExecutor(threads)
        self.jobs: PriorityQueue[tuple[int, int, Callable[[], None]]] = PriorityQueue()
        self.submitted = self.windows = 0
        self.tiers = machine_tiers()
        self.messages: SimpleQueue[Outcome[Key, Score] | _Ended[Key]] = SimpleQueue()
        self.stop = Event()
        self.signatures = Signatures()  # windows are ordered one after the other
        self.inputs: dict[Input, InputError | None] = {}
        self.stored: dict[str, Stored] = {}

    # ------------------------------------------------------------ by the caller's thread

    def begin(self, batch: Sequence[tuple[Key, Make]] | None) -> bool:
        """Let a window be ordered before anything else is done, if there is one."""
        if batch is None:
            return False
        self._submit(0, partial(self.order, batch, self.windows))
        self.windows += 1
        return True

    def hand_out(self, order: Sequence[Signed[Key]], window: int) -> None:
        """Let the pieces of a window be run, after those of the one before."""
        for piece in self.pieces(order):
            self._submit(1, partial(self.run, order[piece.start : piece.stop], window))

    def pieces(self, order: Sequence[Signed[Key]]) -> list[range]:
        """Parts of an order, about as long as each other; one of them for one thread."""
        count, threads = len(order), self.threads
        most = min(count, PIECES * threads, max(threads, count // LEAST_PIECE))
        most = min(most, 1) if threads == 1 else most
        bounds = [count * i // most for i in range(most + 1)] if most else []
        return [range(*ends) for ends in pairwise(bounds)]

    def end(self) -> None:
        """Stop the threads, after the graphs that they are at."""
        self.stop.set()
        self.pool.shutdown(cancel_futures=True)

    def _submit(self, rank: int, job: Callable[[], None]) -> None:
        self.jobs.put((rank, self.submitted, job))
        self.submitted += 1
        self.pool.submit(lambda: self.jobs.get()[2]())

    # ------------------------------------------------------------ by the threads

    def order(self, batch: Sequence[tuple[Key, Make]], window: int) -> None:
        """A job: the graphs of a window, made, checked and ordered."""
        order: list[Signed[Key]] = []
        nodes: dict[str, Node] = {}
        marks: dict[str, int] = {}
        try:
            for key, make in batch:
                if self.stop.is_set():
                    break
                try:
                    graph = make() if callable(make) else make
                    order.append(self._signed(key, graph, nodes, marks))
                except InputError as error:
                    self.messages.put(Outcome(key, None, error))
            self.messages.put(_Ended(window, depth_first(order), None))
        except BaseException as failure:
            self.messages.put(_Ended(window, None, failure))

    def _signed(
        self, key: Key, graph: Graph, nodes: dict[str, Node], marks: dict[str, int]
    ) -> Signed[Key]:
        """A graph with its values numbered, its nodes shared with other graphs of the window."""
        about = describe(graph)
        self._check_clips(graph)
        names = graph.outputs if self.names is None else tuple(self.names)
        for name in names:
            if name not in graph.outputs:
                raise InputError(f"`{name}` is no output of graph `{graph.name}`")
        hashed = self.signatures.node_hash
        graph = replace(graph, nodes=tuple(nodes.setdefault(hashed(n), n) for n in graph.nodes))
        signals = self.signatures.ranges(graph, about)
        found = self.signatures.of(graph)
        own = {name: marks.setdefault(mark, len(marks)) for name, mark in found.items()}
        return Signed(key, graph, signals, own, names)

    def _check_clips(self, graph: Graph) -> None:
        source = graph.nodes[0]
        assert isinstance(source, Input)
        if source not in self.inputs:
            self.inputs[source] = None
            try:
                for clip in self.clips:
                    check_clip(graph, clip)
            except InputError as error:
                self.inputs[source] = error
        refusal = self.inputs[source]
        if refusal is not None:
            raise refusal
        check_length(graph, max(map(len, self.clips)), longest_clip(graph))

    def run(self, order: Sequence[Signed[Key]], window: int) -> None:
        """A job: a piece of an order, on all clips."""
        try:
            walk = Walk(Uses(order), self.clips, self.memory_bytes // self.threads, self.stored)
            for place, signed in enumerate(order):
                if self.stop.is_set():
                    break
                try:
                    plan = compile_graph(signed.graph, signed.signals, self.tiers)
                except InputError as error:
                    self.messages.put(Outcome(signed.key, None, error))
                    continue
                values = walk.run(place, plan, signed)
                self.messages.put(Outcome(signed.key, self.score(signed.key, values), None))
            self.messages.put(_Ended(window, None, None))
        except BaseException as failure:
            self.messages.put(_Ended(window, None, failure))
