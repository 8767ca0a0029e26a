"""One pass of a network as the fields of its program word, and the constants it reads."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fxp.accumulators import scale_shift
from fxp.errors import InputError
from fxp.ir import (
    Add,
    Affine,
    Conv,
    GraphProduct,
    JointMean,
    LayerNorm,
    Node,
    Requantise,
    Softmax,
    TemporalConv,
    TemporalSum,
)
from hw_model.passes import Pass
from hw_model.rtl.constants import (
    Memory,
    affine_lines,
    blocks_of,
    edge_words,
    needs_joints,
    weight_lines,
)
from hw_model.rtl.datapath import OVERFLOWS, ROUNDINGS, Datapath, cast_fields
from hw_model.rtl.fields import (
    MODE_EDGES,
    MODE_MATRIX,
    MODE_VECTOR,
    WEIGHT_EDGE,
    WEIGHT_LINE,
    WEIGHT_NONE,
    WEIGHT_SCALAR,
)
from hw_model.rtl.units import layer_norm_fields, softmax_fields
from hw_model.rtl.values import Frame, Ground, Place, Read

Fields = dict[str, Any]


@dataclass(slots=True)
class Constants:
    """Constant memories while they fill; `edges` holds (last, source, coefficient)."""

    weights: Memory = field(default_factory=Memory)
    outside: Memory = field(default_factory=Memory)  # weights that stream in
    bias: Memory = field(default_factory=Memory)
    norm: Memory = field(default_factory=Memory)
    delta: Memory = field(default_factory=Memory)
    seeds: Memory = field(default_factory=Memory)
    coarse: Memory = field(default_factory=Memory)
    fine: Memory = field(default_factory=Memory)
    edges: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass(slots=True)
class State:
    """What temporal sums keep: lines of their two memories, rings of both and of the values."""

    fifo_lines: int = 0
    total_lines: int = 0
    rings: int = 0
    owners: dict[str, tuple[int, int]] = field(default_factory=dict)  # bases, by node


class Assembler:
    """Turns passes into fields, one after another; collects constants, state and widths."""

    def __init__(self, ground: Ground, dense: bool, off_chip: Set[str]) -> None:
        """`dense` walks all pairs of joints; the weights of nodes in `off_chip` stream in."""
        self.ground, self.dense, self.off_chip = ground, dense, off_chip
        self.nodes: Mapping[str, Node] = {node.name: node for node in ground.graph.nodes}
        self.constants, self.state, self.datapath = Constants(), State(), Datapath()
        self.state.rings = max((place.ring for place in ground.places.values()), default=0)
        self.outputs = list(ground.graph.outputs)

    def fields(self, at: int) -> Fields:
        """The fields of pass `at`, but for those of loading.

        Raises:
            InputError: the engine cannot do what the pass has to do.
        """
        planned = self.ground.passes[at]
        operand, residual = self.ground.reads[at]
        timing = self.ground.timing[planned.value]
        if timing.period < 1 or timing.period & (timing.period - 1):
            raise InputError(
                f"{planned.head}: runs every {timing.period} frames, the engine knows powers of two"
            )
        found: Fields = {
            "pc_last": int(at == len(self.ground.passes) - 1),
            "pass_lag": timing.lookahead,
            "period_mask": timing.period - 1,
            **self._read(planned, operand),
            **self._head(planned),
        }
        found |= _SlotWalk(self, planned, residual).fields()
        return found

    def _read(self, planned: Pass, operand: Read) -> Fields:
        """Where the operand is and from which frame on."""
        name = self.ground.held(operand.value)
        place, timing = self.ground.places[name], self.ground.timing[name]
        node = self.nodes[planned.head]
        taps, dilation = 1, 1
        lag = self.ground.timing[planned.value].lookahead
        if isinstance(node, TemporalConv) and planned.kind == "temporal_conv":
            taps, dilation = node.weight.raw.shape[2], node.dilation
            lag = timing.lookahead + (taps - 1) * dilation * timing.period
        return {
            "x_memory": place.memory,
            "x_base": place.base,
            "x_ring": place.ring,
            "x_back": operand.back * place.step,
            "x_limit": place.limit,
            "tap_step": dilation * place.step if taps > 1 else 0,
            "tap_lag": lag,
            "tap_frames": dilation * timing.period if taps > 1 else 0,
            "count_taps": taps - 1,
        }

    def _head(self, planned: Pass) -> Fields:
        node = self.nodes[planned.head]
        frame = self.ground.frames[planned.head]
        source = self.ground.frames[self.ground.held(planned.source)]
        flat = self.ground.held(planned.source) != planned.source
        if flat and planned.kind not in ("conv", "temporal_conv"):
            raise InputError(
                f"{planned.owner}: reads a flattened value, which only convolutions do"
            )
        if planned.kind == "copy":
            self.datapath.widen("acc", source.bits)
            return self._vector(source, WEIGHT_NONE, source.joints)
        self.datapath.widen("acc", frame.bits)
        if planned.kind not in ("argmax", "layer_norm", "softmax"):
            self.datapath.x_bits = max(self.datapath.x_bits, source.bits)
        match node:
            case Conv() | TemporalConv():
                return self._matrix(node, frame, source, planned.source)
            case GraphProduct():
                return self._edges(node, frame, source)
            case Affine():
                return self._affine(node, frame)
            case JointMean():
                bits = node.multiplier.bit_length() + 1
                self.datapath.weight_bits = max(self.datapath.weight_bits, bits)
                found = self._vector(source, WEIGHT_SCALAR, 1)
                return found | {"scalar": node.multiplier, "count_words": source.joints - 1}
            case LayerNorm():
                signal = self.ground.signals[planned.source]
                found = self._vector(source, WEIGHT_NONE, source.joints)
                return found | layer_norm_fields(
                    node, source, signal, self.constants.seeds, self.datapath
                )
            case Softmax():
                tables = self.constants.coarse, self.constants.fine
                found = self._vector(source, WEIGHT_NONE, source.joints) | {"broadcast": 1}
                return found | softmax_fields(node, source, tables, self.datapath)
            case _ if planned.kind == "argmax":
                return self._argmax(planned, frame, source)
            case _:
                raise InputError(f"{planned.head}: the engine has no {type(node).__name__}")

    def _matrix(self, node: Conv | TemporalConv, frame: Frame, source: Frame, read: str) -> Fields:
        flat = source.joints if self.ground.held(read) != read else 1
        self.datapath.weight_bits = max(self.datapath.weight_bits, node.weight.word_bits)
        return {
            "mode": MODE_MATRIX,
            "weight_from": WEIGHT_LINE,
            "broadcast": 1,
            "count_groups": frame.groups - 1,
            "count_parts": frame.partitions - 1,
            "count_joints": frame.joints - 1,
            "count_flats": flat - 1,
            "count_words": source.channels - 1,
            "x_step": source.joints if source.groups > 1 else 0,
            **self._weights(node, frame, flat),
            "bias_on": 1,
            "bias_base": self.constants.bias.append(blocks_of(node.bias, frame).tolist()),
        }

    def _weights(self, node: Conv | TemporalConv, frame: Frame, flat: int) -> Fields:
        """Where the weights are; a tile has those of one block of outputs."""
        lines = weight_lines(node, frame, flat).tolist()
        if node.name not in self.off_chip:
            return {"weight_base": self.constants.weights.append(lines)}
        blocks = frame.groups * frame.partitions
        return {
            "weight_off": 1,
            "fetch_base": self.constants.outside.append(lines),
            "tile_last": len(lines) // blocks - 1,
            "blocks_last": blocks - 1,
        }

    def _edges(self, node: GraphProduct, frame: Frame, source: Frame) -> Fields:
        edges, bits = edge_words(node, self.dense)
        base = len(self.constants.edges)
        self.constants.edges.extend(edges)
        self.datapath.coef_bits = max(self.datapath.coef_bits, bits)
        self.datapath.weight_bits = max(self.datapath.weight_bits, bits)
        return {
            "mode": MODE_EDGES,
            "weight_from": WEIGHT_EDGE,
            "count_groups": frame.groups - 1,
            "count_joints": frame.joints - 1,
            "edge_base": base,
            "edge_last": base + len(edges) - 1,
            "x_step": source.joints * source.partitions if source.groups > 1 else 0,
        }

    def _affine(self, node: Affine, frame: Frame) -> Fields:
        scale, bias = node.scale.raw, node.bias
        wide = needs_joints(scale, frame, True), needs_joints(bias, frame, True)
        self.datapath.weight_bits = max(self.datapath.weight_bits, node.scale.word_bits)
        weights, biases = self.constants.weights, self.constants.bias
        return self._vector(frame, WEIGHT_LINE, frame.joints) | {
            "weight_base": weights.append(affine_lines(scale, frame, wide[0]).tolist()),
            "weight_per_joint": int(wide[0]),
            "bias_on": 1,
            "bias_base": biases.append(affine_lines(bias, frame, wide[1]).tolist()),
            "bias_per_joint": int(wide[1]),
        }

    def _vector(self, frame: Frame, weight_from: int, joints: int) -> Fields:
        """Line by line; partitions are further joints there."""
        return {
            "mode": MODE_VECTOR,
            "weight_from": weight_from,
            "count_groups": frame.groups - 1,
            "count_joints": joints * frame.partitions - 1,
        }

    def _argmax(self, planned: Pass, frame: Frame, source: Frame) -> Fields:
        if len(set(self.ground.signals[planned.source].frac_bits)) > 1:
            raise InputError(f"{planned.head}: compares channels of unequal fractional bits")
        self.datapath.argmax = True
        self.datapath.index_bits = max(self.datapath.index_bits, frame.bits)
        self.datapath.widen("acc", frame.bits + 1)
        return {
            "mode": MODE_MATRIX,
            "weight_from": WEIGHT_NONE,
            "broadcast": 1,
            "is_argmax": 1,
            "count_joints": source.joints - 1,
            "count_words": source.channels - 1,
            "x_step": source.joints if source.groups > 1 else 0,
        }


class _SlotWalk:
    """The slots of one pass: carries width and fractional bits of the value that runs through."""

    def __init__(self, assembler: Assembler, planned: Pass, residual: Read | None) -> None:
        self.own, self.planned, self.residual = assembler, planned, residual
        self.ground, self.datapath = assembler.ground, assembler.datapath
        self.frame = self.ground.frames[planned.value]
        self.bits = (
            self.datapath.stage["acc"]
            if planned.kind == "argmax"
            else (self.ground.frames[self.ground.held(planned.head)].bits)
        )
        self.fracs = self.ground.signals[planned.head].frac_bits
        self.found: Fields = {}

    def fields(self) -> Fields:
        taken = dict(self.planned.slots)
        for slot in ("cast0", "sum", "shift", "cast1", "add"):
            if slot in taken:
                node = self.own.nodes[taken[slot]]
                self._slot(slot, node)
                self.bits = self.ground.frames[node.name].bits
                self.fracs = self.ground.signals[node.name].frac_bits
            self.datapath.widen(slot, self.bits)
        return self.found | self._emits()

    def _slot(self, slot: str, node: Node) -> None:
        match node:
            case Requantise():
                shift = self._shift(node, 1 if slot == "cast0" else 2, slot)
                self.found |= cast_fields(slot, node.cast, shift, node.relu)
            case TemporalSum():
                self.found |= self._sum(node)
            case Affine():
                self.found |= self._shifted(node)
            case Add():
                self.found |= self._added(node)
            case _:
                raise AssertionError(f"{node.name} has no slot")

    def _shift(self, node: Requantise, stage: int, slot: str) -> int:
        """Shift of a cast; where channels differ, the others' differences become constants."""
        to = node.cast.to.frac_bits
        self.datapath.cast(slot, node.cast, tuple(frac - to for frac in self.fracs))
        if len(set(self.fracs)) > 1:
            if self.found.get("delta_at", stage) != stage:
                raise InputError(f"{node.name}: a second cast by channel in one pass")
            if "delta_at" not in self.found:
                if self.planned.kind in ("affine", "copy") and self.frame.partitions > 1:
                    raise InputError(f"{node.name}: a cast by channel of partitions")
                deltas = np.array(self.fracs) - self.fracs[0]
                frame = Frame(len(deltas), 1, self.frame.partitions, 1, self.ground.lanes)
                base = self.own.constants.delta.append(blocks_of(deltas, frame).tolist())
                self.found |= {"delta_at": stage, "delta_base": base}
        return self.fracs[0] - to

    def _sum(self, node: TemporalSum) -> Fields:
        state, frame = self.own.state, self.ground.frames[node.name]
        slots = node.window * node.dilation
        self.datapath.slots.add("sum")
        self.datapath.fifo_bits = max(self.datapath.fifo_bits, self.bits)
        self.datapath.total_bits = max(self.datapath.total_bits, frame.bits)
        period = self.ground.timing[node.name].period
        bases = state.fifo_lines, state.total_lines
        state.owners[node.name] = bases
        state.fifo_lines += slots * frame.lines
        state.total_lines += node.dilation * frame.lines
        rings = [0, 0]
        for at, count in enumerate((slots, node.dilation)):
            if count > 1:
                state.rings += 1
                rings[at] = state.rings
        return {
            "sum_on": 1,
            "fifo_base": bases[0],
            "fifo_ring": rings[0],
            "fifo_step": frame.lines,
            "fifo_limit": slots * frame.lines,
            "fifo_age": slots * period,
            "total_base": bases[1],
            "total_ring": rings[1],
            "total_limit": node.dilation * frame.lines,
            "total_age": node.dilation * period,
        }

    def _shifted(self, node: Affine) -> Fields:
        left = scale_shift(node)
        assert left is not None
        self.datapath.slots.add("shift")
        per_joint = needs_joints(node.bias, self.frame, self._is_vector())
        lines = affine_lines(node.bias, self.frame, per_joint)
        return {
            "shift_on": 1,
            "shift_left": left,
            "norm_base": self.own.constants.norm.append(lines.tolist()),
            "norm_per_joint": int(per_joint),
        }

    def _is_vector(self) -> bool:
        return self.planned.kind in ("affine", "copy")

    def _added(self, node: Add) -> Fields:
        assert self.residual is not None
        self.datapath.slots.add("add")
        name = self.ground.held(self.residual.value)
        place = self.ground.places[name]
        other = self.ground.signals[name].frac_bits
        if len(set(self.fracs)) > 1 or len(set(other)) > 1:
            raise InputError(f"{node.name}: adds values of unequal fractional bits by channel")
        finest = max(self.fracs[0], other[0])
        return {
            "add_on": 1,
            "add_memory": place.memory,
            "add_base": place.base,
            "add_ring": place.ring,
            "add_back": self.residual.back * place.step,
            "add_limit": place.limit,
            "add_left": finest - self.fracs[0],
            "residual_left": finest - other[0],
        }

    def _emits(self) -> Fields:
        """Casts and addresses, memory by memory; which of them goes out."""
        count = len(self.ground.widths)
        names = ("write", "base", "ring", "step", "limit", "cast", "shift")
        modes = ("rounding", "overflow", "bits", "signed", "relu")
        found: Fields = {f"emit_{name}": [0] * count for name in (*names, *modes)}
        used: set[int] = set()
        for name in sorted(self.planned.emits, key=lambda n: n not in self.ground.places):
            place = self.ground.places.get(name)
            if place is None and name not in self.own.outputs:
                continue  # nobody reads it
            memory = place.memory if place else min(set(range(count)) - used, default=-1)
            if memory < 0:
                raise InputError(f"{name}: leaves a pass whose other values take all memories")
            used.add(memory)
            if place:
                self._write(found, memory, place)
            self._cast(found, memory, name)
            self.datapath.widen("emit", self.ground.frames[name].bits)
            if name in self.own.outputs:
                if "out_on" in found:
                    raise InputError(f"{name}: a second output of one pass")
                self.datapath.out_bits = max(self.datapath.out_bits, self.ground.frames[name].bits)
                at = self.own.outputs.index(name)
                found |= {"out_on": 1, "out_memory": memory, "output_id": at}
        return found

    def _write(self, found: Fields, memory: int, place: Place) -> None:
        found["emit_write"][memory] = 1
        for key in ("base", "ring", "step", "limit"):
            found[f"emit_{key}"][memory] = getattr(place, key)

    def _cast(self, found: Fields, memory: int, name: str) -> None:
        node = self.own.nodes[name]
        if name == self.planned.value or not isinstance(node, Requantise):
            return
        shift = self._shift(node, 3, "emit")
        cast = node.cast
        for key, value in (
            ("cast", 1),
            ("shift", shift),
            ("rounding", ROUNDINGS.index(cast.rounding)),
            ("overflow", OVERFLOWS.index(cast.overflow)),
            ("bits", cast.to.word_bits),
            ("signed", int(cast.to.signed)),
            ("relu", int(node.relu)),
        ):
            found[f"emit_{key}"][memory] = value


def loading_fields(ground: Ground, flush: int) -> Fields:
    """How a frame comes in, the same for every pass."""
    name = ground.graph.nodes[0].name
    place, frame = ground.places[name], ground.frames[name]
    return {
        "in_memory": place.memory,
        "in_base": place.base,
        "in_joints": frame.joints - 1,
        "in_groups": frame.groups - 1,
        "in_ring": place.ring,
        "in_step": place.step,
        "in_limit": place.limit,
        "in_flush": flush,
    }


def flush_frames(ground: Ground) -> int:
    """Frames that an engine goes on after a clip's end, until its last value is complete."""
    return max(ground.timing[planned.value].lookahead for planned in ground.passes)
