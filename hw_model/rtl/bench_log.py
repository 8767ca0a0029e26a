"""What the bench says, read back: bench.sv and cxxrtl_bench.cc print the same lines."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """One complaint of the bench: `port` is a file's stem, or `cycles`; words in hex.

    `line` is None where there are too few or too many lines or frames, `wanted` is where the line
    should not be at all.
    """

    port: str
    line: int | None
    found: str | None
    wanted: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Run:
    """What a bench said. `stopped` is its message where it could not run to its end.

    `cycles` from the first line taken to the end of the last frame, `latency` to the last result.
    """

    passed: bool
    differences: tuple[Difference, ...]
    frames: int
    cycles: int
    latency: int
    stopped: str | None
    log: str
    seconds: float


_LINE = re.compile(
    r"DIFFERENT (\S+)\.hex line (\d+) is (\S+ \S+?)(?:, should not be| should be (\S+ \S+))$"
)
_FRAME = re.compile(r"CYCLES frame (\d+) ends after (\d+) cycles, should after (\d+)$")
_SUMMARY = re.compile(r"FRAMES (\d+) CYCLES (\d+) LATENCY (-?\d+)")
_FATAL = re.compile(r"(?:FATAL: (?:\S+\.svh?:\d+: )?|%Fatal: \S+ Assertion failed in \S+: )(.*)")


def judged(log: str, ended_well: bool, stopped: str | None, seconds: float) -> Run:
    """What a log means; `stopped` is why the bench was stopped from outside, if it was."""
    differences = tuple(filter(None, map(_difference, log.splitlines())))
    summary = _SUMMARY.search(log)
    frames, cycles, latency = map(int, summary.groups()) if summary else (0, 0, 0)
    passed = ended_well and bool(summary) and "\nPASS: " in log and not differences
    if not stopped and not summary:
        fatal = _FATAL.search(log)
        stopped = fatal[1].strip() if fatal else (log.strip().splitlines() or ["said nothing"])[-1]
    return Run(passed, differences, frames, cycles, latency, stopped, log, seconds)


def _difference(text: str) -> Difference | None:
    if found := _LINE.match(text):
        return Difference(found[1], int(found[2]), found[3], found[4], text)
    if found := _FRAME.match(text):
        return Difference("cycles", int(found[1]), found[2], found[3], text)
    if text.startswith("CYCLES "):
        return Difference("cycles", None, None, None, text)
    if text.startswith("DIFFERENT "):
        port = text.split()[1].removesuffix(".hex")
        return Difference(port, None, None, None, text)
    return None
