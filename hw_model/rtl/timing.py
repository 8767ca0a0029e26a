"""Every cycle of the engine, frame by frame: what the analytic estimate must equal.

Cycle 0 is the one in which the first line of a clip is taken; nobody stalls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hw_model.rtl.design import Design
from hw_model.rtl.fields import MODE_EDGES
from hw_model.schedule import DRAIN_CYCLES, START_CYCLES
from hw_model.streaming import NEAR, LineSource, streamed_cycles


@dataclass(frozen=True, slots=True)
class FrameTiming:
    """One frame: when it begins, when the next may, and when each pass issues its first operation.

    A frame of the flush after a clip has no lines to load. A pass that does not run is missing.
    """

    frame: int
    begins: int
    ends: int
    issues: Mapping[int, int]


def work_cycles(fields: Mapping[str, Any], source: LineSource) -> int:
    """Cycles from the first operation of a pass to its last, both included.

    A layer norm and a softmax go through their lines several times.
    """
    if not fields.get("weight_off", 0):
        more = fields.get("last_sweep", 0)
        return int((more + 1) * operations(fields) + more * fields.get("sweep_pause", 0))
    joints = fields["count_joints"] + 1
    return streamed_cycles(fields["blocks_last"] + 1, fields["tile_last"] + 1, joints, source)


def mean_cycles(fields: Mapping[str, Any], due: bool, at_end: bool) -> int:
    """The same of a mean over a clip: a sweep of lines where it reads, one of words at the end."""
    lines = (fields["count_groups"] + 1) * (fields["count_joints"] + 1)
    pause = fields["sweep_pause"] if due and at_end else 0
    return int(lines * due + pause + operations(fields) * at_end)


def operations(fields: Mapping[str, Any]) -> int:
    """Operations of one sweep of a pass, one a cycle, from its fields."""
    names = ("joints", "parts", "taps", "flats", "words")
    groups = fields["count_groups"] + 1 if "count_groups" in fields else 1
    if fields["mode"] == MODE_EDGES:
        return int(groups * (fields["edge_last"] - fields["edge_base"] + 1))
    if fields.get("is_softmax") or fields.get("is_clip_mean"):  # a word a cycle
        channels = (groups - 1) * (fields["count_words"] + 1) + fields["last_lane"] + 1
        return int(channels * (fields["count_joints"] + 1))
    total = groups
    for name in names:
        total *= fields.get(f"count_{name}", 0) + 1
    return int(total)


def load_cycles(design: Design) -> int:
    """Lines of a frame of the input."""
    return design.ground.frames[design.ground.graph.nodes[0].name].lines


def due(fields: Mapping[str, Any], frame: int, total: int) -> bool:
    """Whether there is a frame for a pass at a frame of a clip of `total` frames."""
    tau = frame - fields["pass_lag"]
    return bool(0 <= tau < total and tau & fields["period_mask"] == 0)


def clip_timing(design: Design, frames: int, source: LineSource = NEAR) -> tuple[FrameTiming, ...]:
    """All frames of a clip, those of its flush included."""
    flush = design.passes[0]["in_flush"]
    found = []
    now = 0
    for frame in range(frames + flush):
        begins = now
        now += load_cycles(design) if frame < frames else 0
        issues = {}
        for at, fields in enumerate(design.passes):
            now += START_CYCLES
            at_end = frame == frames + flush - 1
            if fields.get("is_clip_mean"):
                reads = due(fields, frame, frames)
                work = mean_cycles(fields, reads, at_end)
                runs, drain = reads or at_end, fields["more_drain"] * at_end
            else:
                work, drain = work_cycles(fields, source), fields.get("more_drain", 0)
                runs = at_end if fields.get("once") else due(fields, frame, frames)
            if runs:
                issues[at] = now
                now += work + drain + DRAIN_CYCLES
        found.append(FrameTiming(frame, begins, now, issues))
    return tuple(found)


def output_lines(design: Design, frames: int) -> int:
    """Lines that leave the engine for a clip."""
    lines = {output.at: output.groups * output.joints for output in design.outputs}
    leaving = {
        at: lines[fields["output_id"]]
        for at, fields in enumerate(design.passes)
        if fields.get("out_on")
    }
    return sum(leaving.get(at, 0) for each in clip_timing(design, frames) for at in each.issues)


def stalled_cycles(design: Design, frames: int, share: float) -> float:
    """Mean number of cycles until a clip's last frame has ended, where both sides stall.

    `share` is the chance p that in a cycle the source has no line, and that the sink takes none.
    Waiting for a line, coming or going, takes p / (1 - p) cycles, and nothing else takes longer:
    the source is waited for while a frame is loaded, a result that nobody takes stops the engine.
    """
    wait = share / (1 - share)
    lines = frames * load_cycles(design) + output_lines(design, frames)
    return clip_timing(design, frames)[-1].ends + wait * lines
