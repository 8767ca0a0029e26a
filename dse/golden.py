"""Golden vectors of a design point: its kept integer network, run on a clip of its own data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dse.data import data_hash, load_data
from dse.evaluate import network_file
from dse.results import Collected, Record, collect
from dse.space import Space
from dse.store import Store
from fxp.errors import InputError
from fxp.golden import write_bundle
from fxp.ir import Graph, IntArray
from fxp.manifest import Attachment
from fxp.spec import parse_spec
from fxp.store import graph_hash, load_graph
from hw_model.accelerator import Accelerator, Lanes, load_accelerator, preset_names
from hw_model.rtl.bundle import rtl_attachment
from hw_model.rtl.request import Request, lanes_of, settings_for
from hw_model.rtl.runs import Settings
from stgcn_ref.datasets.clips import Clip


def find_point(collected: Collected, wanted: str) -> Record:
    """The evaluated point meant by a prefix of its hash, `best:<metric>` or `front:<place>`.

    The best is among feasible points; among equals it is one of the front, the first of the space.

    Raises:
        InputError: no such point, several, an unknown metric, or one without a network.
    """
    kind, _, rest = wanted.partition(":")
    if kind == "best" and rest:
        return _best(collected, rest)
    if kind == "front" and rest:
        found = [record for record in collected.front if str(record["front"]) == rest]
        if not found:
            raise InputError(f"point {wanted!r}: the front has {len(collected.front)} points")
        return found[0]
    found = [
        record for record in collected.records if wanted and record["point"].startswith(wanted)
    ]
    if len(found) != 1:
        what = "is the prefix of several points" if found else "is no point of this sweep"
        raise InputError(
            f"point {wanted!r} {what}: give a longer prefix of its hash (see `show`),"
            " best:<metric> or front:<place>"
        )
    return found[0]


def _best(collected: Collected, metric: str) -> Record:
    about = collected.about["metrics"]
    if metric not in about:
        raise InputError(f"point best:{metric}: unknown metric (known: {', '.join(about)})")
    known = [r for r in collected.records if r["status"] == "ok" and r[metric] is not None]
    if not known:
        raise InputError(f"point best:{metric}: no feasible point has it")
    sign = 1 if about[metric]["better"] == "max" else -1
    on_front = {record["point"] for record in collected.front}
    return max(known, key=lambda record: (sign * record[metric], record["point"] in on_front))


def find_clip(clips: Sequence[Clip], scored: int, wanted: str) -> Clip:
    """The clip of that name among all, or of that index among the first `scored` of them.

    Raises:
        InputError: no such clip.
    """
    for clip in clips:
        if clip.name == wanted:
            return clip
    if wanted.isdecimal() and int(wanted) < scored:
        return clips[int(wanted)]
    names = ", ".join(clip.name for clip in clips[:scored][:8])
    raise InputError(
        f"clip {wanted!r}: give an index 0..{scored - 1} of the scored clips or a name ({names},"
        " ...)"
    )


def write_golden(
    directory: Path,
    point: str,
    clip: str,
    out: Path,
    *,
    frames: int | None = None,
    data_root: Path | None = None,
    lanes: int = 1,
    rtl: Request | None = None,
    accelerator: str | None = None,
) -> Mapping[str, Any]:
    """Write the golden bundle of a point; returns its manifest.

    Its `provenance` has the key `no_rtl` where the engine was asked for and cannot do the network.

    Args:
        directory: the results directory of the sweep.
        point: as `find_point`.
        clip: as `find_clip`.
        out: folder of the bundle.
        frames: only the first so many network steps of the clip.
        data_root: folder of the recordings, if the sweep was on real ones.
        lanes: words side by side in a memory line.
        rtl: what is asked of the engine that goes with it, with the lanes of its accelerator where
            that has some, else with `lanes`; None for no engine.
        accelerator: the engine's, a preset or a YAML file; None for the point's, if a preset.

    Raises:
        InputError: no such point, clip or network, the recordings are not those of the sweep, or
            the engine cannot be as asked.
    """
    with Store(directory) as store:
        collected = collect(store)
    about = collected.about
    record = find_point(collected, point)
    path = network_file(directory, record["network"])
    if not path.is_file():
        why = record["reason"] or f"{path.name} is missing"
        raise InputError(f"point {record['point'][:12]}: it has no integer network ({why})")
    graph = load_graph(path)
    space = parse_spec(Space, about["space"], f"{store.path}: space")
    data = load_data(space, about["source"], data_root)
    if data is None:
        raise InputError(f"{directory}: explores cost alone: there is no clip to run")
    if data_hash(data) != about["data"]["hash"]:
        raise InputError(f"{directory}: these recordings are not those of the sweep (other hash)")
    rest = [c for side in data.by_name.values() if side is not data.scored for c in side.clips]
    chosen = find_clip((*data.scored.clips, *rest), len(data.scored.clips), clip)
    if frames is not None and not 1 <= frames <= len(chosen.x):
        raise InputError(f"`--frames` must be 1..{len(chosen.x)} for {chosen.name}, got {frames}")
    provenance = {
        "point": record["point"],
        "design": record["design"],
        "network": record["network"],
        "topology": record["topology"],
        "graph_hash": graph_hash(graph),
        "accelerator": record["accelerator"],
        "metrics": {name: record[name] for name in about["metrics"]},
        "clip": chosen.name,
        "data": about["data"],
        "sweep": about["name"],
        "space": about["space"],
    }
    words = chosen.x[:frames].astype(np.int64)  # (T, C, V)
    attachments = []
    if rtl:
        board = engine_board(record["accelerator"], accelerator)
        settings = engine_settings(graph, rtl, board, lanes)
        provenance |= {"engine_accelerator": board.name} if board else {}
        engine, reason = _engine(graph, words, settings)
        attachments += [engine] if engine else []
        provenance |= {"no_rtl": reason} if reason else {}
    return write_bundle(
        graph, words, out, lanes=lanes, provenance=provenance, attachments=attachments
    )


def engine_board(of_point: str, given: str | None) -> Accelerator | None:
    """The accelerator whose engine is built: the one given, else a point's preset with lanes.

    Raises:
        InputError: the one given is unknown, breaks a rule, or is an array.
    """
    if given is None and of_point not in preset_names():
        return None
    board = load_accelerator(given or of_point)
    if given is None and not isinstance(board.engine, Lanes):
        return None
    lanes_of(board)
    return board


def engine_settings(
    graph: Graph, request: Request, board: Accelerator | None, lanes: int
) -> Settings:
    """The engine for a point, as its accelerator has it; without one, of `lanes` lanes."""
    if board is None:
        return settings_for(graph, request, lanes, dense=False)
    dense = board.adjacency == "dense"
    return settings_for(graph, request, lanes_of(board).lanes, dense, board)


def _engine(
    graph: Graph, words: IntArray, settings: Settings
) -> tuple[Attachment | None, str | None]:
    """The engine's folder, or the reason why it cannot do the network."""
    try:
        return rtl_attachment(graph, words, settings), None
    except InputError as error:
        return None, str(error)
