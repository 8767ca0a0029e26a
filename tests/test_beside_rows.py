"""Rows of a comparison of quantisers: widths as given, CSV, tables of means."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.beside_rows import FLOAT, Row, parse_widths, read_rows, tables, write_rows
from fxp.errors import InputError


def row(network: str, seed: int, widths: str, method: str, accuracy: float) -> Row:
    scores = accuracy, accuracy - 10, accuracy + 5
    return Row(network, seed, f"key{seed}", "1,6", widths, method, *scores, 0.25)


ROWS = [
    row("net", 0, FLOAT, FLOAT, 90.0),
    row("net", 0, "8,8", "one", 80.0),
    row("net", 0, "4,4", "one", 60.0),
    row("net", 1, FLOAT, FLOAT, 91.0),
    row("net", 1, "8,8", "one", 83.0),
    row("net", 1, "4,4", "one", 61.0),
    row("net", 1, "8,8", "other", 70.0),
]


@pytest.mark.parametrize("text", ["8,8", "4,8,12"])
def test_widths_are_written_as_they_are_given(text: str) -> None:
    assert str(parse_widths(text)) == text


def test_widths_become_those_of_every_kind_of_tensor() -> None:
    assert parse_widths("4,8,12").spec().bits("block0") == (4, 8, 12)
    assert parse_widths("5,6").spec().bits("block0") == (5, 6, 6)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("8", "`weights,operands` or with `,streams` is needed"),
        ("8,8,8,8", "`weights,operands` or with `,streams` is needed"),
        ("8,1", "key `operands`: Input should be greater than or equal to 2, got '1'"),
        ("8,eight", "key `operands`: Input should be a valid integer"),
    ],
)
def test_wrong_widths_are_one_line(text: str, rule: str) -> None:
    with pytest.raises(InputError) as error:
        parse_widths(text)
    assert str(error.value).startswith("--widths")
    assert rule in str(error.value)


def test_rows_become_a_file_of_one_line_each(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write_rows(ROWS[:2], path)
    assert path.read_text().splitlines() == [
        "network,seed,topology,test,widths,method,frame_accuracy,f1_50,agreement,seconds",
        'net,0,key0,"1,6",float,float,90.00,80.00,95.00,0.25',
        'net,0,key0,"1,6","8,8",one,80.00,70.00,85.00,0.25',
    ]
    assert read_rows(path) == ROWS[:2]
    assert read_rows(tmp_path / "none.csv") == []


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "cut"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rows.csv"
    write_rows(ROWS, path)
    path.write_text(path.read_text()[:-9] if content == "cut" else content)
    with pytest.raises(InputError, match=r"rows.csv: not a file of this command's rows"):
        read_rows(path)


def test_tables_are_means_over_seeds_with_the_float_score_in_the_title() -> None:
    accuracy, f1, agreement, seconds = tables(ROWS)
    assert accuracy == (
        ["net: frame accuracy, % (float 90.5)", "8,8", "4,4"],
        [["one", "81.5", "60.5"], ["other", "-", "-"]],  # of one seed only
    )
    assert f1[0][0] == "net: F1@50, % (float 80.5)"
    assert agreement[0][0] == "net: argmax agreement with float, %"
    assert seconds[1] == [["one", "0.2", "0.2"], ["other", "-", "-"]]
