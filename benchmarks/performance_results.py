"""What `benchmarks.performance` finds, as data: timed rows, words compared, the machine."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from fxp.errors import InputError
from fxp.spec import Spec

SectionName = Literal[
    "words",
    "widths",
    "portable",
    "avx2",
    "threads",
    "streaming",
    "scaling",
    "networks",
    "startup",
]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Row(Spec):
    """One thing that was timed by turns with the others of its `group`.

    `times_s` are seconds of one call each, in the order of the turns; a call goes through `frames`
    frames, or does `macs` multiply-accumulates where it has none. `macs` are those of a frame's
    convolutions otherwise. `peak_bytes` is the memory that a call takes besides what it is given.
    """

    group: str
    name: str
    times_s: tuple[Seconds, ...] = Field(min_length=1)
    frames: Annotated[int, Field(ge=0)] = 0
    macs: Annotated[int, Field(ge=0)] = 0
    peak_bytes: Annotated[int, Field(ge=0)] = 0

    @property
    def median_s(self) -> float:
        """Seconds of a call."""
        return statistics.median(self.times_s)

    @property
    def frames_per_s(self) -> float:
        """By the median."""
        return self.frames / self.median_s

    @property
    def gmac_per_s(self) -> float:
        """Of the convolutions, by the median."""
        return self.macs * max(1, self.frames) / self.median_s / 1e9

    def quantile_s(self, share: float) -> float:
        """The time that `share` of the calls do not exceed."""
        ordered = sorted(self.times_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Check(Spec):
    """Words that were compared before any time was taken; all must agree."""

    what: str
    words: Annotated[int, Field(ge=1)]
    differing: Annotated[int, Field(ge=0)]


class Section(Spec):
    """One section's findings. `busy`: processor seconds over wall seconds of all timed turns."""

    rows: tuple[Row, ...] = ()
    checks: tuple[Check, ...] = ()
    busy: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [(row.group, row.name) for row in self.rows]
        if len(set(names)) < len(names):
            raise ValueError("a row stands twice")
        return self

    def find(self, group: str, name: str) -> Row | None:
        """A row, if it is there."""
        for row in self.rows:
            if (row.group, row.name) == (group, name):
                return row
        return None

    def groups(self) -> list[str]:
        """Names of the groups, in order."""
        return list(dict.fromkeys(row.group for row in self.rows))

    def of_group(self, group: str) -> list[Row]:
        """The rows that were measured by turns."""
        return [row for row in self.rows if row.group == group]


class Machine(Spec):
    """Where and when it was measured."""

    processor: str
    cores: int
    memory_bytes: int
    cache: str
    system: str
    tiers: tuple[str, ...]
    versions: dict[str, str]
    date: str


class Results(Spec):
    """All sections that were measured on one machine. `quick`: a check, no measurement."""

    machine: Machine
    quick: bool
    sections: dict[SectionName, Section]
    seconds: dict[SectionName, float]


def read_results(path: Path) -> Results:
    """What `benchmarks.performance --json` wrote.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    try:
        return Results.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError):
        raise InputError(f"{path}: not a file of `benchmarks.performance --json`") from None
