"""Small made-up recordings, written in the original formats of the published data sets."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stgcn_ref.datasets.hugadb_files import COLUMNS

FloatArray = npt.NDArray[np.float64]


def places(seed: int, *shape: int) -> FloatArray:
    """Made-up coordinates, -2..2, on a grid of 1/1024: their words are exact."""
    return np.random.default_rng(seed).integers(-2048, 2049, shape) / 1024


def ntu_lines(frames: Sequence[Sequence[FloatArray]], state: int = 2) -> list[str]:
    """A `.skeleton` file; each frame lists bodies (25, 3), every joint of one tracking state."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for body in bodies:
            lines += ["72057594037931101 0 1 1 1 1 0 0.02764709 0.05745083 2", "25"]
            lines += [
                f"{x!r} {y!r} {z!r} 283.6 171.9 1045.2 344.5 0.31 0.02 -0.94 -0.03 {state}"
                for x, y, z in body.tolist()
            ]
    return lines


def write_ntu(folder: Path, name: str, frames: Sequence[Sequence[FloatArray]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.skeleton"
    path.write_text("\n".join(ntu_lines(frames)) + "\n")
    return path


def kinetics_body(seed: int, score: float) -> dict[str, Any]:
    pose = np.random.default_rng(seed).integers(0, 1000, 36) / 1000
    return {"pose": pose.tolist(), "score": [score] * 18}


def write_kinetics(
    root: Path, part: str, clips: Mapping[str, tuple[int, str, list[dict[str, Any]]]]
) -> Path:
    """`clips`: name to (label index, label, frames); a clip without frames has no skeleton."""
    folder = root / f"kinetics_{part}"
    folder.mkdir(parents=True, exist_ok=True)
    entries = {}
    for name, (index, label, frames) in clips.items():
        entries[name] = {"has_skeleton": bool(frames), "label": label, "label_index": index}
        data = {"data": frames, "label": label, "label_index": index}
        (folder / f"{name}.json").write_text(json.dumps(data))
    (root / f"kinetics_{part}_label.json").write_text(json.dumps(entries))
    return root


def write_pkummd(
    root: Path, name: str, bodies: FloatArray, actions: Sequence[tuple[int, int, int, int]]
) -> Path:
    """`bodies` (T, 2, 25, 3) metres; `actions` are lines of the label file."""
    for folder in ("skeleton", "label"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    rows = (" ".join(map(repr, row)) for row in bodies.reshape(len(bodies), -1).tolist())
    (root / "skeleton" / f"{name}.txt").write_text("\n".join(rows) + "\n")
    lines = "".join(",".join(map(str, action)) + "\n" for action in actions)
    (root / "label" / f"{name}.txt").write_text(lines)
    return root


HUGADB_HEADER = (
    "#Activity\twalking ",
    "#ActivityID\t1 ",
    "#Date 10-26-17-47",
    "\t".join(COLUMNS),
)


def write_hugadb(path: Path, rows: Sequence[Sequence[int]]) -> Path:
    """A recording as text; each row 36 inertial words, two EMG words and the activity."""
    lines = [*HUGADB_HEADER, *("\t".join(map(str, cells)) for cells in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path


AXES = ("RX", "RY", "RZ", "TX", "TY", "TZ")


def write_lara(
    root: Path,
    name: str,
    segments: Sequence[str],
    values: FloatArray,
    labels: Sequence[int],
    header: bool = True,
) -> Path:
    """`values` (T, segments, 6): degrees and millimetres, in the order of `segments`."""
    root.mkdir(parents=True, exist_ok=True)
    named = ["sample", "label", *(f"{segment}_{axis}" for segment in segments for axis in AXES)]
    rows = [
        ",".join(map(repr, [float(t), 1.0, *frame.reshape(-1).tolist()]))
        for t, frame in enumerate(values)
    ]
    title = [",".join(named)] if header else ["made-up recording", "second line"]
    (root / f"{name}_norm_data.csv").write_text("\n".join([*title, *rows]) + "\n")
    attributes = ",".join(["0"] * 19)
    lines = [",".join(["Class", *(f"A{i}" for i in range(19))])]
    lines += [f"{label},{attributes}" for label in labels]
    (root / f"{name}_labels.csv").write_text("\n".join(lines) + "\n")
    return root


def _c3d_entry(group: int, name: str, content: bytes) -> bytes:
    """A group (negative number) or a parameter, with the distance to the next one."""
    head = struct.pack("<bb", len(name), group) + name.encode()
    return head + struct.pack("<h", len(content) + 2) + content


def _c3d_texts(texts: Sequence[str]) -> bytes:
    width = max((len(text) for text in texts), default=1)
    cells = "".join(text.ljust(width) for text in texts).encode()
    return struct.pack("<bBBB", -1, 2, width, len(texts)) + cells + b"\0"


def _c3d_numbers(kind: str, code: int, values: Sequence[float], *dimensions: int) -> bytes:
    head = struct.pack(f"<bB{len(dimensions)}B", code, len(dimensions), *dimensions)
    return head + struct.pack(f"<{len(values)}{kind}", *values) + b"\0"


def write_c3d(
    path: Path,
    markers: Sequence[str],
    xyz: FloatArray,
    events: Sequence[tuple[str, float]] = (),
    unit: str = "mm",
    rate_hz: float = 100.0,
    first_frame: int = 1,
) -> Path:
    """`xyz` (T, markers, 3) in `unit`, NaN where a marker is hidden; events (label, seconds).

    Intel byte order, single precision, byte by byte after the C3D user guide (www.c3d.org).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    frames, count = xyz.shape[:2]
    body = _c3d_entry(-1, "POINT", b"\0") + b"".join(
        (
            _c3d_entry(1, "USED", _c3d_numbers("h", 2, [count])),
            _c3d_entry(1, "FRAMES", _c3d_numbers("h", 2, [frames])),
            _c3d_entry(1, "SCALE", _c3d_numbers("f", 4, [-1.0])),
            _c3d_entry(1, "RATE", _c3d_numbers("f", 4, [rate_hz])),
            _c3d_entry(1, "LABELS", _c3d_texts(markers)),
            _c3d_entry(1, "UNITS", _c3d_texts([unit])),
            _c3d_entry(-2, "ANALOG", b"\0"),
            _c3d_entry(2, "USED", _c3d_numbers("h", 2, [0])),
        )
    )
    if events:
        times = [part for _, seconds in events for part in divmod(seconds, 60)]
        body += _c3d_entry(-3, "EVENT", b"\0")
        body += _c3d_entry(3, "USED", _c3d_numbers("h", 2, [len(events)]))
        body += _c3d_entry(3, "LABELS", _c3d_texts([label for label, _ in events]))
        body += _c3d_entry(3, "TIMES", _c3d_numbers("f", 4, times, 2, len(events)))
    blocks = (len(body) + 6 + 511) // 512
    last_frame = first_frame + frames - 1
    header = struct.pack("<BB5H", 2, 80, count, 0, first_frame, last_frame, 0)
    header += struct.pack("<fHHf", -1.0, 2 + blocks, 0, rate_hz)
    section = struct.pack("<BBBB", 1, 80, blocks, 84) + body
    points = np.zeros((frames, count, 4), dtype="<f4")
    hidden = np.isnan(xyz).any(axis=2)
    points[..., :3] = np.where(hidden[..., None], 0.0, xyz)
    points[..., 3] = np.where(hidden, -1.0, 0.0)
    path.write_bytes(
        header.ljust(512, b"\0") + section.ljust(512 * blocks, b"\0") + points.tobytes()
    )
    return path


def write_trials(
    root: Path,
    trials: Mapping[str, tuple[npt.NDArray[Any], Sequence[int]]],
    actions: Sequence[str] = ("rest", "move"),
    joints: int = 4,
    part: str | None = None,
) -> Path:
    """`trials`: name to (array (C, T, V[, M]), labels); the skeleton is a chain of joints."""
    folder = root / part if part else root
    for name in ("features", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, (array, labels) in trials.items():
        np.save(folder / "features" / f"{name}.npy", array)
        np.savetxt(folder / "labels" / f"{name}.csv", np.array(labels), delimiter=",")
    lines = (f"{index} {action}\n" for index, action in enumerate(actions))
    (root / "actions.txt").write_text("".join(lines))
    loops = [[joint, joint] for joint in range(joints)]
    edges = [[joint, joint + 1] for joint in range(joints - 1)]
    chain = {"num_node": joints, "edge": loops + edges, "center": 0}
    (root / "chain.json").write_text(json.dumps(chain))
    return root
