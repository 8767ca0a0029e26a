"""What each way to quantise takes: wall and CPU seconds, and peak memory on the longest recording.

    python benchmarks/bench_methods.py CHECKPOINT... --data FOLDER --train 5,7,8,9,11,18 --valid 10

Every method runs in a process of its own, one after the other, one thread each: first on 16
calibration recordings, as a sweep does it, then on the longest recording of all alone. Seconds
leave out imports, reading and the export of the float network, and count one simulation of the
recordings that were calibrated on. Peak memory is the largest resident set (ru_maxrss) of the
second process, which has all recordings in memory and quantises on the longest one alone; what
`max` takes is mostly the libraries and the recordings.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from fxp.console import run as run_app
from fxp.ptq.quantise import quantise
from fxp.spec import QuantSpec, Repair, load_spec
from fxp.tables import print_table
from stgcn_ref.datasets.clips import Dataset, select, spread
from stgcn_ref.datasets.hugadb import load_hugadb
from stgcn_ref.judge import label_judge, others
from stgcn_ref.networks import open_network
from stgcn_ref.preparation import prepare
from stgcn_ref.qat.recipe import QatRecipe
from stgcn_ref.scoring import predict_integers

app = typer.Typer(add_completion=False)
RECIPE = Path(__file__).parents[1] / "examples" / "recipes" / "hugadb-qat.yaml"
CALIBRATION_CLIPS = 16
METHODS: dict[str, dict[str, Any]] = {
    "max": {"calibrator": "max"},
    "mse": {},
    "best calibrators": {"calibrator": "best"},
    "bias": {"repair": Repair(bias=True)},
    "gptq, bias": {"repair": Repair(rounding="gptq", bias=True)},
    "adaround, bias": {"repair": Repair(rounding="adaround", bias=True)},
    "search": {"repair": Repair(search=1)},
    "best repair": {"repair": Repair(choose=True)},
    "trained": {"repair": Repair(rounding="gptq", bias=True)},
}
WIDTHS = {"weight_bits": 4, "activation_bits": 8, "stream_bits": 12, "adjacency_bits": 8}


def _participants(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


@app.command()
def main(
    checkpoints: Annotated[list[Path], typer.Argument(help="trained float networks")],
    data: Annotated[Path, typer.Option(help="HuGaDB folder")],
    train: Annotated[str, typer.Option(help="participants to calibrate and train on")],
    valid: Annotated[str, typer.Option(help="participants that epochs are chosen on")],
    one: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Print a row for every network and method."""
    if one is not None:
        method, longest = json.loads(one)
        sides = _participants(train), _participants(valid)
        print(json.dumps(_measured(checkpoints[0], data, *sides, method, longest)))
        return
    rows = []
    for checkpoint in checkpoints:
        for method in METHODS:
            many, alone = (
                _in_process(checkpoint, data, train, valid, method, longest)
                for longest in (False, True)
            )
            rows.append(
                (
                    many["network"],
                    method,
                    f"{many['wall_s']:.1f}",
                    f"{many['cpu_s']:.1f}",
                    f"{alone['wall_s']:.1f}",
                    f"{alone['peak_mib']:.0f}",
                    f"{alone['frames']}",
                )
            )
            print(*rows[-1], sep=" | ", file=sys.stderr)
    header = ("network", "method", "wall s", "CPU s", "longest: wall s", "peak MiB", "steps")
    print_table(header, rows)


def _in_process(
    checkpoint: Path, data: Path, train: str, valid: str, method: str, longest: bool
) -> dict[str, Any]:
    command = [sys.executable, __file__, str(checkpoint), "--data", str(data)]
    command += ["--train", train, "--valid", valid, "--one", json.dumps([method, longest])]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(found.stdout))


def _measured(
    checkpoint: Path,
    data: Path,
    train: tuple[int, ...],
    valid: tuple[int, ...],
    method: str,
    longest: bool,
) -> dict[str, Any]:
    """One method on one network, in this process."""
    import torch

    from stgcn_ref.export import export

    torch.set_num_threads(1)
    opened = open_network(checkpoint)
    people = {*train, *valid}
    ds = opened.fitted(prepare(load_hugadb(data, "v2", people), opened.preparation))
    train_set, valid_set = select(ds, train), select(ds, valid)
    if longest:
        alone = max(ds.clips, key=lambda clip: len(clip.x))
        train_set = valid_set = _only(ds, alone.name)
    clips = spread(train_set.clips, CALIBRATION_CLIPS)
    spec = QuantSpec(**WIDTHS, **METHODS[method])
    net = export(opened.net, opened.arch, clips, {}, spec.fold)  # type: ignore[arg-type]
    wall, cpu = time.perf_counter(), time.process_time()
    _quantised(net, spec, train_set, valid_set, clips, method)
    return {
        "network": checkpoint.stem,
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "frames": max(len(clip.x) for clip in clips),
    }


def _only(ds: Dataset, name: str) -> Dataset:
    return replace(ds, clips=tuple(clip for clip in ds.clips if clip.name == name))


def _quantised(
    net: Any,
    spec: QuantSpec,
    train_set: Dataset,
    valid_set: Dataset,
    clips: Sequence[Any],
    method: str,
) -> None:
    if method == "trained":
        from stgcn_ref.qat.session import quantise as train_integers

        recipe = load_spec(QatRecipe, RECIPE)
        with tempfile.TemporaryDirectory() as folder:
            partial = Path(folder) / "net.partial"
            found = train_integers(net, spec, train_set, valid_set, clips, recipe, 0, partial)
        graph = found.graph
    else:
        words = [clip.x.astype(np.int64) for clip in clips]
        judge = label_judge(net, spec.input_bits, others(train_set.clips, clips))
        graph = quantise(net, spec, words, judge=judge if spec.repair.choose else None)
    predict_integers(graph, replace(train_set, clips=tuple(clips)))


if __name__ == "__main__":
    run_app(app)
