"""Write docs/performance.md from measurements.

    python -m benchmarks.performance_page performance.json [peers.json] [configurations.txt]
        --out docs/performance.md

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
from benchmarks.performance_aims import ON_TWO, SIDE_BY_SIDE
from benchmarks.performance_names import COMPILED, EAGER, TORCH_CLIPS
from benchmarks.performance_results import Results, Section, SectionName, read_results
from fxp.console import run as run_app
from fxp.errors import InputError
from fxp.files import check_target, replacing

TEMPLATE = Path(__file__).with_name("performance_template.md")
BESIDE = (("x eager", EAGER), ("x compile", (COMPILED,)))
ON_THREADS = (("x eager, one clip", ON_TWO), ("x eager, two clips", SIDE_BY_SIDE))
HOLE = re.compile(r"^\{\{(\w+)\}\}$", re.MULTILINE)

app = typer.Typer(add_completion=False)


@app.command()
def main(
    results: Annotated[Path, typer.Argument(help="of `benchmarks.performance`")],
    peers: Annotated[Path | None, typer.Argument(help="of `benchmarks.peers`")] = None,
    configurations: Annotated[
        Path | None, typer.Argument(help="many configurations: rows in JSON, or printed")
    ] = None,
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


def read_configurations(path: Path) -> list[str]:
    """Lines of a table: of JSON rows, or of what a command printed, as it is.

    JSON is an object whose `rows` are flat objects with the same keys; a name in `.txt` is text.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".txt":
            return ["```", *text.rstrip().splitlines(), "```"]
        rows = json.loads(text)["rows"]
        keys = list(rows[0])
        lines = [[_cell(row[key]) for key in keys] for row in rows if row.keys() == set(keys)]
    except (OSError, UnicodeDecodeError, ValueError, TypeError, LookupError, AttributeError):
        lines = []
    if not lines or len(lines) < len(rows):
        raise InputError(f"{path}: `rows`: a list of flat objects with the same keys is needed")
    return tables.table(keys, lines)


def _cell(value: object) -> str:
    """A value of a row.

    Raises:
        TypeError: it is neither text nor number.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, int | float):
        raise TypeError
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def page(
    results: Results,
    peers: PeerResults | None,
    configurations: list[str] | None,
) -> str:
    """The text of the page."""
    holes: dict[str, list[str]] = {
        "machine": tables.machine(results),
        "aims": tables.aim_table(results),
        "peers": ["Not measured."] if peers is None else tables.peers(peers),
        "configurations": configurations or ["Not measured."],
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


SECTIONS: Mapping[SectionName, Callable[[Section], list[str]]] = {
    "words": tables.words,
    "widths": _widths,
    "portable": lambda section: _groups(section, (("x eager", EAGER),)),
    "avx2": lambda section: _groups(section, (("x eager", EAGER),)),
    "threads": lambda section: _groups(section, ON_THREADS),
    "streaming": tables.latencies,
    "scaling": _scaling,
    "networks": _networks,
    "startup": tables.starts,
}


if __name__ == "__main__":
    run_app(app)
