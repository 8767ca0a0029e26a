"""One layer by this toolkit's simulator and by its peers: equal words first, then time.

    python -m benchmarks.peers [--json OUT] [--repeats 15] [--python PATH ...] [--peer NAME ...]

The layer is a 1x1 convolution 64 -> 192 over 1,600 rows with a cast to 8 bits (`peers_layer`).
Every peer runs in a process of its own, on one thread, by turns with the simulator; its ratio is
that of the same process. A peer that is not installed here is looked for in the environments whose
interpreters `--python` names; each of them needs what the toolkit needs. Exit code 1: a peer failed
or its words are wrong.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from benchmarks.peers_forms import PEERS
from benchmarks.peers_measure import FEWEST, Row, find
from fxp.console import run as run_app
from fxp.errors import InputError
from fxp.files import check_target, replacing
from fxp.spec import Spec

ROOT = Path(__file__).parent.parent
THREADS = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA", "DA_DEFAULT")
SLOWED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # they choose BLAS kernels for other processors
HEADINGS = (
    "peer",
    "version",
    "median ms",
    "min..max ms",
    "toolkit ms",
    "x slower",
    "by minima",
    "identical",
)

app = typer.Typer(add_completion=False)


class Results(Spec):
    """What the command found: the processor's name, and a row for each peer."""

    processor: str
    rows: tuple[Row, ...]


@app.command()
def main(
    json: Annotated[Path | None, typer.Option(help="write all times here")] = None,
    repeats: Annotated[int, typer.Option(min=FEWEST, help="timed blocks")] = 15,
    seconds: Annotated[float, typer.Option(min=0, help="bound of a slow peer's blocks")] = 20.0,
    python: Annotated[list[Path] | None, typer.Option(help="further interpreters")] = None,
    peer: Annotated[list[str] | None, typer.Option(help="only these peers")] = None,
) -> None:
    """Compare the simulator with its peers on one layer."""
    names = [find(name).name for name in peer] if peer else [each.name for each in PEERS]
    if json is not None:
        check_target(json)
    interpreters = [Path(sys.executable), *(python or ())]
    for path in interpreters:
        if not path.is_file():
            raise InputError(f"--python {path}: no such file")
    rows = []
    for name in names:
        typer.echo(f"{name} ...", err=True)
        rows.append(first_installed(name, interpreters, repeats, seconds))
    results = Results(processor=processor(), rows=tuple(rows))
    if json is not None:
        with replacing(json) as temporary:
            temporary.write_text(results.model_dump_json(indent=1) + "\n", encoding="utf-8")
    for line in (*table(results.rows), *remarks(results.rows)):
        typer.echo(line)
    if any(not row.times_s and not row.absent for row in rows):
        raise typer.Exit(1)


def read_results(path: Path) -> Results:
    """What `--json` wrote.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    try:
        return Results.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        raise InputError(f"{path}: not a file of this command's rows") from None


def first_installed(name: str, interpreters: Sequence[Path], repeats: int, seconds: float) -> Row:
    """The row of a peer from the first environment that has it; of the last one if none has."""
    assert interpreters
    for interpreter in interpreters:
        row = in_child(name, interpreter, repeats, seconds)
        if not row.absent:
            break
    return row


def in_child(name: str, interpreter: Path, repeats: int, seconds: float) -> Row:
    """Measure in a new process: tools conflict, and BLAS reads its environment at its import."""
    command = [str(interpreter), "-m", "benchmarks.peers_measure", name]
    command += ["--repeats", str(repeats), "--seconds", str(seconds)]
    done = subprocess.run(
        command, env=quiet_environment(os.environ), capture_output=True, text=True, check=False
    )
    last = {"out": done.stdout, "error": done.stderr}
    last = {stream: (text.strip().splitlines() or [""])[-1] for stream, text in last.items()}
    if done.returncode:
        return Row(peer=name, note=f"failed: {last['error'] or f'exit code {done.returncode}'}")
    return Row.model_validate_json(last["out"])


def quiet_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a measurement: one thread for every library, BLAS as the processor is."""
    kept = {name: value for name, value in environment.items() if name not in SLOWED}
    path = os.pathsep.join(filter(None, (str(ROOT), environment.get("PYTHONPATH"))))
    return {**kept, **{f"{name}_NUM_THREADS": "1" for name in THREADS}, "PYTHONPATH": path}


def table(rows: Sequence[Row]) -> list[str]:
    """Aligned lines, headings first: peers with times, then why there are none."""
    cells = [HEADINGS, *(_cells(row) for row in rows if row.times_s)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEADINGS))]
    lines = [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    return lines + [f"{row.peer}: {row.note}" for row in rows if not row.times_s]


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.peer,
        row.version,
        f"{1e3 * row.median_s:.3f}",
        f"{1e3 * min(row.times_s):.3f}..{1e3 * max(row.times_s):.3f}",
        f"{1e3 * row.toolkit_median_s:.3f}",
        f"{row.slower:,.2f}",
        f"{min(row.times_s) / min(row.toolkit_s):,.2f}",
        "yes" if row.identical else "no",
    )


def remarks(rows: Sequence[Row]) -> list[str]:
    """What a reader of the table must know: words that differ, threads, a machine that was busy."""
    timed = [row for row in rows if row.times_s]
    lines = [f"{row.peer}: {row.note}" for row in timed if not row.identical]
    lines += [
        f"{row.peer}: kept {row.threads:.1f} threads busy" for row in timed if row.threads > 1.2
    ]
    busy = [row.peer for row in timed if row.threads < 0.9]
    if busy:
        lines.append(f"the machine was busy with other work during: {', '.join(busy)}")
    return lines


def processor() -> str:
    """The processor's name as the system gives it."""
    lines = Path("/proc/cpuinfo")
    if lines.exists():
        for line in lines.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return "unknown"


if __name__ == "__main__":
    run_app(app)
