"""Fixtures shared by the tests: where the real recordings are, if they are anywhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from stgcn_ref.datasets.clips import Dataset
from stgcn_ref.datasets.hugadb import load_hugadb

# A busy machine must not fail a property: no time limit per example. On CI every run draws the same
# examples, so that a red run is a change's own doing.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("patient"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "patient")


@pytest.fixture(scope="session")
def hugadb_root() -> Path:
    """Folder of the HuGaDB recordings: `HUGADB_ROOT`, or `../shared/data/hugadb` by the repository.

    The tests that use it are marked `hugadb` and skip, saying why, where the folder is missing.
    """
    given = os.environ.get("HUGADB_ROOT")
    beside = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "hugadb"
    root = Path(given) if given else beside.resolve()
    if not (root / "various").is_dir():
        pytest.skip(f"no HuGaDB recordings at {root} (set HUGADB_ROOT to their folder)")
    return root


@pytest.fixture(scope="session")
def hugadb(hugadb_root: Path) -> Dataset:
    """All recordings with v2 labels, read once (two seconds)."""
    return load_hugadb(hugadb_root)
