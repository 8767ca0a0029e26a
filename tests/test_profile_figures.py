"""The numbers behind the drawings of a profile, and the files of the drawings."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

import reports.__main__
from fxp.errors import InputError
from fxp.profile import Profile, TensorProfile, profile
from fxp.profile_files import save_profile
from fxp.sensitivity import Change, sensitivity
from reports.profile_figures import draw_error, draw_formats, draw_sensitivity
from reports.profile_rows import (
    MOST_ROWS,
    FormatRow,
    HeatMap,
    error_points,
    format_rows,
    heat_maps,
    sensitivity_title,
    title_of,
)
from tests.golden.networks import CASES, make


def tensor(name: str, role: str, **over: object) -> TensorProfile:
    base: dict[str, object] = {
        "layer": name.split(".")[0],
        "word_bits": 8,
        "signed": True,
        "frac_bits": (5,),
        "lowest": -4.0,
        "highest": 3.96875,
        "wanted_lowest": -8.0,
        "wanted_highest": 3.0,
        "magnitudes_log2": (-4.0, -1.0, 0.0, 1.0, 2.0),
        "zero_share": 0.25,
        "clip_share": 0.0,
        "sqnr_db": 20.0,
        "relative_error": 0.1,
        "codes_used": 1.0,
        "idle_bits": 0,
        "channels": 4,
        "dead_channels": (),
    }
    return TensorProfile(name, role=role, **{**base, **over})  # type: ignore[arg-type]


def whole(tensors: tuple[TensorProfile, ...], synthetic: bool | None = True) -> Profile:
    return Profile("net", "", "the float network", "walks", synthetic, 2, 30, 0.9, tensors, ())


def test_rows_of_formats() -> None:
    tensors = [
        tensor("a.conv", "sum"),
        tensor("a.conv.q", "operand", clip_share=0.0123, dead_channels=(1, 3)),
        tensor("b.weight", "constant", frac_bits=(4, 7, 5), signed=True, sqnr_db=None),
        tensor(
            *("c.q", "stream"),
            signed=False,
            wanted_lowest=0.0,
            wanted_highest=0.0,
            magnitudes_log2=(),
        ),
    ]
    rows = format_rows(tensors)
    assert rows[0] == FormatRow(
        "a.conv.q s8",
        "operand",
        (-4.0, -1.0, 0.0, 1.0, 2.0),
        3.0,
        -5,
        2,
        "20 dB, 1.2 % clip, 2/4 dead",
    )
    assert (rows[1].lsb, rows[1].limit, rows[1].note) == (-7, 3, "")
    assert (rows[2].label, rows[2].top, rows[2].limit) == ("c.q u8", None, 3)
    assert len(rows) == 3


def test_points_of_the_error_keep_their_place() -> None:
    tensors = (
        tensor("input", "input", relative_error=0.0),
        tensor("a", "sum", relative_error=0.001),
        tensor("a.q", "operand", relative_error=None),
        tensor("a.stream", "stream", relative_error=0.02),
    )
    points = error_points(whole(tensors))
    assert [(p.place, p.label, p.role) for p in points] == [
        (1, "a", "sum"),
        (3, "a.stream", "stream"),
    ]
    assert [p.percent for p in points] == pytest.approx([0.1, 2.0])


def test_heat_maps_have_a_row_per_tensor_and_a_column_per_width() -> None:
    changes = [
        Change("a.q", "a", "cast", 6, 0.01, 0.1, 30),
        Change("a.q", "a", "cast", 4, 0.02, 0.5, 30),
        Change("b.scale", "b", "constant", 4, None, 0.25, 30),
    ]
    labels, output = heat_maps(changes)
    assert (labels.rows, labels.columns) == (("a.q", "b.scale"), (4, 6))
    assert labels.values == ((2.0, 1.0), (None, None))
    assert output.values == ((50.0, 10.0), (25.0, None))
    assert [heat.title for heat in heat_maps(changes[2:])] == ["output error (% of the output)"]
    assert heat_maps([]) == []


def test_titles_call_synthetic_data_so() -> None:
    assert title_of(whole(())) == (
        "net on synthetic data walks, 30 frames; against the float network"
    )
    assert "synthetic" not in title_of(whole((), None))
    change = Change("a.q", "a", "cast", 6, 0.01, 0.1, 7)
    expected = "net on walks, 7 frames; one tensor at fewer bits, against the same network"
    assert sensitivity_title(whole((), False), [change]) == expected


def panels(figure: Figure) -> list[list[str]]:
    """Labels of the rows of each panel."""
    return [[label.get_text() for label in axes.get_yticklabels()] for axes in figure.axes]


def test_long_networks_take_several_panels() -> None:
    names = [f"layer{i}.q" for i in range(MOST_ROWS + 3)]
    drawn = panels(draw_formats(format_rows([tensor(name, "operand") for name in names]), "net"))
    sizes = [(MOST_ROWS + 4) // 2, (MOST_ROWS + 2) // 2]  # as even as they can be
    assert [len(rows) for rows in drawn] == sizes
    assert drawn[1][0] == f"layer{sizes[0]}.q s8"
    values = tuple((float(i), None) for i in range(len(names)))
    heat = HeatMap("labels", tuple(names), (4, 6), values)
    drawn = panels(draw_sensitivity([heat, heat], "net"))
    assert [len(rows) for rows in drawn] == sizes * 2


def test_the_error_goes_on_in_the_next_line() -> None:
    tensors = tuple(tensor(f"layer{i}.q", "stream" if i % 3 else "operand") for i in range(100))
    figure = draw_error(error_points(whole(tensors)), "net")
    names = [[label.get_text() for label in axes.get_xticklabels()] for axes in figure.axes]
    assert [len(line) for line in names] == [50, 50]
    assert [name for line in names for name in line] == [tensor.name for tensor in tensors]
    assert all("%" in axes.get_ylabel() for axes in figure.axes)


def test_the_command_writes_every_figure(tmp_path: Path) -> None:
    graph, clip = make(CASES["dilated"])
    path, out = tmp_path / "p.json", tmp_path / "deep" / "figures"
    save_profile(profile(graph, [clip]), sensitivity(graph, [clip], [3]), path)
    app = reports.__main__.app
    answer = CliRunner().invoke(app, ["profile", str(path), "--out", str(out)])
    assert answer.exit_code == 0, answer.output
    files = {file.name for file in out.iterdir()}
    stems = ("formats", "constants", "error", "sensitivity")
    assert files == {f"{stem}.{kind}" for stem in stems for kind in ("png", "svg")}
    text = (out / "formats.svg").read_text()
    casts = [node.name for node in graph.nodes if node.name.endswith(".q")]
    assert all(name in text for name in casts)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    graph, clip = make(CASES["narrow"])
    path = tmp_path / "p.json"
    save_profile(profile(graph, [clip]), (), path)
    answer = CliRunner().invoke(
        reports.__main__.app, ["profile", str(path), "--out", str(path / "x")]
    )
    assert isinstance(answer.exception, InputError)
    assert "cannot be made" in str(answer.exception)
