"""The engines that area models are fitted to, and those that they are tried on.

A fitted engine has the counters and addresses of one of a few networks and a datapath drawn by
chance, so that no width goes with another. Held-out engines have other widths and other numbers of
lanes; every second of them is that of a network as it stands. Every list is drawn from a fixed
seed, so that a longer one begins with a shorter one.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from fxp.spec import ArchSpec, QuantSpec
from hw_model.blueprint import blueprint, filled
from hw_model.ledger import published_arch
from hw_model.rtl.datapath import UNITS
from hw_model.rtl.design import Design, design_of
from hw_model.rtl.fields import Widths, pass_fields

FITTED, HELD_OUT = 28, 6
LARGE_LANES = 16
FITTED_BITS, HELD_OUT_BITS = (4, 6, 8, 12, 16), (5, 7, 9, 10, 14)
_FITTED_LANES, _HELD_OUT_LANES = (1, 2, 1, 2, 1, 4), (6, 3, 5, 4)
_SHIFTS = ((0, 0), (0, 8), (0, 16), (2, 10), (-3, 6), (0, 12))
_SMALL = ArchSpec(
    family="rtstgcn",
    skeleton="hugadb",
    in_channels=6,
    embedding=8,
    channels=(8, 16),
    window=(5,),
    classes=8,
)
_OTHER = _SMALL.model_copy(update={"family": "costgcn", "skeleton": "pkummd"})
_ARCHS = (_SMALL, _OTHER, _SMALL, published_arch("rtstgcn", 9), _OTHER, _SMALL)


@dataclass(frozen=True, slots=True)
class Point:
    """An engine to synthesise, or a unit of it alone: `top` is the module."""

    label: str
    design: Design
    held_out: bool
    top: str = "engine"


def points(
    fitted: int = FITTED, held_out: int = HELD_OUT, *, large: bool = False
) -> tuple[Point, ...]:
    """The first so many of each kind; `large` adds a held-out one of 16 lanes."""
    rng, other = random.Random(1), random.Random(2)
    found = [_drawn(rng, at, FITTED_BITS, _FITTED_LANES, held_out=False) for at in range(fitted)]
    for at in range(held_out):
        if at % 2:
            found.append(_network(other, at, HELD_OUT_BITS, _HELD_OUT_LANES))
        else:
            found.append(_drawn(other, at, HELD_OUT_BITS, _HELD_OUT_LANES, held_out=True))
    if large:
        rng = random.Random(2)
        found.append(_drawn(rng, 0, HELD_OUT_BITS, (LARGE_LANES,), held_out=True))
    return tuple(found)


def _network(rng: random.Random, at: int, widths: Sequence[int], lanes: Sequence[int]) -> Point:
    """A network's own engine."""
    weight, operand, n = rng.choice(widths), rng.choice(widths), lanes[at % len(lanes)]
    quant = QuantSpec(weight_bits=weight, activation_bits=operand)
    arch = _ARCHS[at % len(_ARCHS)]
    label = f"{arch.family} {arch.skeleton} w{weight}a{operand}, {n} lanes"
    paired = n % 2 == 0
    label += " in pairs" if paired else ""
    graph = filled(blueprint(arch, quant, label))
    return Point(label, design_of(graph, n, paired=paired), held_out=True)


def _drawn(
    rng: random.Random, at: int, widths: Sequence[int], lanes: Sequence[int], *, held_out: bool
) -> Point:
    x, w, n = widths[at % len(widths)], rng.choice(widths), lanes[at % len(lanes)]
    base = design_of(filled(blueprint(_ARCHS[at % len(_ARCHS)], QuantSpec())), n)
    paired = n % 2 == 0 and (held_out or rng.random() < 0.5)
    datapath = _datapath(rng, x, w, paired=paired)
    values = tuple((datapath["EMIT_BITS"], lines) for _, lines in base.values)
    if rng.random() < 0.3:
        values += values[:1]
    design = _changed(base, datapath, values)
    kind = "drawn, held out" if held_out else "drawn"
    pairs = " in pairs" if paired else ""
    return Point(f"{kind} {at}: x{x} w{w}, {n} lanes{pairs}", design, held_out)


def _datapath(rng: random.Random, x: int, w: int, *, paired: bool) -> dict[str, int]:
    """Widths that go together, as parameters of the engine."""
    acc = x + w + rng.randint(2, 9)
    most = min(x, w) - 1
    step, digits = (rng.randint(max(1, most - 2), most), rng.randint(1, 3)) if most else (0, 1)
    has_digits = rng.random() < 0.6 and step > 0
    behind = acc if rng.random() < 0.6 else max(acc - rng.randint(2, 8), x + 2)
    has_shift, has_cast1 = rng.random() < 0.4, rng.random() < 0.4
    shifted = behind + (rng.randint(1, 6) if has_shift else 0)
    last = shifted if not has_cast1 else max(x + 2, shifted - rng.randint(0, 6))
    emit = min(last, x + rng.choice((0, 2, 4, 8)))
    found = {
        "X_BITS": x,
        "W_BITS": w,
        "MULT_W_BITS": w + rng.choice((0, 0, 0, 2)),
        "PAIRED": int(paired),
        "HAS_DIGITS": int(has_digits),
        "TURNS": rng.randint(2, 12) if has_digits else 1,
        "OPERAND_DIGITS": digits if has_digits else 1,
        "DIGIT_BITS": max(1, (digits - 1).bit_length()) if has_digits else 1,
        "WEIGHT_STEP": step if has_digits else 0,
        "OPERAND_STEP": (x - 1) // step * step if has_digits else 0,
        "READ_BITS": max(emit, x),
        "BIAS_BITS": min(acc, rng.choice((12, 16, 20))),
        "NORM_BITS": min(shifted, rng.choice((12, 16))),
        "ACC_BITS": acc,
        "CAST0_BITS": behind,
        "FIFO_BITS": x,
        "TOTAL_BITS": min(behind, x + rng.randint(1, 5)),
        "SUM_BITS": behind,
        "SHIFT_BITS": shifted,
        "CAST1_BITS": last,
        "ADD_BITS": last + 1,
        "EMIT_BITS": emit,
        "HAS_CAST0": 1,
        "HAS_SUM": int(rng.random() < 0.8),
        "HAS_SHIFT": int(has_shift),
        "HAS_CAST1": int(has_cast1),
        "HAS_ADD": int(rng.random() < 0.8),
        "HAS_TILES": int(rng.random() < 0.3),
        "TILE_BITS": rng.choice((6, 8, 10)),
        "FETCH_BITS": rng.choice((10, 14, 18)),
    }
    if not found["HAS_TILES"]:
        found |= {"TILE_BITS": 1, "FETCH_BITS": 1}
    for cast in ("CAST0", "CAST1", "EMIT"):
        found[f"{cast}_MIN"], found[f"{cast}_MAX"] = rng.choice(_SHIFTS)
    return found


def _changed(
    design: Design, parameters: Mapping[str, int], values: tuple[tuple[int, int], ...]
) -> Design:
    """The engine with other parameters and memories of values, its instruction to match."""
    changed = {**design.parameters, **parameters, "VALUES": len(values)}
    changed["MEMORY_BITS"] = (len(values) - 1).bit_length()
    others = {"turns": changed["TURNS"], "values": len(values)}
    units = {name: changed[name] for name in UNITS}
    counters = {field.name for field in fields(Widths)} - others.keys() - {"units", "paired"}
    counted = {name: changed[f"{name.upper()}_BITS"] for name in counters}
    widths = Widths(**counted, **others, units=units, paired=bool(changed["PAIRED"]))
    instruction = pass_fields(widths)
    changed["PASS_BITS"] = sum(field.bits for field in instruction)
    lines = [changed["LANES"] * changed[f"{name}_BITS"] for name in ("W", "BIAS", "NORM")]
    changed["BOOT_BITS"] = max(changed["PASS_BITS"], changed["EDGE_BITS"], *lines)
    return replace(design, parameters=changed, values=values, fields=instruction)
