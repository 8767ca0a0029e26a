"""The results store: whole rows, once each, one writer, and clear refusals."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from dse.store import FILE_NAME, LOCK_NAME, Row, Store, locked
from fxp.errors import InputError

POINT = Row("k1", "n1", {"window": 9}, {"edit": 71.5}, "ok", "", 0.25, "2024-01-01T00:00:00+00:00")


def test_rows_come_back_as_written(tmp_path: Path) -> None:
    failed = Row("k2", "n1", {"window": 5}, status="failed", reason="ValueError: no")
    with Store(tmp_path, create=True) as store:
        store.write("points", POINT)
        store.write("points", failed)
    with Store(tmp_path) as store:
        assert store.get("points", "k1") == POINT
        assert store.get("points", "nobody") is None
        assert store.get("networks", "k1") is None
        again = store.rows("points")
        assert list(again) == ["k1", "k2"]
        assert (again["k2"].status, again["k2"].reason) == ("failed", "ValueError: no")
        assert again["k2"].created.endswith("+00:00")


def test_a_row_is_written_once_unless_it_failed(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        store.write("points", POINT)
        store.write("points", Row("k1", "n1", {}, {"edit": 1.0}))
        assert store.get("points", "k1") == POINT
        store.write("networks", Row("f", "t", {}, status="failed", reason="killed"))
        store.write("networks", Row("f", "t", {}, {"edit": 3.0}))
        found = store.get("networks", "f")
        assert found is not None
        assert (found.status, found.metrics) == ("ok", {"edit": 3.0})


def test_plan_and_description_are_replaced_together(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        store.set_plan(["b", "a"], {"name": "one", "objectives": {"edit": "max"}})
        store.set_plan(["c", "a"], {"name": "two"})
        assert store.plan() == ["c", "a"]
        assert store.meta() == {"name": "two", "objectives": {"edit": "max"}}


def test_values_that_are_not_json_are_refused(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        with pytest.raises(ValueError, match="not JSON compliant"):
            store.write("points", Row("k", "n", {}, {"edit": float("nan")}))
        assert store.rows("points") == {}


def test_a_missing_foreign_or_newer_store_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no results of a sweep"):
        Store(tmp_path)
    file = tmp_path / FILE_NAME
    file.write_bytes(b"no database at all" * 100)
    with pytest.raises(InputError, match=r"results.sqlite: not a results store \(file is not"):
        Store(tmp_path)
    file.unlink()
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE mine (x)")
    other.close()
    with pytest.raises(InputError, match="not a results store of this toolkit"):
        Store(tmp_path, create=True)
    file.unlink()
    Store(tmp_path, create=True).__exit__(None, None, None)
    with sqlite3.connect(file) as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(InputError, match="schema version 99, this toolkit reads 1"):
        Store(tmp_path)


def _try_lock(directory: Path, answer: multiprocessing.Queue[str]) -> None:
    try:
        with locked(directory):
            answer.put("locked")
    except InputError as error:
        answer.put(str(error))


def test_a_second_process_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    answer: multiprocessing.Queue[str] = context.Queue()
    with locked(tmp_path):
        child = context.Process(target=_try_lock, args=(tmp_path, answer))
        child.start()
        assert "another sweep is running in this directory" in answer.get(timeout=30)
        child.join()
        with (
            pytest.raises(InputError, match="another sweep is running"),
            locked(tmp_path),
        ):
            pass
    with locked(tmp_path):
        assert (tmp_path / LOCK_NAME).is_file()


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"), locked(tmp_path / "file"):
        pass
    (tmp_path / LOCK_NAME).write_bytes(b"no database at all" * 100)
    with pytest.raises(InputError, match="not a lock file"), locked(tmp_path):
        pass
