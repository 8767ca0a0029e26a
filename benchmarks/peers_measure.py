"""Judge and time one peer beside the toolkit's simulator, in one process, by turns.

    python -m benchmarks.peers_measure PEER [--repeats 15] [--seconds 20]

`benchmarks.peers` starts this once for every peer, with the environment of its
`quiet_environment`, and reads the last line printed, which is JSON.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import shutil
import statistics
import sys
import time
from typing import Annotated

import numpy as np
import typer

from benchmarks.peers_forms import PEERS, Peer
from benchmarks.peers_layer import Candidate, Layer, random_layer, reference, toolkit
from fxp.errors import InputError
from fxp.spec import Spec

BLOCK_S = 0.005  # a timed block repeats a short call for so long
FEWEST = 3  # timed blocks of a call that exceeds the time it was given

app = typer.Typer(add_completion=False)


class Row(Spec):
    """What was found for one peer. Without times it was not measured, and `note` says why.

    Times are seconds a call, one of each timed block, `toolkit_s` those of the simulator between
    them. `identical`: every word is that of the reference; otherwise `note` says which are not.
    `threads`: processor seconds over wall seconds, of the peer's blocks. `absent`: something that
    the peer needs is not installed.
    """

    peer: str
    version: str = ""
    times_s: tuple[float, ...] = ()
    toolkit_s: tuple[float, ...] = ()
    identical: bool = False
    threads: float = 0.0
    absent: bool = False
    note: str = ""

    @property
    def median_s(self) -> float:
        """Of the peer."""
        return statistics.median(self.times_s)

    @property
    def toolkit_median_s(self) -> float:
        """Of the simulator in the same process."""
        return statistics.median(self.toolkit_s)

    @property
    def slower(self) -> float:
        """How many times slower than the simulator, by medians."""
        return self.median_s / self.toolkit_median_s


@app.command()
def main(
    peer: Annotated[str, typer.Argument(help="name of a peer, as `benchmarks.peers` shows it")],
    repeats: Annotated[int, typer.Option(min=FEWEST)] = 15,
    seconds: Annotated[float, typer.Option(min=0)] = 20.0,
) -> None:
    """Print the row of one peer as JSON."""
    with contextlib.redirect_stdout(sys.stderr):  # tools tell what they do
        row = measure(find(peer), random_layer(), repeats, seconds)
    typer.echo(row.model_dump_json())


def find(name: str) -> Peer:
    """A peer by its name.

    Raises:
        InputError: there is none of that name.
    """
    for peer in PEERS:
        if peer.name == name:
            return peer
    raise InputError(f"peer `{name}`: must be one of {', '.join(peer.name for peer in PEERS)}")


def absence(peer: Peer) -> str:
    """One sentence on what this environment lacks for a peer; empty if it lacks nothing."""
    for package in peer.packages:
        if importlib.util.find_spec(package) is None:
            return f"not installed: needs the package `{package}`"
    for program in peer.programs:
        if shutil.which(program) is None:
            return f"not installed: needs the program `{program}`"
    return ""


def measure(peer: Peer, layer: Layer, repeats: int, seconds: float) -> Row:
    """Prepare, judge and time one peer; `seconds` bounds the time of calls slower than a block."""
    missing = absence(peer)
    if missing:
        return Row(peer=peer.name, absent=True, note=missing)
    other, own = peer.prepare(layer), toolkit(layer)
    assert not judge(own, layer)[1], "the simulator itself is wrong"
    accepted, note = judge(other, layer)
    if not accepted:
        return Row(peer=peer.name, version=other.version, note=note)
    times, own_times, threads = by_turns(other, own, repeats, seconds)
    return Row(
        peer=peer.name,
        version=other.version,
        times_s=tuple(times),
        toolkit_s=tuple(own_times),
        identical=not note,
        threads=threads,
        note=note,
    )


def judge(candidate: Candidate, layer: Layer) -> tuple[bool, str]:
    """Whether all words follow the candidate's own rule, and which differ from the layer's.

    The note is empty if and only if every word is that of the reference.
    """
    words = np.asarray(candidate.words(candidate.call()))
    expected, own_rule = reference(layer), reference(layer, candidate.ties)
    if words.shape != expected.shape:
        return False, f"wrong: shape {words.shape} instead of {expected.shape}"
    wrong = int((words != own_rule).sum())
    if wrong:
        return False, f"wrong: {wrong:,} of {words.size:,} words by ties {candidate.ties}"
    differing = int((words != expected).sum())  # both rules agree but for ties
    if not differing:
        return True, ""
    return True, f"ties to even: {differing:,} of {words.size:,} words, all ties, differ by 1"


def by_turns(
    other: Candidate, own: Candidate, repeats: int, seconds: float
) -> tuple[list[float], list[float], float]:
    """Seconds a call of both, block by block in turn, and the threads that `other` kept busy."""
    calls = _calls(other), _calls(own)
    times: list[float] = []
    own_times: list[float] = []
    busy = wall = 0.0
    start = time.perf_counter()
    for done in range(repeats):
        if done >= FEWEST and time.perf_counter() - start > seconds:
            break
        before = time.process_time(), time.perf_counter()
        times.append(_block(other, calls[0]))
        busy += time.process_time() - before[0]
        wall += time.perf_counter() - before[1]
        own_times.append(_block(own, calls[1]))
    return times, own_times, busy / wall


def _calls(candidate: Candidate) -> int:
    """Calls that fill a block: one of a slow candidate."""
    candidate.call()
    start = time.perf_counter()
    candidate.call()
    return max(1, math.ceil(BLOCK_S / (time.perf_counter() - start)))


def _block(candidate: Candidate, calls: int) -> float:
    """Seconds a call; one untimed call first brings a fast candidate's data back into the cache."""
    if calls > 1:
        candidate.call()
    start = time.perf_counter()
    for _ in range(calls):
        candidate.call()
    return (time.perf_counter() - start) / calls


if __name__ == "__main__":
    from fxp.console import run

    run(app)
