"""The look at a folder of recordings: counts by hand on a small set, and on the real ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fxp.errors import InputError
from stgcn_ref.data_check import (
    ClassCount,
    Flagged,
    Gap,
    SubjectCount,
    as_json,
    as_text,
    check,
    describe,
)
from stgcn_ref.datasets.clips import Clip, Dataset
from stgcn_ref.datasets.synthetic import generate_synthetic


def clip(name: str, subject: int, labels: list[int], flagged: tuple[int, ...] = ()) -> Clip:
    truth = np.array(labels, dtype=np.int64)
    x = np.arange(len(labels) * 36, dtype=np.int32).reshape(-1, 6, 6)
    return Clip(name, subject, x, truth, truth, flagged=flagged)


def small() -> Dataset:
    clips = (
        clip("various_04_00", 4, [0, 0, 1, 1, 1, 1, 1, 1, 1, 1]),
        clip("various_04_03", 4, [2, 2], flagged=(1, 5)),
        clip("various_07_00", 7, [0] * 8),
    )
    clips[0].x[4:8, :, 2] = clips[0].x[3, :, 2]  # frames 4..7 repeat frame 3
    clips[2].x[2:4, :, 1] = clips[2].x[1, :, 1]  # two repeated frames are no gap
    meta = {"gyro_flags": "gyro_corruption.csv", "labels": "v2"}
    return Dataset("small", "hugadb", ("a", "b", "c"), 10.0, clips, synthetic=False, meta=meta)


def test_counts_by_hand() -> None:
    report = describe(small(), "there")
    assert (report.clips, report.frames, report.duration_s) == (3, 20, 2.0)
    assert report.classes == (
        ClassCount("a", 10, 50.0),
        ClassCount("b", 8, 40.0),
        ClassCount("c", 2, 10.0),
    )
    assert report.subjects == (
        SubjectCount(4, 2, 12, 1.2, missing=(1, 2)),
        SubjectCount(7, 1, 8, 0.8, missing=()),
    )
    assert report.gaps == (Gap("various_04_00", "right_foot", 1, first_frame=4, frames=4),)
    assert report.flagged == (Flagged("various_04_03", ("right_shin", "left_foot")),)


def test_text_and_json() -> None:
    report = describe(small(), "there")
    text = as_text(report)
    assert text.startswith("there: small, labels v2\n3 recordings, 20 frames at 10 Hz, 2.0 s\n")
    assert "  various_04_00: right_foot, 1 times, at most 4 frames (from frame 4)" in text
    assert "  various_04_03: right_shin, left_foot" in text and "01, 02" in text
    data = json.loads(as_json(report))
    assert data["classes"][1] == {"name": "b", "frames": 8, "share": 40.0}
    assert data["synthetic"] is False and data["subjects"][0]["missing"] == [1, 2]


def test_synthetic_says_so() -> None:
    ds = generate_synthetic(0, subjects=1, clips_per_subject=1, frames_per_clip=60)
    text = as_text(describe(ds, "generated"))
    assert text.startswith("generated: synthetic-gait (synthetic), labels as generated\n")


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        check(tmp_path / "nowhere")


@pytest.mark.hugadb
def test_real_recordings(hugadb: Dataset, hugadb_root: Path) -> None:
    report = describe(hugadb, "there")
    assert (report.clips, report.frames, report.gyro_flags) == (188, 617217, "gyro_corruption.csv")
    assert {row.name: row.frames for row in report.classes}["standing"] == 127537
    clean = {row.subject for row in report.subjects} - {
        int(row.clip.split("_")[1]) for row in report.flagged
    }
    assert clean == {1, 6, 8, 10}
    assert max(gap.frames for gap in report.gaps) == 28
    one = check(hugadb_root / "HuGaDB_v2_various_01_00.txt")
    assert (one.clips, one.frames, one.gaps) == (1, 3142, ())
