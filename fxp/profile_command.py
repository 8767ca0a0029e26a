"""`python -m fxp profile`: where an integer network loses its precision."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from fxp.clip_files import read_clips
from fxp.errors import InputError
from fxp.floatnet import load_floatnet
from fxp.ir import Graph, IntArray
from fxp.profile import Profile, profile
from fxp.profile_files import print_changes, print_profile, save_profile
from fxp.sensitivity import Change, Words
from fxp.sensitivity import sensitivity as sensitivity_of
from fxp.store import load_graph

Net = Annotated[Path, typer.Argument(metavar="NET", help="Model file of an integer network.")]
Out = Annotated[
    Path | None, typer.Option(help="JSON file of the profile, for `python -m reports profile`.")
]
Bits = Annotated[
    str | None,
    typer.Option(
        "--sensitivity",
        metavar="BITS",
        help="Also run each cast and each constant alone at so few bits, as `4,6,8`.",
    ),
]
SensitivityClips = Annotated[
    int, typer.Option(min=1, help="Clips that the sensitivity is measured on: the first ones.")
]


def profile_command(
    net: Net,
    data: Annotated[
        list[Path],
        typer.Option(help="Input words: a .npy clip, an .npz of clips, a golden bundle (repeat)."),
    ],
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Float network (FloatNet) to compare with; "
            "default: the network's own constants without casts."
        ),
    ] = None,
    out: Out = None,
    sensitivity: Bits = None,
    sensitivity_clips: SensitivityClips = 4,
) -> None:
    """Compare every tensor of a network with its format and with a reference, on clips.

    Prints a row per tensor: its role, its format, the extremes of its words and of the reference,
    signal to error in dB, how many words clipped, which share of the codes lies within the
    extremes, and how many channels are zero throughout.
    """
    graph = load_graph(net)
    widths = widths_of(sensitivity)
    floats = load_floatnet(reference) if reference else None
    about = ", ".join(path.name for path in data)
    found = profile(graph, _words(data, graph), floats, about)
    first = tuple(islice(_words(data, graph), sensitivity_clips))
    report(found, measured(graph, first, widths), out)


def report(found: Profile, changes: Sequence[Change], out: Path | None) -> None:
    """Print a profile, and write it to a file if there is to be one."""
    if out is not None:
        save_profile(found, changes, out)
    print_profile(found)
    if changes:
        typer.echo()
        print_changes(changes)
    typer.echo(f"\nreference {found.reference}")
    typer.echo(f"clips {found.clips}, frames {found.frames}")
    if found.label_agreement is not None:
        typer.echo(f"labels as the reference {100 * found.label_agreement:.2f} %")
    if out is not None:
        typer.echo(f"profile {out}")


def measured(graph: Graph, clips: Sequence[Words], bits: Sequence[int]) -> tuple[Change, ...]:
    """The sensitivity at these widths; none where none are asked for."""
    return sensitivity_of(graph, clips, bits) if bits else ()


def widths_of(text: str | None) -> tuple[int, ...]:
    """The widths in an option like `4,6,8`.

    Raises:
        InputError: another text.
    """
    if text is None:
        return ()
    if not re.fullmatch(r"\d{1,2}(,\d{1,2})*", text):
        raise InputError(f"--sensitivity: widths as `4,6,8` are needed, got {text!r}")
    return tuple(sorted({int(part) for part in text.split(",")}))


def _words(paths: Sequence[Path], graph: Graph) -> Iterator[IntArray]:
    """The words of all clips, read one by one."""
    for path in paths:
        for _, words in read_clips(path, graph):
            yield words
