"""The design space as a user writes it down, in YAML: the shape of the file.

A space has a data section and a training recipe (or neither: then it prices networks of zero
weights and measures no accuracy), a network with swept axes or a list of named networks,
quantisation settings, accelerators, objectives, constraints and a sampling. `dse.axes` expands and
checks the values along each axis.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from dse.pareto import Direction
from fxp.spec import Positive, Spec
from stgcn_ref.datasets.synthetic import SyntheticSpec
from stgcn_ref.preparation import PreparationSpec
from stgcn_ref.recipe import TrainRecipe

PerLayer = Positive | tuple[Positive, ...]
Name = Annotated[str, Field(pattern=r"^[\w.+-]{1,24}$")]  # stands in tables and figures
Title = Annotated[str, Field(pattern=r"^[\w .,+-]{1,40}$")]
Subjects = Annotated[tuple[int, ...], Field(min_length=1)]
Points = Annotated[float, Field(ge=0)]


class DataSplit(Spec):
    """What every data section has: a preparation, and participants by side.

    Epochs are chosen on those of `valid`. Scores are of those of `test`, whom nothing was chosen
    on; without them of `valid`, and optimistic by as much as the choice gained there.
    """

    preparation: PreparationSpec = PreparationSpec()
    train: Subjects
    valid: Subjects
    test: Subjects | None = None


class SyntheticData(DataSplit):
    """Generated recordings; everything reported on them says so."""

    kind: Literal["synthetic"]
    generator: SyntheticSpec = SyntheticSpec()


class HugadbData(DataSplit):
    """HuGaDB, from the folder given by `--data`."""

    kind: Literal["hugadb"]
    labels: Literal["v1", "v2"] = "v2"


class NetworkSection(Spec):
    """A base network and the axes swept over it.

    `base` holds the `ArchSpec` keys that stay fixed. `channels` are named channel plans; `depth`
    keeps the first so many layers of each (default: all). A window or dilation is one number for
    all layers or a list of one per layer.
    """

    base: dict[str, Any]
    channels: dict[Name, tuple[Positive, ...]] = Field(min_length=1)
    window: tuple[PerLayer, ...] = Field(min_length=1)
    dilation: tuple[PerLayer, ...] = Field(default=(1,), min_length=1)
    depth: tuple[Positive, ...] = ()


class NamedNetwork(Spec):
    """A network written out: its architecture, and its own training recipe where it has one.

    Both are mappings, or names of YAML files seen from the space file's folder.
    """

    arch: str | dict[str, Any]
    training: str | dict[str, Any] | None = None


class Budget(Spec):
    """How much an integer network may lose to its float network, in points, and must agree (%)."""

    frame_accuracy: Points | None = None
    f1_50: Points | None = None
    argmax_agreement: Annotated[float, Field(ge=0, le=100)] | None = None


class QuantSection(Spec):
    """Quantisation settings: a base, then `designs` (fragments) times `axes` (key: values).

    Keys are those of `QuantSpec`, per-layer overrides (`layers`) included. A design may have a
    `name` to be called by in tables and figures instead of its widths, and a `budget` that
    `python -m dse losses` holds it against. Where there are `methods` (fragments too, by name),
    every design is made by each of them; one may have a `training`, a `QatRecipe` or a YAML file of
    one seen from the space file's folder: its integer networks are trained.
    """

    base: dict[str, Any] = Field(default_factory=dict)
    designs: tuple[dict[str, Any], ...] = Field(default=({},), min_length=1)
    axes: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(default_factory=dict)
    methods: dict[Name, dict[str, Any]] = Field(default_factory=dict)


class Sampling(Spec):
    """Every point of the grid, or `count` of them drawn at random without repetition."""

    kind: Literal["grid", "random"] = "grid"
    count: Positive | None = None
    seed: int = 0


class Space(Spec):
    """A whole space file."""

    name: Annotated[str, Field(pattern=r"^[\w .+-]{1,80}$")] | None = None
    data: Annotated[SyntheticData | HugadbData, Field(discriminator="kind")] | None = None
    network: NetworkSection | None = None
    networks: dict[Title, NamedNetwork] = Field(default_factory=dict)
    training: TrainRecipe | None
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] = Field(default=(0,), min_length=1)
    quant: QuantSection = QuantSection()
    accelerators: tuple[str, ...] = Field(min_length=1)
    objectives: dict[str, Direction] = Field(min_length=1)
    constraints: tuple[str, ...] = ()
    sampling: Sampling = Sampling()

    @field_validator("seeds", "accelerators")
    @classmethod
    def _once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) != len(values):
            raise ValueError("an entry is there twice")
        return values

    @model_validator(mode="after")
    def _one_kind_of_networks(self) -> Self:
        if (self.network is None) == (not self.networks):
            raise ValueError("`network` (swept axes) or `networks` (by name) is needed, not both")
        return self
