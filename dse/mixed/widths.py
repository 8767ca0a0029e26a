"""A design of mixed precision: the width of each part, and the `QuantSpec` that says the same.

A *part* is a kind of words of a layer: its weights, its operands, or its stream. Parts of a kind
that a layer does not have are none: a width that changes no format of the network is no choice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import product
from typing import Literal, NamedTuple, get_args

from dse.mixed.recipe import MixRecipe
from fxp.calibrate import nominal_formats
from fxp.ir import layer_of
from fxp.outline import outline
from fxp.spec import ArchSpec, LayerBits, QuantSpec

Kind = Literal["weights", "operands", "stream"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FIELDS: Mapping[Kind, str] = {
    "weights": "weight_bits",
    "operands": "activation_bits",
    "stream": "stream_bits",
}


class Part(NamedTuple):
    """Words of one kind of one layer."""

    layer: str
    kind: Kind

    def __str__(self) -> str:
        return f"{self.layer}.{self.kind}"


Design = Mapping[Part, int]  # bits, of every part


def allowed(recipe: MixRecipe, kind: Kind) -> tuple[int, ...]:
    """The widths of a kind, rising."""
    return {"weights": recipe.weights, "operands": recipe.operands, "stream": recipe.streams}[kind]


def parts_of(arch: ArchSpec, base: QuantSpec, recipe: MixRecipe) -> tuple[Part, ...]:
    """The parts whose width is to be chosen, in the order of the network.

    A width that `base.layers` states for a layer stays as it is stated: that part is none.

    Raises:
        InputError: an entry of `base.layers` matches no layer of the network.
    """
    layers = dict.fromkeys(layer_of(node.name) for node in outline(arch).nodes)
    open_parts = [
        Part(layer, kind)
        for layer, kind in product(layers, KINDS)
        if not _stated(base, layer, kind)
    ]
    whole = widest(open_parts, recipe)
    formats = nominal_formats(arch, spec_of(base, whole))
    found = []
    for part in open_parts:
        narrow = changed(whole, (part, allowed(recipe, part.kind)[0]))
        other = nominal_formats(arch, spec_of(base, narrow))
        if (other.casts, other.weights) != (formats.casts, formats.weights):
            found.append(part)
    return tuple(found)


def uniform_designs(
    parts: Sequence[Part], recipe: MixRecipe, counts: frozenset[Kind]
) -> list[Design]:
    """Every design with one width a kind, streams no narrower than operands.

    Kinds that do not count (narrowing them saves nothing) are at their widest.
    """
    choices = [
        allowed(recipe, kind) if kind in counts else allowed(recipe, kind)[-1:] for kind in KINDS
    ]
    found: list[Design] = []
    for bits in product(*choices):
        of_kind = dict(zip(KINDS, bits, strict=True))
        if of_kind["stream"] >= of_kind["operands"]:
            found.append({part: of_kind[part.kind] for part in parts})
    return found


def widest(parts: Sequence[Part], recipe: MixRecipe) -> Design:
    """Every part at the most bits it may have."""
    return {part: allowed(recipe, part.kind)[-1] for part in parts}


def spec_of(base: QuantSpec, design: Design) -> QuantSpec:
    """The base with the widths of a design: the most frequent of a kind for all, others by layer.

    Entries of `base.layers` stay, and win.
    """
    common: dict[Kind, int] = {}
    for kind in KINDS:
        bits = Counter(width for part, width in design.items() if part.kind == kind)
        if bits:
            common[kind] = min(bits, key=lambda width: (-bits[width], width))
    layers: dict[str, dict[str, int]] = {}
    for part, width in design.items():
        if width != common[part.kind]:
            layers.setdefault(part.layer, {})[FIELDS[part.kind]] = width
    for pattern, over in base.layers.items():
        own = layers.pop(pattern, {})  # a key that is there keeps its place: put it last
        layers[pattern] = own | over.model_dump(exclude_none=True)
    entries = {name: LayerBits.model_validate(bits) for name, bits in layers.items()}
    return _whole(base, common).model_copy(update={"layers": entries})


def design_name(design: Design) -> str:
    """One text per design, the same for the same widths: `block0.weights=4 ...`."""
    return " ".join(f"{part}={width}" for part, width in sorted(design.items()))


def as_layers(design: Design) -> dict[str, dict[str, int]]:
    """Bits by layer and kind, JSON data."""
    found: dict[str, dict[str, int]] = {}
    for part, width in design.items():
        found.setdefault(part.layer, {})[part.kind] = width
    return found


def changed(design: Design, *moves: tuple[Part, int]) -> Design:
    """The design with other widths of some parts."""
    return {**design, **dict(moves)}


def _whole(base: QuantSpec, bits: Mapping[Kind, int]) -> QuantSpec:
    update = {FIELDS[kind]: width for kind, width in bits.items()}
    return base.model_copy(update=update)


def _stated(base: QuantSpec, layer: str, kind: Kind) -> bool:
    return any(
        getattr(over, FIELDS[kind]) is not None and fnmatchcase(layer, pattern)
        for pattern, over in base.layers.items()
    )
