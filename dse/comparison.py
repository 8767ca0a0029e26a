"""What `python -m dse compare` compares, in YAML: a space, released networks, whole clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from dse.axes import Axes, load_space
from dse.space import HugadbData, Title
from fxp.errors import InputError
from fxp.spec import ArchSpec, Positive, Spec, WordBits, load_spec
from stgcn_ref.networks import Family
from stgcn_ref.recipe import TrainRecipe

Bits = Annotated[tuple[WordBits, ...], Field(min_length=1)]


class Published(Spec):
    """A checkpoint its authors released, as it is: the file `checkpoint` of `--checkpoints`.

    It is scored on the recordings of `participants` (default: all) at full rate, in float and with
    weights and operands of each of `bits` (`stgcn_ref.networks.standard_widths`), calibrated on
    `calibration` recordings spread evenly over those. `drop_last` leaves out each recording's last
    frame, as its authors did.
    """

    checkpoint: str
    family: Family
    skeleton: str | None = None
    participants: tuple[int, ...] | None = None
    labels: Literal["v1", "v2"] = "v2"
    drop_last: bool = True
    bits: Bits = (16, 8)
    calibration: Positive = 16


class WholeClips(Spec):
    """The original task: a label for a clip, by a network of family `stgcn`.

    Its clips are single actions of `steps` network steps cut out of the space's recordings
    (`stgcn_ref.datasets.actions.cut_actions`). `arch` and `training` are YAML files seen from this
    file's folder.
    """

    arch: str
    training: str
    steps: Positive


class ComparisonSpec(Spec):
    """A comparison file.

    `space` is a space file with named networks, seen from this file's folder; `baseline` is the
    network whose float form all others are held against. `speed_frames`: how long the clip is that
    simulators and float networks are timed on.
    """

    space: str
    baseline: Title
    published: dict[Title, Published] = Field(default_factory=dict)
    clips: WholeClips | None = None
    speed_frames: Positive = 2048


@dataclass(frozen=True)
class Comparison:
    """A comparison file, checked: its space expanded, every released file there."""

    spec: ComparisonSpec
    source: str
    axes: Axes
    checkpoints: dict[str, Path]
    clips: tuple[ArchSpec, TrainRecipe, int] | None


def load_comparison(path: Path, checkpoints: Path | None) -> Comparison:
    """Read a comparison file.

    Args:
        path: the YAML file.
        checkpoints: folder of released checkpoints, needed where the file lists any.

    Raises:
        InputError: one line naming the file, the key and the rule of the first violation.
    """
    spec = load_spec(ComparisonSpec, path)
    axes = load_space(path.parent / spec.space)
    source = str(path)
    if not axes.space.networks or axes.space.training is None:
        raise InputError(f"{source}: key `space`: {axes.source} must train `networks` by name")
    if spec.baseline not in axes.space.networks:
        names = ", ".join(axes.space.networks)
        raise InputError(f"{source}: key `baseline`: must be one of {names}, got {spec.baseline!r}")
    if spec.clips is not None and axes.space.data and axes.space.data.test is not None:
        raise InputError(
            f"{source}: key `clips`: whole clips are scored on `valid`, and {axes.source} has a"
            " `test`"
        )
    if spec.published and not isinstance(axes.space.data, HugadbData):
        raise InputError(f"{source}: key `published`: needs a space of HuGaDB recordings")
    files: dict[str, Path] = {}
    for title, entry in spec.published.items():
        where = f"{source}: key `published.{title}.checkpoint`"
        if checkpoints is None:
            raise InputError(f"{where}: give the folder of {entry.checkpoint} with --checkpoints")
        files[title] = checkpoints / entry.checkpoint
        if not files[title].is_file():
            raise InputError(f"{where}: {files[title]}: no such file")
    return Comparison(spec, source, axes, files, _clips(spec, path))


def _clips(spec: ComparisonSpec, path: Path) -> tuple[ArchSpec, TrainRecipe, int] | None:
    if spec.clips is None:
        return None
    arch = load_spec(ArchSpec, path.parent / spec.clips.arch)
    if arch.family != "stgcn":
        raise InputError(
            f"{path}: key `clips.arch`: must be of family stgcn, which names whole clips, got"
            f" {arch.family}"
        )
    return arch, load_spec(TrainRecipe, path.parent / spec.clips.training), spec.clips.steps
