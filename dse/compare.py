"""Every network of a comparison measured: in float, in integers, on hardware, by the clock.

The networks of the space are a sweep (`dse.sweep`), so nothing is trained or simulated twice and an
interrupted comparison goes on. Released networks are scored by `dse.published`, the original task
(a label for a whole clip) by `dse.whole_clips`. The clock comes last, alone, one thread: simulators
and float networks in turn over the same clip.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dse.comparison import Comparison
from dse.data import load_data
from dse.evaluate import float_file, network_file
from dse.published import score_published
from dse.quants import for_layers
from dse.results import Record, collect
from dse.store import Store
from dse.sweep import CHECKPOINTS, run_sweep
from dse.whole_clips import score_whole_clips
from dse.work import Progress
from fxp.errors import InputError
from fxp.files import replacing
from fxp.floatnet import load_floatnet
from fxp.ir import IntArray
from fxp.simulate import compile_graph, run
from fxp.store import load_graph
from stgcn_ref.datasets.clips import Dataset

COMPARISON = "comparison.json"
REPEATS = 5

Seconds = list[float]


def run_comparison(
    comparison: Comparison,
    directory: Path,
    *,
    data_root: Path | None,
    jobs: int,
    cache: Path | None = None,
    watch: Callable[[Progress], None] = lambda _: None,
    note: Callable[[str], None] = lambda _: None,
) -> Path:
    """Measure what `directory` does not have yet, and write comparison.json there.

    Args:
        comparison: the checked file.
        directory: results directory, that of the space's sweep.
        data_root, jobs, cache, watch: as in `dse.sweep.run_sweep`.
        note: told in a line of each step behind the sweep.

    Raises:
        InputError: as `run_sweep`; a point that failed or cannot be built; a released network
            that does not fit the recordings.
    """
    run_sweep(comparison.axes, directory, data_root=data_root, jobs=jobs, cache=cache, watch=watch)
    with Store(directory) as store:
        records = collect(store).records
    _all_measured(records)
    spec = comparison.spec
    published = {}
    for title, entry in spec.published.items():
        assert data_root is not None
        accelerator = comparison.axes.accelerators[0]
        published[title] = score_published(
            entry, comparison.checkpoints[title], data_root, accelerator, directory, note
        )
    data = load_data(comparison.axes.space, comparison.axes.source, data_root)
    assert data is not None
    clips = None
    if comparison.clips is not None:
        arch = comparison.clips[0]
        quants = [for_layers(quant.spec, arch) for quant in comparison.axes.quants]
        accelerator = comparison.axes.accelerators[0]
        room = cache or directory / CHECKPOINTS
        clips = score_whole_clips(
            *comparison.clips, quants, (data.train, data.valid), accelerator, directory, room, note
        )
    note("timing")
    about = {
        "baseline": spec.baseline,
        "source": comparison.source,
        "speed_frames": spec.speed_frames,
        "repeats": REPEATS,
        "speed": dict(_speeds(records, directory, _clip(data.scored, spec.speed_frames))),
        "published": published,
        "clips": clips,
    }
    path = directory / COMPARISON
    with replacing(path) as temporary:
        text = json.dumps(about, indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return path


def _all_measured(records: tuple[Record, ...]) -> None:
    for record in records:
        if record["status"] == "failed" or record["frame_accuracy"] is None:
            raise InputError(f"{record['design']}: {record['status']}: {record['reason']}")


def _clip(ds: Dataset, frames: int) -> IntArray:
    """So many steps of the recordings one behind the other, int64 (T, C, V)."""
    words = np.concatenate([clip.x for clip in ds.clips])
    return np.resize(words, (frames, *words.shape[1:])).astype(np.int64)


def _speeds(
    records: tuple[Record, ...], directory: Path, clip: IntArray
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Steps a second of each integer network beside its float network, medians and ranges.

    Both take turns, so that what else the machine does hits them alike. One seed is timed: weights
    do not change how long anything takes.
    """
    timed: set[tuple[str, str]] = set()
    for record in records:
        if (record["model"], record["quant"]) in timed:
            continue
        timed.add((record["model"], record["quant"]))
        plan = compile_graph(load_graph(network_file(directory, record["network"])))
        forward = _float_forward(directory, record["topology"], clip)
        integer, real = _in_turn(lambda: run(plan, clip), forward)  # noqa: B023  (called at once)
        yield (
            f"{record['model']}, {record['quant']}",
            {"integer": _rates(integer, len(clip)), "float": _rates(real, len(clip))},
        )


def _float_forward(directory: Path, topology: str, clip: IntArray) -> Callable[[], object]:
    """The float network over the clip, as torch runs it on one thread."""
    import torch

    from stgcn_ref.folding import rebuild

    torch.set_num_threads(1)
    net = rebuild(load_floatnet(float_file(directory, topology, "weights")))
    x = torch.from_numpy(clip.astype(np.float32)).permute(1, 0, 2)[None].contiguous()

    def forward() -> object:
        with torch.inference_mode():
            return net(x)

    return forward


def _in_turn(one: Callable[[], object], other: Callable[[], object]) -> tuple[Seconds, Seconds]:
    """Seconds of `REPEATS` calls of each, after a first one that compiles and warms the caches."""
    times: tuple[Seconds, Seconds] = ([], [])
    for repeat in range(REPEATS + 1):
        for work, found in zip((one, other), times, strict=True):
            start = time.perf_counter()
            work()
            if repeat:
                found.append(time.perf_counter() - start)
    return times


def _rates(seconds: Seconds, frames: int) -> dict[str, float]:
    rates = [frames / s for s in seconds]
    return {"median": statistics.median(rates), "least": min(rates), "most": max(rates)}
