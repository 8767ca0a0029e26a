"""The accelerator as a user writes it down: engine, memories, bandwidth and energy table, in YAML.

An accelerator is one sequential engine that computes layer after layer, one frame in flight. Two
engines are known: `lanes` (multipliers side by side over output channels, one operand broadcast to
all) and `array` (a weight-stationary systolic array). Every number that stands for a real device or
a real process is cited in the file's `source` texts.
"""

from __future__ import annotations

from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from fxp.errors import InputError
from fxp.spec import Spec, load_spec

Positive = Annotated[int, Field(ge=1)]
Quantity = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Adjacency = Literal["dense", "sparse"]
Target = Literal["xc7", "xc7-nodsp", "xcup", "ice40", "osu018"]


def _pairs(table: Any) -> Any:
    return tuple(sorted(table.items())) if isinstance(table, dict) else table


def _monotone(table: tuple[tuple[int, float], ...]) -> tuple[tuple[int, float], ...]:
    for (size, pj), (larger, more) in pairwise(table):
        if larger <= size or more < pj:
            raise ValueError(f"entries must not fall: {more} pJ at {larger} after {pj} at {size}")
    return table


Table = Annotated[
    tuple[tuple[Positive, Quantity], ...],
    Field(min_length=1),
    BeforeValidator(_pairs),
    AfterValidator(_monotone),
]


class Lanes(Spec):
    """`lanes` multiply-accumulators over output channels; each cycle broadcasts one operand."""

    kind: Literal["lanes"]
    lanes: Positive


class Array(Spec):
    """Weight-stationary systolic array: `rows` over the summed index, `cols` over the outputs."""

    kind: Literal["array"]
    rows: Positive
    cols: Positive


class Packing(Spec):
    """A multiplier makes `products` at once while both operands stay within these widths.

    The products share the operand that the engine broadcasts.
    """

    max_weight_bits: Positive
    max_activation_bits: Positive
    products: Positive


class Multiplier(Spec):
    """Widest operands of one multiplier, and what narrower ones gain.

    Widths between the packing entries gain nothing in time; energy and memory follow every bit.
    """

    max_weight_bits: Positive
    max_activation_bits: Positive
    packing: tuple[Packing, ...] = ()

    def products(self, weight_bits: int, activation_bits: int) -> int:
        """Products that one multiplier makes per cycle at these widths."""
        gains = [
            entry.products
            for entry in self.packing
            if weight_bits <= entry.max_weight_bits and activation_bits <= entry.max_activation_bits
        ]
        return max(gains, default=1)


class OnChipMemory(Spec):
    """All memory on the chip: weights, state, activation buffers.

    `ports` words of `port_bits` can be read or written each cycle, over all memories together.
    `bank_bits` is the largest single memory that one access switches (energy); without it, each
    kind is one memory of its own size. `stream_buffer_bits` are kept free for bursts from DRAM.
    """

    capacity_bits: Positive
    ports: Positive
    port_bits: Positive
    bank_bits: Positive | None = None
    stream_buffer_bits: Annotated[int, Field(ge=0)] = 0


class Dram(Spec):
    """External memory; `latency_s` until the first word of a request comes."""

    bytes_per_s: Quantity
    latency_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class EnergyTable(Spec):
    """Energy in pJ per operation, each table monotone; `process` states technology and voltage.

    `multiply_pj` and `add_pj` by operand width in bits (both operands as wide), `sram_pj_per_bit`
    by memory size in bytes, read or written.
    """

    source: Annotated[str, Field(min_length=1)]
    process: Annotated[str, Field(min_length=1)]
    multiply_pj: Table
    add_pj: Table
    sram_pj_per_bit: Table
    dram_pj_per_bit: Quantity


def energy_tables() -> tuple[str, ...]:
    """Names of the energy tables that come with the toolkit, sorted."""
    return _names("presets/energy")


def _named_table(table: Any) -> Any:
    """A table by its name, or as it is written down."""
    if not isinstance(table, str):
        return table
    if table not in energy_tables():
        raise ValueError(f"must be a table, or the name of one: {', '.join(energy_tables())}")
    folder = resources.files("hw_model") / "presets" / "energy"
    with resources.as_file(folder / f"{table}.yaml") as file:
        return load_spec(EnergyTable, file)


class Resources(Spec):
    """What the device offers; with a `target`, an engine that needs more of one does not fit."""

    luts: Positive | None = None
    dsps: Positive | None = None
    bram36: Positive | None = None
    uram: Positive | None = None
    ebr: Positive | None = None


class Accelerator(Spec):
    """One accelerator (see the module's text).

    `adjacency` says whether the engine walks the edges of the graph or all joint pairs.
    `target` names the area model (docs/area.md). `deadline_s`, if given, bounds the latency of a
    frame.
    """

    name: Annotated[str, Field(min_length=1)]
    description: str
    source: Annotated[str, Field(min_length=1)]
    clock_hz: Quantity
    engine: Annotated[Lanes | Array, Field(discriminator="kind")]
    multiplier: Multiplier
    adjacency: Adjacency
    memory: OnChipMemory
    dram: Dram | None = None
    energy: Annotated[EnergyTable, BeforeValidator(_named_table)]
    target: Target | None = None
    resources: Resources = Resources()
    deadline_s: Quantity | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if isinstance(self.engine, Array):
            if self.adjacency == "sparse":
                raise ValueError("`adjacency` must be dense on an array engine (it skips no zeros)")
            if self.multiplier.packing:
                raise ValueError("`multiplier.packing` needs a lanes engine (a shared operand)")
            if self.target is not None:
                raise ValueError("`target` needs a lanes engine (area is that of its RTL)")
        if self.memory.stream_buffer_bits > self.memory.capacity_bits:
            raise ValueError("`memory.stream_buffer_bits` must not exceed `memory.capacity_bits`")
        return self


def preset_names() -> tuple[str, ...]:
    """Names of the accelerators that come with the toolkit, sorted."""
    return _names("presets")


def _names(folder: str) -> tuple[str, ...]:
    files = (resources.files("hw_model") / folder).iterdir()
    return tuple(sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml")))


def load_accelerator(name_or_path: str | Path) -> Accelerator:
    """The preset of that name, or the accelerator in a YAML file (a name ending in .yaml or .yml).

    Raises:
        InputError: unknown preset (the message lists them), or a file that breaks a rule.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        return load_spec(Accelerator, path)
    if str(name_or_path) not in preset_names():
        raise InputError(
            f"unknown accelerator {str(name_or_path)!r}, allowed: {', '.join(preset_names())}, "
            "or the path of a .yaml file"
        )
    with resources.as_file(resources.files("hw_model") / "presets" / f"{path}.yaml") as file:
        return load_spec(Accelerator, file)
