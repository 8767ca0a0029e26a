"""The quantisation settings of a space: every design by every method, along every axis."""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dse.space import Budget, QuantSection
from fxp.calibrate import nominal_formats
from fxp.errors import InputError
from fxp.ir import layer_of
from fxp.outline import outline
from fxp.spec import ArchSpec, QuantSpec, Repair, load_spec, parse_spec
from stgcn_ref.qat.recipe import QatRecipe

_OWN = ("name", "budget", "training")  # keys of a design or a method that are no `QuantSpec`'s


@dataclass(frozen=True)
class Quant:
    """One quantisation setting; `label` names it in tables and figures.

    `width` and `method` are its design's and its method's part of the label. With a `training` the
    integer network is trained.
    """

    label: str
    spec: QuantSpec
    width: str
    method: str = ""
    training: QatRecipe | None = None
    budget: Budget | None = None


@dataclass(frozen=True)
class _Method:
    name: str
    fragment: Mapping[str, Any]
    training: QatRecipe | None


def expand_quants(section: QuantSection, archs: Sequence[ArchSpec], path: Path) -> Iterator[Quant]:
    """The settings of a section, in the order designs, axes, methods.

    Raises:
        InputError: one line naming the file, the key and the rule of the first violation.
    """
    source = str(path)
    base = parse_spec(QuantSpec, section.base, f"{source}: quant.base")
    for key in section.axes:
        if key not in QuantSpec.model_fields:
            allowed = ", ".join(QuantSpec.model_fields)
            raise InputError(f"{source}: key `quant.axes.{key}` is unknown (allowed: {allowed})")
    methods = list(_methods(section, path)) or [_Method("", {}, None)]
    seen: dict[str, tuple[QuantSpec, QatRecipe | None]] = {}
    for index, design in enumerate(section.designs):
        where = f"{source}: quant.designs.{index}"
        fragment, name, budget = _design(design, where)
        points = itertools.product(*section.axes.values())
        for values, method in itertools.product(points, methods):
            point = dict(zip(section.axes, values, strict=True))
            here = _named(where, point, method.name)
            content = {**section.base, **fragment, **point, **method.fragment}
            spec = parse_spec(QuantSpec, content, here)
            if spec.layers:
                _check_layers(spec, archs, here)
            plain = parse_spec(QuantSpec, {**section.base, **fragment, **point}, here)
            width = name or quant_label(plain, base)
            if name and point:
                width += f" {quant_label(plain, base)}"
            label = f"{width} {method.name}".rstrip()
            if (spec, method.training) in seen.values():
                raise InputError(f"{here}: the same setting as another one ({label})")
            if label in seen:
                raise InputError(f"{here}: a second setting named {label!r}")
            seen[label] = spec, method.training
            yield Quant(label, spec, width, method.name, method.training, budget)


def _named(where: str, point: Mapping[str, Any], method: str) -> str:
    parts = [f"{key} {value}" for key, value in point.items()]
    parts += [f"method {method}"] if method else []
    return f"{where} with {', '.join(parts)}" if parts else where


def _design(design: Mapping[str, Any], where: str) -> tuple[dict[str, Any], str, Budget | None]:
    """What a design says of `QuantSpec`, its name and its budget."""
    name = design.get("name", "")
    if not isinstance(name, str) or not re.fullmatch(r"[\w.+-]{0,24}", name):
        raise InputError(f"{where}: `name` must be up to 24 letters, digits or _.+-, got {name!r}")
    if "training" in design:
        raise InputError(f"{where}: `training` is a key of `quant.methods`")
    given = design.get("budget")
    budget = None if given is None else parse_spec(Budget, given, f"{where}: budget")
    return {key: value for key, value in design.items() if key not in _OWN}, name, budget


def _methods(section: QuantSection, path: Path) -> Iterator[_Method]:
    for name, content in section.methods.items():
        where = f"{path}: quant.methods.{name}"
        for key in ("name", "budget"):
            if key in content:
                raise InputError(f"{where}: `{key}` is a key of `quant.designs`")
        given = content.get("training")
        recipe = None
        if isinstance(given, str):
            recipe = load_spec(QatRecipe, path.parent / given)
        elif given is not None:
            recipe = parse_spec(QatRecipe, given, f"{where}: training")
        fragment = {key: value for key, value in content.items() if key not in _OWN}
        yield _Method(name, fragment, recipe)


def _check_layers(spec: QuantSpec, archs: Sequence[ArchSpec], where: str) -> None:
    """Overrides must name layers of one network at least; others may be too shallow for them."""
    reason = ""
    for arch in {len(arch.channels): arch for arch in archs}.values():
        try:
            nominal_formats(arch, spec)
        except InputError as error:
            reason = str(error)
        else:
            return
    raise InputError(f"{where}: {reason}")


def for_layers(spec: QuantSpec, arch: ArchSpec) -> QuantSpec:
    """The setting without the overrides that match no layer of this network.

    Networks listed by name have layers of different kinds, and one setting serves them all.
    """
    layers = {layer_of(node.name) for node in outline(arch).nodes}
    kept = {
        pattern: over
        for pattern, over in spec.layers.items()
        if any(fnmatch.fnmatchcase(layer, pattern) for layer in layers)
    }
    return spec.model_copy(update={"layers": kept})


def quant_label(spec: QuantSpec, base: QuantSpec) -> str:
    """A short name: widths always, other keys where they differ from the base's.

    `w8a8` is 8-bit weights and operands, `w8a8s12` has a 12-bit residual stream.
    """
    stream = spec.stream_bits or spec.activation_bits
    label = f"w{spec.weight_bits}a{spec.activation_bits}"
    if stream != spec.activation_bits:
        label += f"s{stream}"
    for key in QuantSpec.model_fields:
        if key in ("weight_bits", "activation_bits", "stream_bits", "layers", "repair"):
            continue
        if (value := getattr(spec, key)) != getattr(base, key):
            name = "" if isinstance(value, str) else key.removesuffix("_bits")
            label += f" {name}{value}"
    if spec.repair != base.repair:
        label += f" {repair_label(spec.repair)}"
    for layer, over in spec.layers.items() if spec.layers != base.layers else ():
        given = over.model_dump(exclude_none=True)
        label += f" {layer}:" + "".join(f"{key[0]}{bits}" for key, bits in given.items())
    return label


def repair_label(repair: Repair) -> str:
    """`equalise+search1+gptq+bias` and the like, `plain` for none."""
    parts = {
        "equalise": repair.equalise,
        f"search{repair.search}": repair.search > 0,
        repair.rounding: repair.rounding != "nearest",
        "bias": repair.bias,
        "best": repair.choose,
        "+".join(rounding.value.lower() for rounding in repair.cast_roundings): True,
        _widths_label(repair): bool(repair.accumulators),
    }
    return "+".join(name for name, there in parts.items() if name and there) or "plain"


def _widths_label(repair: Repair) -> str:
    """`acc16`, or `acc[block*:16]` for those of single layers."""
    if set(repair.accumulators) == {"*"}:
        return f"acc{repair.accumulators['*']}"
    return f"acc[{','.join(f'{layer}:{bits}' for layer, bits in repair.accumulators.items())}]"
