"""The results store of a sweep: one SQLite file, one row a topology, network and design point.

`DIR/results.sqlite` is in WAL mode with full synchronisation; every row is one transaction, written
as soon as its evaluation ends, so a process killed at any moment leaves whole rows only. Keys are
content hashes (`dse.points`): a row is written once and never changes (but for rows that failed,
on request). The `plan` table names the points of the last sweep into this directory, in order.

`locked` refuses a second sweep into one directory. The lock is an SQLite transaction on a file of
its own: the operating system ends it with the process, however that ends. WAL and locks need a
local file system.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from fxp.errors import InputError

SCHEMA_VERSION = 1
APPLICATION_ID = 0x66787064  # "fxpd": tells this store from any other SQLite file
FILE_NAME = "results.sqlite"
LOCK_NAME = "sweep.lock"

Kind = Literal["topologies", "networks", "points"]
KINDS: tuple[Kind, ...] = ("topologies", "networks", "points")
Status = Literal["ok", "infeasible", "failed"]

_COLUMNS = "key, parent, params, metrics, status, reason, seconds, created"
_TABLE = """CREATE TABLE {kind} (
    key TEXT PRIMARY KEY, parent TEXT NOT NULL, params TEXT NOT NULL, metrics TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('ok', 'infeasible', 'failed')), reason TEXT NOT NULL,
    seconds REAL NOT NULL, created TEXT NOT NULL) WITHOUT ROWID"""
_PLAN = "CREATE TABLE plan (position INTEGER PRIMARY KEY, point TEXT NOT NULL)"
_META = "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"


@dataclass(frozen=True)
class Row:
    """One evaluation: what was evaluated (`params`), what came out (`metrics`), and how it ended.

    `parent` is the key of the topology of a network, or of the network of a point. `seconds` is
    the wall-clock time that this step took, without its parents'.
    """

    key: str
    parent: str
    params: Mapping[str, Any]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    status: Status = "ok"
    reason: str = ""
    seconds: float = 0.0
    created: str = ""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the sweep lock of a directory.

    Raises:
        InputError: another process holds it, or the directory cannot be written.
    """
    path = directory / LOCK_NAME
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = sqlite3.connect(path, timeout=0, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise InputError(f"{directory}: cannot be written ({error})") from None
    with closing(lock):
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                reason = "another sweep is running in this directory"
            else:
                reason = f"cannot be locked ({error})"
            raise InputError(f"{directory}: {reason} (lock {path.name})") from None
        except sqlite3.DatabaseError as error:
            raise InputError(f"{path}: not a lock file of a sweep ({error})") from None
        yield


class Store:
    """An open results store; a context manager."""

    def __init__(self, directory: Path, *, create: bool = False) -> None:
        """Open the store of `directory` for reading, or with `create` for writing.

        Raises:
            InputError: no store there, a foreign file, or another schema version.
        """
        self.path = directory / FILE_NAME
        if not create and not self.path.is_file():
            raise InputError(f"{directory}: holds no results of a sweep ({FILE_NAME} is missing)")
        try:
            self._db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        except sqlite3.Error as error:
            raise InputError(f"{self.path}: cannot be opened ({error})") from None
        try:
            self._prepare(create)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise InputError(f"{self.path}: not a results store ({error})") from None
        except InputError:
            self._db.close()
            raise

    def _prepare(self, create: bool) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if create and not tables:
            self._db.execute("PRAGMA journal_mode = WAL")
            with self._transaction():
                for kind in KINDS:
                    self._db.execute(_TABLE.format(kind=kind))
                self._db.execute(_PLAN)
                self._db.execute(_META)
                self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif application != APPLICATION_ID:
            raise InputError(f"{self.path}: not a results store of this toolkit")
        elif version != SCHEMA_VERSION:
            raise InputError(
                f"{self.path}: schema version {version}, this toolkit reads {SCHEMA_VERSION}"
            )
        self._db.execute("PRAGMA synchronous = FULL")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def __enter__(self) -> Self:
        """The open store."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file; a file that is damaged, or that a full disk stops, is one line."""
        self._db.close()
        if kind in (sqlite3.DatabaseError, sqlite3.OperationalError):
            raise InputError(f"{self.path}: cannot be read or written ({error})") from None

    def write(self, kind: Kind, row: Row) -> None:
        """Write one row; a row that is there stays, unless it failed."""
        created = row.created or datetime.now(UTC).isoformat(timespec="seconds")
        values = (
            row.key,
            row.parent,
            _json(row.params),
            _json(row.metrics),
            row.status,
            row.reason,
            row.seconds,
            created,
        )
        self._db.execute(
            f"INSERT INTO {kind} ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET metrics = excluded.metrics, status = excluded.status,"
            " reason = excluded.reason, seconds = excluded.seconds, created = excluded.created"
            " WHERE status = 'failed'",
            values,
        )

    def set_status(self, point: str, status: Status, reason: str) -> None:
        """Judge a point anew: other constraints, same metrics."""
        self._db.execute(
            "UPDATE points SET status = ?, reason = ? WHERE key = ?", (status, reason, point)
        )

    def get(self, kind: Kind, key: str) -> Row | None:
        """The row with this key."""
        found = self._db.execute(f"SELECT {_COLUMNS} FROM {kind} WHERE key = ?", (key,)).fetchone()
        return None if found is None else _row(found)

    def rows(self, kind: Kind) -> dict[str, Row]:
        """Every row of a kind by key, in the order of the keys."""
        found = self._db.execute(f"SELECT {_COLUMNS} FROM {kind} ORDER BY key")
        return {row[0]: _row(row) for row in found}

    def set_plan(self, points: Iterable[str], meta: Mapping[str, Any]) -> None:
        """Say which points the sweep is about to evaluate, in order, and keep its description."""
        with self._transaction():
            self._db.execute("DELETE FROM plan")
            self._db.executemany(
                "INSERT INTO plan (position, point) VALUES (?, ?)", enumerate(points)
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
                [(key, _json(value, ordered=True)) for key, value in meta.items()],
            )

    def plan(self) -> list[str]:
        """Keys of the points of the last sweep into this directory, in order."""
        return [key for (key,) in self._db.execute("SELECT point FROM plan ORDER BY position")]

    def meta(self) -> dict[str, Any]:
        """The description of the last sweep into this directory."""
        found = self._db.execute("SELECT key, value FROM meta ORDER BY key")
        return {key: json.loads(value) for key, value in found}


def _json(value: Any, *, ordered: bool = False) -> str:
    """Canonical, or with `ordered` in the order of the keys (the first objective leads)."""
    return json.dumps(value, sort_keys=not ordered, allow_nan=False, separators=(",", ":"))


def _row(found: tuple[Any, ...]) -> Row:
    key, parent, params, metrics, status, reason, seconds, created = found
    return Row(
        key, parent, json.loads(params), json.loads(metrics), status, reason, seconds, created
    )
