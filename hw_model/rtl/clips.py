"""Several clips one right after the other: nothing of one may be left when the next begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np

from hw_model.rtl.bench_files import SUMS, BenchFiles, hex_words, sums_text
from hw_model.rtl.expected import Lines, newest_lines
from hw_model.rtl.timing import FrameTiming

ENDS = ".end"


def back_to_back(runs: Sequence[BenchFiles]) -> BenchFiles:
    """One run of the clips of several runs of one program, in their order.

    The next clip's first line comes as soon as the engine takes it. Frames of the input are counted
    through, those of a clip's flush too.
    """
    ends = accumulate((run.cycles for run in runs), initial=0)
    counts = accumulate((len(run.timing) for run in runs), initial=0)
    starts = list(zip(ends, counts, strict=True))[: len(runs)]
    timing = tuple(
        _later(frame, *start)
        for run, start in zip(runs, starts, strict=True)
        for frame in run.timing
    )
    ports = {}
    for name in dict.fromkeys(name for run in runs for name in run.ports):
        parts = [
            replace(run.ports[name], frame=run.ports[name].frame + before)
            for run, (_, before) in zip(runs, starts, strict=True)
            if name in run.ports
        ]
        ports[name] = newest_lines(parts) if name.endswith(ENDS) else _joined(parts)
    files = {name: text for name, text in runs[0].files.items() if name != SUMS}
    files |= {f"{name}.hex": lines.text() for name, lines in ports.items()}
    files["input.hex"] = b"".join(run.files["input.hex"] for run in runs)
    files["cycles.hex"] = hex_words((frame.ends for frame in timing), 32)
    return BenchFiles({**files, SUMS: sums_text(files)}, ports, timing, runs[0].bits)


def _later(frame: FrameTiming, cycles: int, frames: int) -> FrameTiming:
    issues = {at: cycle + cycles for at, cycle in frame.issues.items()}
    begins, ends = frame.begins + cycles, frame.ends + cycles
    return FrameTiming(frame.frame + frames, begins, ends, issues)


def _joined(parts: Sequence[Lines]) -> Lines:
    columns = ("words", "address", "frame", "made", "result")
    words, address, frame, made, result = (
        np.concatenate([getattr(part, name) for part in parts]) for name in columns
    )
    return Lines(words, parts[0].bits, address, frame, made, result)
