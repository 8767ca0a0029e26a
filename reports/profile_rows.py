"""The numbers behind the drawings of a profile, as plain values.

A profile comes from `python -m fxp profile` (`fxp.profile`); nothing is measured here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fxp.profile import Profile, TensorProfile
from fxp.sensitivity import Change

MOST_ROWS = 48  # of one panel; further ones stand beside it


@dataclass(frozen=True)
class FormatRow:
    """Magnitudes of a tensor over what its format holds, all as `log2`.

    `marks` are the percentiles 1, 25, 50, 75 and 99 of the reference (none where it is all zero),
    `top` its largest magnitude; `lsb` and `limit` bound the format, over all channels.
    """

    label: str
    role: str
    marks: tuple[float, ...]
    top: float | None
    lsb: int
    limit: float
    note: str


@dataclass(frozen=True)
class ErrorPoint:
    """Error of one tensor relative to its signal, `place` counted along the network."""

    place: int
    label: str
    role: str
    percent: float


@dataclass(frozen=True)
class HeatMap:
    """One measure of all changes: a row per tensor, a column per width, None where not tried."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[int, ...]
    values: tuple[tuple[float | None, ...], ...]


def format_rows(tensors: Sequence[TensorProfile]) -> list[FormatRow]:
    """A row for everything that has a format of its own, in the order of the network."""
    return [_format_row(tensor) for tensor in tensors if tensor.role != "sum"]


def _format_row(tensor: TensorProfile) -> FormatRow:
    furthest = max(abs(tensor.wanted_lowest), abs(tensor.wanted_highest))
    dead = len(tensor.dead_channels)
    notes = []
    if tensor.sqnr_db is not None:
        notes.append(f"{tensor.sqnr_db:.0f} dB")
    if tensor.clip_share:
        notes.append(f"{100 * tensor.clip_share:.2g} % clip")
    if dead:
        notes.append(f"{dead}/{tensor.channels} dead")
    word = f"{'s' if tensor.signed else 'u'}{tensor.word_bits}"
    return FormatRow(
        label=f"{tensor.name} {word}",
        role=tensor.role,
        marks=tensor.magnitudes_log2,
        top=math.log2(furthest) if furthest else None,
        lsb=-max(tensor.frac_bits),
        limit=tensor.word_bits - tensor.signed - min(tensor.frac_bits),
        note=", ".join(notes),
    )


def error_points(profile: Profile) -> list[ErrorPoint]:
    """The error of every tensor that has one, in the order of the network."""
    return [
        ErrorPoint(place, tensor.name, tensor.role, 100 * tensor.relative_error)
        for place, tensor in enumerate(profile.tensors)
        if tensor.relative_error
    ]


def heat_maps(changes: Sequence[Change]) -> list[HeatMap]:
    """Labels that changed and movement of the output, both in percent, tensors in network order."""
    columns = tuple(sorted({change.bits for change in changes}))
    rows = tuple(dict.fromkeys(change.name for change in changes))
    by_place = {(change.name, change.bits): change for change in changes}

    def values(measure: str) -> tuple[tuple[float | None, ...], ...]:
        found = [[by_place.get((row, bits)) for bits in columns] for row in rows]
        return tuple(tuple(_percent(change, measure) for change in line) for line in found)

    maps = [
        HeatMap("labels that change (%)", rows, columns, values("label_changes")),
        HeatMap("output error (% of the output)", rows, columns, values("output_error")),
    ]
    return [heat for heat in maps if any(v is not None for line in heat.values for v in line)]


def _percent(change: Change | None, measure: str) -> float | None:
    if change is None:
        return None
    value = change.label_changes if measure == "label_changes" else change.output_error
    return None if value is None else 100 * value


def title_of(profile: Profile) -> str:
    """The network, the data and the reference in a few words."""
    return f"{_data(profile, profile.frames)}; against {profile.reference}"


def sensitivity_title(profile: Profile, changes: Sequence[Change]) -> str:
    """What the heat maps compare."""
    frames = max(change.frames for change in changes)
    return f"{_data(profile, frames)}; one tensor at fewer bits, against the same network"


def _data(profile: Profile, frames: int) -> str:
    """Synthetic data is called so."""
    kind = "synthetic data " if profile.synthetic else ""
    return f"{profile.graph} on {kind}{profile.data}, {frames} frames"
