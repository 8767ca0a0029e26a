"""Text, JSON and tables of numbers: what is read, and which line is blamed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fxp.errors import InputError
from stgcn_ref.datasets.text_files import read_json, read_table, read_text

FINITE = st.floats(-1e9, 1e9, exclude_min=True, exclude_max=True)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(FINITE, min_size=3, max_size=3), min_size=1),
    st.sampled_from([None, ","]),
)
def test_round_trip(tmp_path: Path, rows: list[list[float]], separator: str | None) -> None:
    path = tmp_path / "table.txt"
    path.write_text("\n".join((separator or " ").join(map(repr, row)) for row in rows))
    assert read_table(path, 3, separator).tolist() == rows


def test_header_bom_and_white_space(tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    path.write_bytes("\ufeffa, b\r\n1, 2\r\n 3,4 \r\n\r\n".encode())
    assert read_table(path, 2, ",", skip=1).tolist() == [[1, 2], [3, 4]]
    path.write_text(" 1\t2  \n3 4\n\n\n")
    assert read_table(path, 2).dtype == np.float64


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("1 2\n4 5 6\n", "line 1: 3 numbers are needed, got 2"),
        ("1 2 3\n4 5\n", "line 2: 3 numbers are needed, got 2"),
        ("1 2 3\n4 5 6 7\n", "line 2: 3 numbers are needed, got 4"),
        ("1 2 3 4\n1 2 3 4\n", "line 1: 3 numbers are needed, got 4"),
        ("1 2 3\n\n4 5 6\n", "line 2: 3 numbers are needed, got 0"),
        ("1 2 3\n4 nan 6\n", "line 2: 'nan' is not a finite number"),
        ("1 2 inf\n", "line 1: 'inf' is not a finite number"),
        ("1 2 1e999\n", "line 1: '1e999' is not a finite number"),
        ("1 2 3\n1 -1e9 2\n", r"line 2: '-1e9' is beyond 1e\+09"),
        ("1 2 3\n4 5 x\n", "line 2: 'x' is not a number"),
        ("1 2 3\n4 5 True\n", "line 2: 'True' is not a number"),
        ('1 2 3\n"4 5 6\n', "line 2: '\"4' is not a number"),
        ("", "the file is empty"),
        ("\n \n", "the file is empty"),
    ],
)
def test_faults(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "table.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=f"^{path}: {error}$"):
        read_table(path, 3)


def test_header_alone(tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    path.write_text("a,b\n")
    with pytest.raises(InputError, match="line 2: no row follows the header"):
        read_table(path, 2, ",", skip=1)


def test_unreadable(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.txt: cannot be read \(No such file"):
        read_text(tmp_path / "gone.txt")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match=r"bytes\.txt: not a text file"):
        read_text(tmp_path / "bytes.txt")


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text('{"a": [1, 2.5, null]}')
    assert read_json(path) == {"a": [1, 2.5, None]}
    for text, error in (
        ('{"a":\n 1,}', "line 2: not valid JSON"),
        ("[" * 100_000, r"not valid JSON \(RecursionError\)"),
        ("1" * 5000, r"not valid JSON \(ValueError\)"),
        (" ", "the file is empty"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=rf"data\.json: {error}"):
            read_json(path)
