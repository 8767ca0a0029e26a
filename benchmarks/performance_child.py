"""Measure one section in this process.

    python -m benchmarks.performance_child SECTION [--quick] [--group NAME]

`benchmarks.performance` starts it in the environment that the section wants, and reads the last
line printed, which is JSON.
"""

from __future__ import annotations

from typing import Annotated, assert_never, get_args

import typer

from benchmarks.performance_results import Section, SectionName
from benchmarks.performance_work import Size
from fxp.console import run as run_app
from fxp.errors import InputError

app = typer.Typer(add_completion=False)


@app.command()
def main(
    section: Annotated[str, typer.Argument(help="name of a section")],
    quick: Annotated[bool, typer.Option("--quick", help="a check, no measurement")] = False,
    group: Annotated[str, typer.Option(help="what the rows of `avx2` are called")] = "",
) -> None:
    """Print a section as JSON."""
    typer.echo(measure(name_of(section), Size(quick), group).model_dump_json())


def name_of(text: str) -> SectionName:
    """A section by its name.

    Raises:
        InputError: there is none of that name.
    """
    names: tuple[SectionName, ...] = get_args(SectionName)
    for name in names:
        if name == text:
            return name
    raise InputError(f"section `{text}`: must be one of {', '.join(names)}")


def measure(name: SectionName, size: Size, group: str = "") -> Section:
    """Measure here and now. What a section needs is imported for it alone: torch not for all."""
    match name:
        case "words":
            from benchmarks.performance_widths import words

            return words(size)
        case "widths":
            from benchmarks.performance_widths import widths

            return widths(size)
        case "portable":
            from benchmarks.performance_portable import portable

            return portable(size)
        case "avx2":
            from benchmarks.performance_portable import avx2

            return avx2(size, group)
        case "threads":
            from benchmarks.performance_threads import threads

            return threads(size)
        case "streaming":
            from benchmarks.performance_streaming import streaming

            return streaming(size)
        case "scaling":
            from benchmarks.performance_scaling import scaling

            return scaling(size)
        case "networks":
            from benchmarks.performance_networks import networks

            return networks(size)
        case "startup":
            from benchmarks.performance_startup import startup

            return startup(size)
        case _:
            assert_never(name)


if __name__ == "__main__":
    run_app(app)
