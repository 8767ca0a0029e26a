"""The slots of a pass as fields of its program word: casts, sums, shifts, additions, emissions."""

from __future__ import annotations

import numpy as np

from fxp.accumulators import scale_shift
from fxp.errors import InputError
from fxp.ir import Add, Affine, Node, Requantise, TemporalSum
from hw_model.passes import Pass
from hw_model.rtl.assembled import Draft, Fields
from hw_model.rtl.constants import affine_lines, blocks_of, needs_joints
from hw_model.rtl.datapath import OVERFLOWS, ROUNDINGS, cast_fields
from hw_model.rtl.values import Frame, Place, Read


class SlotWalk:
    """The slots of one pass: carries width and fractional bits of the value that runs through."""

    def __init__(self, draft: Draft, planned: Pass, residual: Read | None) -> None:
        """Stand behind the pass's accumulators; `residual` is what its addition reads."""
        self.own, self.planned, self.residual = draft, planned, residual
        self.ground, self.datapath = draft.ground, draft.datapath
        self.frame = self.ground.frames[planned.value]
        self.bits = (
            self.ground.frames[planned.head].bits + 1
            if planned.kind == "argmax"
            else (self.ground.frames[self.ground.held(planned.head)].bits)
        )
        self.fracs = self.ground.signals[planned.head].frac_bits
        self.found: Fields = {}

    def fields(self) -> Fields:
        """The fields of slots, emissions and output.

        Raises:
            InputError: the engine cannot do what a node has to do.
        """
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
                base = self.own.constants.delta.append(blocks_of(deltas, frame))
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
            "norm_base": self.own.constants.norm.append(lines),
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
            if place is None and name not in self.ground.graph.outputs:
                continue  # nobody reads it
            memory = place.memory if place else min(set(range(count)) - used, default=-1)
            if memory < 0:
                raise InputError(f"{name}: leaves a pass whose other values take all memories")
            used.add(memory)
            if place:
                self._write(found, memory, place)
            self._cast(found, memory, name)
            self.datapath.widen("emit", self.ground.frames[name].bits)
            if name in self.ground.graph.outputs:
                if "out_on" in found:
                    raise InputError(f"{name}: a second output of one pass")
                self.datapath.out_bits = max(self.datapath.out_bits, self.ground.frames[name].bits)
                at = self.ground.graph.outputs.index(name)
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
