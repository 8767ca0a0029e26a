"""YAML files: what they hold, and one line for each way to get them wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from fxp.errors import InputError
from fxp.yaml_file import MAX_BYTES, read_yaml

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_plain_files_aliases_and_merges(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: &a {x: 1, y: [2, 3.5]}\nb: {<<: *a, x: 4}\nc: *a\n")
    a = {"x": 1, "y": [2, 3.5]}
    assert read_yaml(path) == {"a": a, "b": {**a, "x": 4}, "c": a}
    path.write_text("")
    assert read_yaml(path) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: 1\na: 2\n", "at line 2 (key `a` is there twice)"),
        (b"a: {b: 1, c: 2, b: 1}\n", "at line 1 (key `b` is there twice)"),
        (b"a: [1\n", "not valid YAML at line 2"),
        (b"a: !!python/name:os.system\n", "at line 1 (could not determine a constructor"),
        (b"a: 2026-13-45\n", "not valid YAML (month must be in 1..12)"),
        (b"a: " + b"9" * 5000, "not valid YAML (Exceeds the limit"),
        (b"[" * 50_000, "nested too deep"),
        (b"a: " + b"{b: " * 5000 + b"1" + b"}" * 5000, "nested too deep"),
        (b"a: &a\n  b: *a\n", "a value contains itself"),
        (LAUGHS.encode(), "more than 100000 values, aliases written out"),
        (b"a: 1\n" + b"#" * MAX_BYTES, "larger than 1048576 bytes"),
        (b"a: \xff\n", "cannot be read (no UTF-8 at byte 3)"),
        (b"a: \0\n", "not valid YAML"),
    ],
)
def test_a_mistake_is_one_line_with_the_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        read_yaml(tmp_path)
    with pytest.raises(InputError, match=r"cannot be read \(No such file or directory\)"):
        read_yaml(tmp_path / "none.yaml")
