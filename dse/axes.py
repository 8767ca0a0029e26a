"""A space file read, checked and expanded: the networks, settings and accelerators along its axes.

`load_space` tries every value of every axis before anything runs; an error is one line naming the
file, the key and the rule.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dse.metrics import Metric, metrics_of
from dse.quants import Quant, expand_quants
from dse.space import HugadbData, NamedNetwork, NetworkSection, PerLayer, Space
from fxp.errors import InputError
from fxp.spec import ArchSpec, SpecT, load_spec, parse_spec
from hw_model.accelerator import Accelerator, load_accelerator
from stgcn_ref.datasets.clips import MERGES
from stgcn_ref.recipe import TrainRecipe

Operator = Literal["<=", ">=", "<", ">"]

_CONSTRAINT = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*(\S+)\s*")


@dataclass(frozen=True)
class Network:
    """One float topology of the space; `params` are its columns in results.

    `recipe` is how it is trained; None where weights are zero.
    """

    arch: ArchSpec
    params: Mapping[str, Any]
    recipe: TrainRecipe | None


@dataclass(frozen=True)
class Constraint:
    """`metric operator limit`, in the metric's unit."""

    metric: str
    operator: Operator
    limit: float

    def holds(self, value: float) -> bool:
        """Whether a measured value satisfies it."""
        match self.operator:
            case "<=":
                return value <= self.limit
            case ">=":
                return value >= self.limit
            case "<":
                return value < self.limit
            case ">":
                return value > self.limit

    def __str__(self) -> str:
        """As it is written in a space file."""
        return f"{self.metric} {self.operator} {self.limit:g}"


@dataclass(frozen=True)
class Axes:
    """A checked space, expanded: the values along each of its axes."""

    space: Space
    source: str
    name: str
    networks: tuple[Network, ...]
    quants: tuple[Quant, ...]
    accelerators: tuple[Accelerator, ...]
    constraints: tuple[Constraint, ...]
    metrics: Mapping[str, Metric]

    @property
    def size(self) -> int:
        """Points of the whole grid."""
        seeds = len(self.space.seeds) if self.space.training else 1
        return len(self.networks) * seeds * len(self.quants) * len(self.accelerators)


def load_space(path: Path) -> Axes:
    """Read and expand a space file.

    Raises:
        InputError: one line naming the file, the key and the rule of the first violation.
    """
    space = load_spec(Space, path)
    source = str(path)
    if (space.data is None) != (space.training is None):
        raise InputError(
            f"{source}: `data` and `training` go together: give both, or `training: null` and no"
            " `data` to explore cost alone"
        )
    merges = tuple(MERGES) if isinstance(space.data, HugadbData) else ()
    metrics = metrics_of(trained=space.training is not None, merges=merges)
    networks = tuple(_networks(space, path))
    _check_families(networks, source)
    _check_trainings(space, source)
    axes = Axes(
        space,
        source,
        space.name or path.stem,
        networks,
        tuple(expand_quants(space.quant, [n.arch for n in networks], path)),
        accelerators_of(space.accelerators, path),
        tuple(constraint_of(text, metrics, source) for text in space.constraints),
        metrics,
    )
    for metric in space.objectives:
        _known_metric(metric, metrics, f"{source}: key `objectives`")
    sampling = space.sampling
    if (sampling.kind == "random") != (sampling.count is not None):
        raise InputError(f"{source}: key `sampling.count`: needed for random sampling, only there")
    if sampling.count is not None and sampling.count > axes.size:
        raise InputError(
            f"{source}: key `sampling.count`: {sampling.count} of {axes.size} points of the grid"
        )
    return axes


def _networks(space: Space, path: Path) -> Iterator[Network]:
    if space.network is not None:
        for arch, plan in _swept(space.network, str(path)):
            window, dilation = _times(arch)
            model = f"Γ{window}{'' if dilation == '1' else f' δ{dilation}'} {plan}"
            yield Network(arch, _columns(arch, plan, model), space.training)
    for title, network in space.networks.items():
        yield _named(title, network, space, path)


def _check_families(networks: Sequence[Network], source: str) -> None:
    for network in networks:
        if network.recipe is not None and network.arch.family == "stgcn":
            raise InputError(
                f"{source}: network {network.params['model']}: family stgcn names whole clips, and"
                " recordings need a label for every frame; its frame-wise form is family costgcn"
                " without `embedding`"
            )


def _check_trainings(space: Space, source: str) -> None:
    if space.training is None and any("training" in m for m in space.quant.methods.values()):
        raise InputError(f"{source}: key `quant.methods`: `training` of this space is null")


def _swept(section: NetworkSection, source: str) -> Iterator[tuple[ArchSpec, str]]:
    """Architectures along the axes, each with the name of its channel plan."""
    for key in ("channels", "window", "dilation"):
        if key in section.base:
            raise InputError(f"{source}: key `network.base.{key}`: give it as `network.{key}`")
    for plan, depth, window, dilation in itertools.product(
        section.channels, section.depth or (None,), section.window, section.dilation
    ):
        channels = section.channels[plan]
        if depth is not None and depth > len(channels):
            raise InputError(
                f"{source}: key `network.depth`: {depth} layers of plan `{plan}`, which has"
                f" {len(channels)}"
            )
        swept = {"channels": channels[:depth], "window": window, "dilation": dilation}
        where = f"{source}: network (plan `{plan}`, window {_short(window)})"
        yield parse_spec(ArchSpec, {**section.base, **swept}, where), plan


def _named(title: str, network: NamedNetwork, space: Space, path: Path) -> Network:
    where = f"{path}: key `networks.{title}"
    arch = _part(ArchSpec, network.arch, path, f"{where}.arch`")
    recipe = space.training
    if network.training is not None:
        if recipe is None:
            raise InputError(f"{where}.training`: `training` of this space is null")
        recipe = _part(TrainRecipe, network.training, path, f"{where}.training`")
    return Network(arch, _columns(arch, title, title), recipe)


def _part(model: type[SpecT], given: str | dict[str, Any], path: Path, where: str) -> SpecT:
    """A mapping, or the file it names."""
    if isinstance(given, str):
        return load_spec(model, path.parent / given)
    return parse_spec(model, given, where)


def _columns(arch: ArchSpec, plan: str, model: str) -> dict[str, Any]:
    window, dilation = _times(arch)
    return {
        "model": model,
        "family": arch.family,
        "plan": plan,
        "channels": _short(arch.channels),
        "depth": len(arch.channels),
        "window": window,
        "dilation": dilation,
    }


def _times(arch: ArchSpec) -> tuple[str, str]:
    """Window and dilation, one number where all layers have the same."""
    window, dilation = (
        _short(values if len(set(values)) > 1 else values[0])
        for values in (arch.window, arch.dilation)
    )
    return window, dilation


def accelerators_of(entries: Sequence[str], path: Path) -> tuple[Accelerator, ...]:
    """Presets by name, files by their path from the folder of the space file `path`.

    Raises:
        InputError: an unknown preset, a file that breaks a rule, or two of one name.
    """
    found: list[Accelerator] = []
    for index, entry in enumerate(entries):
        is_file = Path(entry).suffix in (".yaml", ".yml")
        try:
            accelerator = load_accelerator(path.parent / entry if is_file else entry)
        except InputError as error:
            raise InputError(f"{path}: key `accelerators.{index}`: {error}") from None
        if any(other.name == accelerator.name for other in found):
            raise InputError(
                f"{path}: key `accelerators.{index}`: a second accelerator named"
                f" {accelerator.name!r}"
            )
        found.append(accelerator)
    return tuple(found)


def constraint_of(text: str, metrics: Collection[str], source: str) -> Constraint:
    """A constraint as it is written in the space file `source`, on one of these metrics.

    Raises:
        InputError: it is none, or names another metric.
    """
    where = f"{source}: key `constraints`"
    match = _CONSTRAINT.fullmatch(text)
    if match is None:
        raise InputError(f"{where}: must be `metric <= value` (or >=, <, >), got {text!r}")
    metric, operator, limit = match.groups()
    _known_metric(metric, metrics, where)
    try:
        value = float(limit)
    except ValueError:
        raise InputError(f"{where}: {limit!r} is not a number in {text!r}") from None
    if value != value:
        raise InputError(f"{where}: the limit must be a number, got {text!r}")
    return Constraint(metric, operator, value)  # type: ignore[arg-type]  # the pattern allows no other


def _known_metric(metric: str, metrics: Collection[str], where: str) -> None:
    if metric not in metrics:
        raise InputError(f"{where}: unknown metric {metric!r} (allowed: {', '.join(metrics)})")


def _short(value: PerLayer) -> str:
    return str(value) if isinstance(value, int) else "-".join(map(str, value))
