"""The speed of the simulator: words first, then widths, threads, streams, sizes, networks.

    python -m benchmarks.performance --json performance.json [--quick] [--only SECTION ...]

Every section is measured in a process of its own, on one thread unless it says otherwise, and
what is compared is measured by turns in that process. The file is written after each section; a
second start goes on with those that are missing, `--only` measures again. `--quick` checks in
minutes that everything runs; its times are none. `python -m benchmarks.performance_page` makes
docs/performance.md of the file. Exit code 1: a section failed, or words differ.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, get_args

import typer

from benchmarks.peers import quiet_environment
from benchmarks.performance_child import name_of
from benchmarks.performance_environments import environments, machine
from benchmarks.performance_results import Results, Section, SectionName, read_results
from benchmarks.performance_work import say
from fxp.console import run as run_app
from fxp.errors import InputError
from fxp.files import check_target, replacing

app = typer.Typer(add_completion=False)


@app.command()
def main(
    json: Annotated[Path, typer.Option(help="results; sections in it are not measured again")],
    quick: Annotated[bool, typer.Option("--quick", help="check that everything runs")] = False,
    only: Annotated[list[str] | None, typer.Option(help="only these sections, anew")] = None,
) -> None:
    """Measure, section by section."""
    check_target(json)
    results = _begun(json, quick)
    every: tuple[SectionName, ...] = get_args(SectionName)
    wanted = (
        [name_of(name) for name in only]
        if only
        else [name for name in every if name not in results.sections]
    )
    failed = []
    for name in wanted:
        say(f"{name} ...")
        start = time.perf_counter()
        section = _measured(name, quick)
        if section is None:
            failed.append(name)
            continue
        taken = {**results.seconds, name: round(time.perf_counter() - start, 1)}
        sections = {**results.sections, name: section}
        results = results.model_copy(
            update={"sections": sections, "seconds": taken, "machine": machine()}
        )
        _write(json, results)
        say(f"{name}: {taken[name]:.0f} s")
    wrong = [c for s in results.sections.values() for c in s.checks if c.differing]
    for check in wrong:
        say(f"WRONG: {check.what}: {check.differing:,} of {check.words:,} words differ")
    if failed or wrong:
        raise typer.Exit(1)


def _begun(path: Path, quick: bool) -> Results:
    if not path.exists():
        return Results(machine=machine(), quick=quick, sections={}, seconds={})
    found = read_results(path)
    if found.quick != quick:
        raise InputError(f"{path}: `quick` is {found.quick} there: give another file")
    before, here = found.machine, machine()
    for what, old, new in (
        ("processor", before.processor, here.processor),
        ("versions", before.versions, here.versions),
    ):
        if old != new:
            raise InputError(f"{path}: `{what}` is {old} there and {new} here: give another file")
    return found


def _write(path: Path, results: Results) -> None:
    with replacing(path) as temporary:
        temporary.write_text(results.model_dump_json() + "\n", encoding="utf-8")


def _measured(name: SectionName, quick: bool) -> Section | None:
    """A section by its processes; None if one of them failed, which has said why."""
    parts = []
    with tempfile.TemporaryDirectory() as cache:
        for group, variables in environments(name, cache).items():
            command = [sys.executable, "-m", "benchmarks.performance_child", name]
            command += [*(["--quick"] if quick else []), *(["--group", group] if group else [])]
            done = subprocess.run(
                command,
                env={**quiet_environment(os.environ), **variables},
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            if done.returncode:
                say(f"{name}: failed with exit code {done.returncode}")
                return None
            parts.append(Section.model_validate_json(done.stdout.splitlines()[-1]))
    return Section(
        rows=tuple(row for part in parts for row in part.rows),
        checks=tuple(check for part in parts for check in part.checks),
        busy=min(part.busy for part in parts),
    )


if __name__ == "__main__":
    run_app(app)
