from pathlib import Path

import pytest

from fxp.errors import InputError
from fxp.files import check_target, replacing, replacing_folder


def test_success_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_failure_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_systems_reason_is_told(tmp_path: Path) -> None:
    path = tmp_path / "no" / "a.txt"
    with (
        pytest.raises(InputError, match=r"a\.txt: cannot be written \(No such file or directory\)"),
        replacing(path) as temporary,
    ):
        temporary.write_text("x")


def test_targets_that_cannot_be_written(tmp_path: Path) -> None:
    check_target(tmp_path / "a.txt")
    for path, error in (
        (tmp_path, "is a folder; the name of a file is needed"),
        (tmp_path / "no" / "a.txt", f"no folder {tmp_path}/no"),
    ):
        with pytest.raises(InputError, match=rf"^{path}: cannot be written \({error}"):
            check_target(path)
    for write in (replacing, replacing_folder):
        with pytest.raises(InputError, match="a name is needed"), write(Path()):
            pass
