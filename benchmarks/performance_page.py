"""Write docs/performance.md from measurements.

    python -m benchmarks.performance_page performance.json [--peers peers.json]
        [--configurations configurations.json] --out docs/performance.md

The text is `performance_template.md`, beside this file; every figure comes from the files. A
section that they lack says so and how to measure it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import performance_tables as tables
from benchmarks.peers import Results as PeerResults
from benchmarks.peers import read_results as read_peers
from benchmarks.performance_aims import ON_TWO
from benchmarks.performance_names import COMPILED, EAGER, TORCH_CLIPS
from benchmarks.performance_results import Results, Section, SectionName, read_results
from fxp.console import run as run_app
from fxp.errors import InputError
from fxp.files import check_target, replacing

TEMPLATE = Path(__file__).with_name("performance_template.md")
BESIDE = (("x eager", EAGER), ("x compile", (COMPILED,)))
HOLE = re.compile(r"^\{\{(\w+)\}\}$", re.MULTILINE)

app = typer.Typer(add_completion=False)


@app.command()
def main(
    results: Annotated[Path, typer.Argument(help="of `benchmarks.performance`")],
    peers: Annotated[Path | None, typer.Argument(help="of `benchmarks.peers`")] = None,
    configurations: Annotated[Path | None, typer.Argument(help="many configurations")] = None,
    out: Annotated[Path, typer.Option(help="the page")] = Path("docs/performance.md"),
) -> None:
    """Write the page."""
    check_target(out)
    text = page(
        read_results(results),
        None if peers is None else read_peers(peers),
        None if configurations is None else read_configurations(configurations),
    )
    with replacing(out) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_configurations(path: Path) -> list[Mapping[str, str | float]]:
    """Rows of flat values, the value of key `rows` of a JSON object, all with the same keys.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    except (OSError, UnicodeDecodeError, ValueError, TypeError, KeyError):
        rows = None
    if (
        not isinstance(rows, list)
        or not rows
        or not all(isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows)
        or not all(isinstance(v, str | int | float) for row in rows for v in row.values())
    ):
        raise InputError(f"{path}: `rows`: a list of objects with the same keys is needed")
    return rows


def page(
    results: Results,
    peers: PeerResults | None,
    configurations: list[Mapping[str, str | float]] | None,
) -> str:
    """The text of the page."""
    holes: dict[str, list[str]] = {
        "machine": tables.machine(results),
        "aims": tables.aim_table(results),
        "peers": ["Not measured."] if peers is None else tables.peers(peers),
        "configurations": (
            ["Not measured."] if configurations is None else _configurations(configurations)
        ),
    }
    for name, make in SECTIONS.items():
        holes[name] = _filled(results, name, make)
    text = TEMPLATE.read_text(encoding="utf-8")
    assert set(HOLE.findall(text)) == set(holes)
    return HOLE.sub(lambda hole: "\n".join(holes[hole[1]]), text)


def _filled(results: Results, name: SectionName, make: Callable[[Section], list[str]]) -> list[str]:
    section = results.sections.get(name)
    if section is None:
        return ["Not measured."]
    return [*make(section), *tables.remark(section)]


def _widths(section: Section) -> list[str]:
    lines = []
    for group in section.groups():
        lines += [f"{group}:", "", *tables.speeds(section, group, BESIDE), ""]
        lines += [*tables.peaks(section, group), ""]
    return lines[:-1]


def _groups(section: Section, beside: tuple[tuple[str, tuple[str, ...]], ...]) -> list[str]:
    lines = []
    for group in section.groups():
        lines += [f"{group}:", "", *tables.speeds(section, group, beside), ""]
    return lines[:-1]


def _networks(section: Section) -> list[str]:
    return _groups(section, (("x torch's best", TORCH_CLIPS),))


def _scaling(section: Section) -> list[str]:
    lines = []
    for group in section.groups():
        lines += [f"By {group}:", "", *tables.growth(section, group), ""]
    return lines[:-1]


def _configurations(rows: list[Mapping[str, str | float]]) -> list[str]:
    return tables.table(list(rows[0]), [[_cell(v) for v in row.values()] for row in rows])


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


SECTIONS: Mapping[SectionName, Callable[[Section], list[str]]] = {
    "words": tables.words,
    "widths": _widths,
    "portable": lambda section: _groups(section, (("x eager", EAGER),)),
    "avx2": lambda section: _groups(section, (("x eager", EAGER),)),
    "threads": lambda section: _groups(section, (("x eager on two", ON_TWO),)),
    "streaming": tables.latencies,
    "scaling": _scaling,
    "networks": _networks,
    "startup": tables.starts,
}


if __name__ == "__main__":
    run_app(app)
