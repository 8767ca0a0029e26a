"""Estimates and counts as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from hw_model.accelerator import Accelerator, Array, Lanes
from hw_model.area.estimate import Area
from hw_model.area.unit_terms import UNIT_NAMES
from hw_model.cost import Estimate
from hw_model.geometry import Blocks
from hw_model.ledger import CONVENTIONS, Figure

_BREAKDOWN = ("weights", "fifo", "accumulators", "delays", "activations", "total")


def print_estimate(cost: Estimate, console: Console) -> None:
    """Everything about one estimate: totals, memory, energy, layers, what does not fit."""
    console.print(_totals(cost), _memory(cost), _energy(cost), _layers(cost))
    if cost.area is not None:
        console.print(_area(cost.area), _blocks(cost.area))
    for reason in cost.reasons:
        console.print(f"does not fit: {reason}", markup=False, soft_wrap=True)


def print_presets(accelerators: Sequence[Accelerator], console: Console) -> None:
    """One row per accelerator, then what each stands for."""
    table = Table("accelerator", "engine", "clock", "on chip", "DRAM", "adjacency")
    for acc in accelerators:
        match acc.engine:
            case Lanes(lanes=lanes):
                engine = f"{lanes} lanes"
            case Array(rows=rows, cols=cols):
                engine = f"{rows} x {cols} array"
        dram = f"{acc.dram.bytes_per_s / 1e9:g} GB/s" if acc.dram else "none"
        chip = f"{acc.memory.capacity_bits / 8e6:.2f} MB"
        table.add_row(acc.name, engine, f"{acc.clock_hz / 1e6:g} MHz", chip, dram, acc.adjacency)
    console.print(table)
    for acc in accelerators:
        console.print(f"{acc.name}: {acc.description}", markup=False, soft_wrap=True)


def print_figures(figures: Sequence[Figure], console: Console) -> None:
    """Ours beside the published figures, then what each convention counts."""
    table = Table("network", "counted", "convention", title="ours and published")
    for heading in ("ours", "published"):
        table.add_column(heading, justify="right")
    table.add_column("agrees")
    for row in figures:
        verdict = row.agreement if row.agrees else "NO"
        table.add_row(
            row.network, row.quantity, row.convention, f"{row.ours:,}", row.printed, verdict
        )
    console.print(table)
    for name, text in CONVENTIONS.items():
        console.print(f"{name}: {text}.", markup=False, soft_wrap=True)


def _totals(cost: Estimate) -> Table:
    table = Table(title=f"{cost.network} on {cost.accelerator}", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    per_frame = f"{cost.interval_cycles:,} cycles, {cost.throughput_hz:,.1f} frames/s"
    rows = {
        f"MACs ({cost.adjacency} adjacency)": f"{cost.macs:,}",
        "MACs dense / sparse": f"{cost.macs_dense:,} / {cost.macs_sparse:,}",
        "multiplications / additions": f"{cost.multiplications:,} / {cost.additions:,}",
        "interval": per_frame,
        "latency": f"{cost.latency_cycles:,} cycles, {cost.latency_s * 1e3:,.4g} ms",
        "lookahead": f"{cost.lookahead_frames} frames"
        + ("" if cost.lookahead_s is None else f", {cost.lookahead_s:.4g} s"),
        "multipliers at work": f"{cost.utilisation:.1%}",
        "on chip": f"{cost.on_chip_bits:,} of {cost.capacity_bits:,} bits",
        "DRAM traffic": f"{cost.dram_bytes:,.0f} bytes per frame",
        "energy": f"{cost.energy_uj:,.4g} µJ per frame",
        "fits": "yes" if cost.fits else "no",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _memory(cost: Estimate) -> Table:
    table = Table("memory")
    for heading in ("words", "bits"):
        table.add_column(heading, justify="right")
    for kind in _BREAKDOWN:
        size = getattr(cost.memory, kind)
        table.add_row(kind, f"{size.words:,}", f"{size.bits:,}")
    return table


def _energy(cost: Estimate) -> Table:
    table = Table("energy")
    table.add_column("µJ per frame", justify="right")
    energy = cost.energy
    rows = {
        "multiplications": energy.multiply_pj,
        "additions": energy.add_pj,
        "weight memory": energy.weights_pj,
        "state memory": energy.state_pj,
        "activation memory": energy.activations_pj,
        "DRAM": energy.dram_pj,
    }
    for name, value in rows.items():
        table.add_row(name, f"{value * 1e-6:,.4g}")
    return table


def _area(area: Area) -> Table:
    """Logic, with its errors on engines that the model was not fitted to; units' share of it."""
    table = Table(f"area on {area.target}")
    for heading in ("estimate", "mean error", "worst"):
        table.add_column(heading, justify="right")
    figures = {
        "LUTs of logic": area.luts,
        "registers of logic": area.ffs,
        "NAND2 equivalents": area.nand2,
    }
    for unit in area.units:
        figures[f"{UNIT_NAMES[unit.unit]}: LUTs"] = unit.luts
        figures[f"{UNIT_NAMES[unit.unit]}: registers"] = unit.ffs
        figures[f"{UNIT_NAMES[unit.unit]}: NAND2"] = unit.nand2
    for name, figure in figures.items():
        if figure is not None:
            errors = (f"{figure.mean_error:.1f} %", f"{figure.worst_error:.1f} %")
            table.add_row(name, f"{figure.value:,}", *errors)
    if area.luts is not None:
        counts = {"LUTs as memory": area.blocks.lutram_luts, "DSPs": area.dsps}
        for name, count in counts.items():
            table.add_row(name, f"{count:,}", "", "")
    return table


def _blocks(area: Area) -> Table:
    table = Table("memory on the chip")
    for heading in ("lines", "bits a line", "blocks"):
        table.add_column(heading, justify="right")
    for memory in area.memories:
        blocks = block_text(memory.blocks)
        table.add_row(memory.name, f"{memory.lines:,}", f"{memory.line_bits:,}", blocks)
    table.add_row("all", "", "", block_text(area.blocks))
    return table


def block_text(blocks: Blocks) -> str:
    """The blocks that are there, by name."""
    names = {
        "BRAM36": blocks.bram36,
        "BRAM18": blocks.bram18,
        "URAM": blocks.uram,
        "EBR": blocks.ebr,
        "LUT": blocks.lutram_luts,
        "bits in registers": blocks.register_bits,
    }
    return ", ".join(f"{count:,} {name}" for name, count in names.items() if count)


def _layers(cost: Estimate) -> Table:
    table = Table("layer", title="layers, one frame (d: derived, the others are those of the RTL)")
    for heading in ("MACs", "cycles"):
        table.add_column(heading, justify="right")
    table.add_column("bound by")
    table.add_column("cycle terms")
    for layer in cost.layers:
        terms = " + ".join(f"{name} {cycles:,}" for name, cycles in layer.terms.items())
        derived = " (d)" if layer.basis == "derived" and terms else ""
        table.add_row(
            layer.layer,
            f"{layer.macs:,}",
            f"{layer.cycles:,}",
            layer.bound if layer.cycles else "",
            terms + derived,
        )
    return table
