"""The word of one pass, field by field: packed here, unpacked by the engine's generated include."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

MODE_MATRIX, MODE_EDGES, MODE_VECTOR = range(3)
WEIGHT_NONE, WEIGHT_LINE, WEIGHT_EDGE = range(3)


@dataclass(frozen=True, slots=True)
class Field:
    """`width` bits, `copies` times (one for each memory of values, say) where that is not 0.

    Fields that no pass of the network needs are not `held` in its words: they are always 0.
    """

    name: str
    width: int
    copies: int = 0
    held: bool = True

    @property
    def bits(self) -> int:
        """All of it."""
        return self.width * max(1, self.copies) if self.held else 0


@dataclass(frozen=True, slots=True)
class Widths:
    """Bits of counters and addresses, and how many memories of values there are."""

    count: int
    value_addr: int
    ring_addr: int
    ring: int
    memory: int
    w_addr: int
    b_addr: int
    n_addr: int
    d_addr: int
    e_addr: int
    f_addr: int
    t_addr: int
    time: int
    amount: int
    out_id: int
    values: int
    lane: int
    pause: int
    s_addr: int
    c_addr: int
    p_addr: int
    m_addr: int
    units: Mapping[str, int]  # parameters of the units that a network may have, see `units`
    fetch: int
    tile: int
    turns: int
    digit: int
    paired: bool


def pass_fields(w: Widths) -> tuple[Field, ...]:
    """The fields, the first in the least significant bits."""
    return (
        *_in_fields(w),
        *_front_fields(w),
        *_unit_fields(w),
        *_slot_fields(w),
        *_emit_fields(w),
    )


def _in_fields(w: Widths) -> tuple[Field, ...]:
    """How frames come in: the same in every pass of a program."""
    return (
        Field("in_memory", w.memory),
        Field("in_base", w.value_addr),
        Field("in_joints", w.count),
        Field("in_groups", w.count),
        Field("in_ring", w.ring),
        Field("in_step", w.ring_addr),
        Field("in_limit", w.ring_addr),
        Field("in_flush", w.time),
    )


def _front_fields(w: Widths) -> tuple[Field, ...]:
    counts = ("groups", "parts", "joints", "taps", "flats", "words")
    in_digits = w.turns > 1
    return (
        Field("pc_last", 1),
        Field("pass_lag", w.time),
        Field("period_mask", w.time),
        Field("mode", 2),
        Field("weight_from", 2),
        Field("broadcast", 1),
        Field("is_argmax", 1),
        *(Field(f"count_{name}", w.count) for name in counts),
        Field("edge_base", w.e_addr),
        Field("edge_last", w.e_addr),
        Field("x_memory", w.memory),
        Field("x_base", w.value_addr),
        Field("x_ring", w.ring),
        Field("x_back", w.ring_addr),
        Field("x_limit", w.ring_addr),
        Field("x_step", w.value_addr),
        Field("tap_step", w.ring_addr),
        Field("tap_lag", w.time),
        Field("tap_frames", w.time),
        Field("weight_base", w.w_addr),
        Field("weight_per_joint", 1),
        Field("weight_per_block", 1),
        Field("weight_off", 1),
        Field("fetch_base", w.fetch),
        Field("tile_last", w.tile),
        Field("blocks_last", 2 * w.count),
        Field("bias_on", 1),
        Field("bias_base", w.b_addr),
        Field("bias_per_joint", 1),
        Field("turn_digit", w.digit, w.turns, held=in_digits),
        Field("turn_low", 1, w.turns, held=in_digits),
        Field("turn_ends", 1, w.turns, held=in_digits),
        Field("turn_side", 1, w.turns, held=in_digits and w.paired),
    )


def _unit_fields(w: Widths) -> tuple[Field, ...]:
    """Those of passes that go through their lines several times."""
    layer_norm, softmax = bool(w.units["HAS_LAYER_NORM"]), bool(w.units["HAS_SOFTMAX"])
    clip_mean = bool(w.units["HAS_CLIP_MEAN"])
    several = layer_norm or softmax or clip_mean
    return (
        Field("last_sweep", 2, held=several),
        Field("sweep_pause", w.pause, held=several),
        Field("more_drain", w.pause, held=several),
        Field("last_lane", w.lane, held=several),
        Field("is_layer_norm", 1, held=layer_norm),
        Field("norm_words", w.units["NORM_WORDS_BITS"], held=layer_norm),
        Field("norm_epsilon", w.units["NORM_VARIANCE_BITS"], held=layer_norm),
        Field("norm_drop", 5, held=layer_norm),
        Field("newton_steps", 3, held=layer_norm),
        Field("seed_base", w.s_addr, held=layer_norm),
        Field("seed_shift", 5, held=layer_norm),
        Field("is_softmax", 1, held=softmax),
        Field("coarse_base", w.c_addr, held=softmax),
        Field("coarse_last", w.c_addr, held=softmax),
        Field("fine_base", w.p_addr, held=softmax),
        Field("fine_shift", 6, held=softmax),
        Field("exp_bits", 5, held=softmax),
        Field("share_bits", 5, held=softmax),
        Field("is_clip_mean", 1, held=clip_mean),
        Field("once", 1, held=clip_mean),
        Field("mean_base", w.m_addr, held=clip_mean),
        Field("mean_shift", 6, held=clip_mean),
        Field("mean_period", 5, held=clip_mean),
    )


def _slot_fields(w: Widths) -> tuple[Field, ...]:
    return (
        *_cast_fields("cast0", w),
        Field("sum_on", 1),
        Field("fifo_base", w.f_addr),
        Field("fifo_ring", w.ring),
        Field("fifo_step", w.ring_addr),
        Field("fifo_limit", w.ring_addr),
        Field("fifo_age", w.time),
        Field("total_base", w.t_addr),
        Field("total_ring", w.ring),
        Field("total_limit", w.ring_addr),
        Field("total_age", w.time),
        Field("shift_on", 1),
        Field("shift_left", 6),
        Field("norm_base", w.n_addr),
        Field("norm_per_joint", 1),
        *_cast_fields("cast1", w),
        Field("add_on", 1),
        Field("add_memory", w.memory),
        Field("add_base", w.value_addr),
        Field("add_ring", w.ring),
        Field("add_back", w.ring_addr),
        Field("add_limit", w.ring_addr),
        Field("add_left", 6),
        Field("residual_left", 6),
        Field("delta_at", 2),
        Field("delta_base", w.d_addr),
    )


def _cast_fields(slot: str, w: Widths) -> tuple[Field, ...]:
    return (
        Field(f"{slot}_on", 1),
        Field(f"{slot}_shift", w.amount),
        Field(f"{slot}_rounding", 3),
        Field(f"{slot}_overflow", 2),
        Field(f"{slot}_bits", 6),
        Field(f"{slot}_signed", 1),
        Field(f"{slot}_relu", 1),
    )


def _emit_fields(w: Widths) -> tuple[Field, ...]:
    return (
        Field("emit_write", 1, w.values),
        Field("emit_base", w.value_addr, w.values),
        Field("emit_ring", w.ring, w.values),
        Field("emit_step", w.ring_addr, w.values),
        Field("emit_limit", w.ring_addr, w.values),
        Field("emit_cast", 1, w.values),
        Field("emit_shift", w.amount, w.values),
        Field("emit_rounding", 3, w.values),
        Field("emit_overflow", 2, w.values),
        Field("emit_bits", 6, w.values),
        Field("emit_signed", 1, w.values),
        Field("emit_relu", 1, w.values),
        Field("out_on", 1),
        Field("out_memory", w.memory),
        Field("output_id", w.out_id),
    )


def pack(fields: Sequence[Field], values: Mapping[str, int | Sequence[int]]) -> int:
    """The word of a pass; fields that `values` leaves out are 0, negative ones two's complement.

    Raises:
        AssertionError: a value that its field cannot hold.
    """
    unknown = values.keys() - {field.name for field in fields}
    assert not unknown, f"no such fields: {sorted(unknown)}"
    word, at = 0, 0
    for field in fields:
        given = values.get(field.name, 0)
        if not field.held:
            assert given == 0, f"{field.name}: {given} is not held"
            continue
        entries = [given] if isinstance(given, int) else list(given)
        for entry in entries:
            fits = -(1 << (field.width - 1)) <= entry < 1 << field.width
            assert fits, f"{field.name}: {entry} does not fit {field.width} bits"
            word |= (entry & ((1 << field.width) - 1)) << at
            at += field.width
        at += field.bits - field.width * len(entries)
    return word


def include_text(fields: Sequence[Field], incoming: bool) -> str:
    """SystemVerilog that names the fields of `pass_word`, or those of loading of `pass_next`."""
    source = "pass_next" if incoming else "pass_word"
    lines = ["// Generated. The fields of a pass's word.", "/* verilator lint_off UNUSEDSIGNAL */"]
    if not incoming:
        constants = ("MODE_MATRIX", "MODE_EDGES", "MODE_VECTOR")
        lines += [f"localparam logic [1:0] {name} = {at};" for at, name in enumerate(constants)]
        sources = ("WEIGHT_NONE", "WEIGHT_LINE", "WEIGHT_EDGE")
        lines += [f"localparam logic [1:0] {name} = {at};" for at, name in enumerate(sources)]
    lines += _wires(fields, source, incoming)
    lines.append("/* verilator lint_on UNUSEDSIGNAL */")
    return "\n".join(lines) + "\n"


def _wires(fields: Sequence[Field], source: str, incoming: bool) -> Iterator[str]:
    at = 0
    for field in fields:
        if field.name.startswith("in_") == incoming:
            bits = field.width * max(1, field.copies)
            width = "" if bits == 1 and field.copies == 0 else f" [{bits - 1}:0]"
            part = f"{at}" if bits == 1 else f"{at + bits - 1}:{at}"
            word = f"{source}[{part}]" if field.held else f"{bits}'d0"
            yield f"wire{width} {field.name} = {word};"
        at += field.bits
