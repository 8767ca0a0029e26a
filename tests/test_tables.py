import sys

import pytest

from fxp.tables import print_table

ROWS = [("conv", 12, "[x]"), ("conv.quantised", 3, ""), ("label", "", "y")]


def test_away_from_a_terminal_rows_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("node", "bits", "note"), ROWS)
    assert capsys.readouterr().out == (
        "node            bits  note\n"
        "conv              12  [x]\n"
        "conv.quantised     3\n"
        "label                 y\n"
    )


def test_rows_are_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "b"), [("x" * 300, 1)])
    assert capsys.readouterr().out == f"{'a':300}  b\n{'x' * 300}  1\n"


def test_no_rows(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "b"), [])
    assert capsys.readouterr().out == "a  b\n"


def test_on_a_terminal_the_table_is_drawn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(("node", "bits", "note"), ROWS)
    out = capsys.readouterr().out
    assert "│" in out
    assert "[x]" in out  # not taken for markup
