"""What a pass begins with as fields of its program word: loops, operand, weights, bias."""

from __future__ import annotations

from collections.abc import Set

import numpy as np

from fxp.errors import InputError
from fxp.ir import (
    Affine,
    ClipMean,
    Conv,
    GraphProduct,
    JointMean,
    LayerNorm,
    Softmax,
    TemporalConv,
)
from hw_model.digits import Digits, Plan
from hw_model.passes import Pass
from hw_model.rtl.assembled import Fields, draft_of
from hw_model.rtl.constants import (
    affine_lines,
    bias_digits,
    blocks_of,
    edge_words,
    needs_joints,
    weight_digits,
    weight_lines,
)
from hw_model.rtl.fields import (
    MODE_EDGES,
    MODE_MATRIX,
    MODE_VECTOR,
    WEIGHT_EDGE,
    WEIGHT_LINE,
    WEIGHT_NONE,
)
from hw_model.rtl.slots import SlotWalk
from hw_model.rtl.units import clip_mean_fields, layer_norm_fields, softmax_fields
from hw_model.rtl.values import Frame, Ground, Read


class Assembler:
    """Turns passes into fields, one after another; collects constants, state and widths."""

    def __init__(self, ground: Ground, dense: bool, off_chip: Set[str], digits: Digits) -> None:
        """`dense` walks all pairs of joints; the weights of nodes in `off_chip` stream in."""
        self.ground, self.dense, self.off_chip, self.digits = ground, dense, off_chip, digits
        self.draft = draft_of(ground)
        self.nodes, self.constants = self.draft.nodes, self.draft.constants
        self.state, self.datapath = self.draft.state, self.draft.datapath

    def fields(self, at: int) -> Fields:
        """The fields of pass `at`, but for those of loading.

        Raises:
            InputError: the engine cannot do what the pass has to do.
        """
        planned = self.ground.passes[at]
        operand, residual = self.ground.reads[at]
        found: Fields = {
            "pc_last": int(at == len(self.ground.passes) - 1),
            **self._when(planned),
            **self._read(planned, operand),
            **self._head(planned),
        }
        found |= SlotWalk(self.draft, planned, residual).fields()
        return found

    def _when(self, planned: Pass) -> Fields:
        """At which frames the pass runs: its value's, a mean over a clip at its operand's."""
        timing = self.ground.timing[planned.value]
        period = self.ground.timing[planned.source].period
        if planned.kind != "clip_mean" and timing.period == 0:
            return {"once": 1, "pass_lag": flush_frames(self.ground), "period_mask": 0}
        period = period if planned.kind == "clip_mean" else timing.period
        if period & (period - 1):
            raise InputError(
                f"{planned.head}: runs every {period} frames, the engine knows powers of two"
            )
        return {"pass_lag": timing.lookahead, "period_mask": period - 1}

    def _read(self, planned: Pass, operand: Read) -> Fields:
        """Where the operand is and from which frame on."""
        name = self.ground.held(operand.value)
        place, timing = self.ground.places[name], self.ground.timing[name]
        node = self.nodes[planned.head]
        taps, dilation = 1, 1
        lag = self._when(planned)["pass_lag"]
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
        match node:
            case Conv() | TemporalConv():
                return self._matrix(node, frame, source, planned.source)
            case GraphProduct():
                return self._edges(node, frame, source)
            case Affine():
                return self._affine(node, frame, source)
            case JointMean():
                return self._joint_mean(node, source)
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
            case ClipMean():
                signal = self.ground.signals[planned.source]
                found = self._vector(source, WEIGHT_NONE, source.joints)
                base = self.state.mean_lines
                self.state.mean_lines += source.lines
                period = self.ground.timing[planned.source].period
                found["mean_period"] = period.bit_length() - 1
                return found | clip_mean_fields(node, source, signal, base, self.datapath)
            case _ if planned.kind == "argmax":
                return self._argmax(planned, frame, source)
            case _:
                raise InputError(f"{planned.head}: the engine has no {type(node).__name__}")

    def _matrix(self, node: Conv | TemporalConv, frame: Frame, source: Frame, read: str) -> Fields:
        flat = source.joints if self.ground.held(read) != read else 1
        self._multiply(node.weight.word_bits, source.bits)
        return {
            "mode": MODE_MATRIX,
            "weight_from": WEIGHT_LINE,
            "weight_per_block": 1,
            "broadcast": 1,
            "count_groups": frame.groups - 1,
            "count_parts": frame.partitions - 1,
            "count_joints": frame.joints - 1,
            "count_flats": flat - 1,
            "count_words": source.channels - 1,
            "x_step": source.joints if source.groups > 1 else 0,
            **self._weights(node, frame, flat),
            "bias_on": 1,
            "bias_base": self.constants.bias.append(blocks_of(node.bias, frame)),
        }

    def _weights(self, node: Conv | TemporalConv, frame: Frame, flat: int) -> Fields:
        """Where the weights are; a tile has those of one block of outputs."""
        lines = weight_lines(node, frame, flat)
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
        self._multiply(1, source.bits)
        return {
            "mode": MODE_EDGES,
            "weight_from": WEIGHT_EDGE,
            "count_groups": frame.groups - 1,
            "count_joints": frame.joints - 1,
            "edge_base": base,
            "edge_last": base + len(edges) - 1,
            "x_step": source.joints * source.partitions if source.groups > 1 else 0,
        }

    def _affine(self, node: Affine, frame: Frame, source: Frame) -> Fields:
        scale, bias = node.scale.raw, node.bias
        wide = needs_joints(scale, frame, True), needs_joints(bias, frame, True)
        plan, found = self._in_turns(node, source)
        weights = weight_digits(affine_lines(scale, frame, wide[0]), plan)
        biases = bias_digits(affine_lines(bias, frame, wide[1]), plan, self.digits.weight_step)
        return self._vector(frame, WEIGHT_LINE, frame.joints) | {
            **found,
            "weight_base": self.constants.weights.append(weights),
            "weight_per_joint": int(wide[0]),
            "weight_per_block": 1,
            "bias_on": 1,
            "bias_base": self.constants.bias.append(biases),
            "bias_per_joint": int(wide[1]),
        }

    def _joint_mean(self, node: JointMean, source: Frame) -> Fields:
        """Every word of a line's joints meets the same lines of weights."""
        plan, found = self._in_turns(node, source)
        factor = np.full((1, source.lanes), node.multiplier)
        return self._vector(source, WEIGHT_LINE, 1) | {
            **found,
            "weight_base": self.constants.weights.append(weight_digits(factor, plan)),
            "count_words": source.joints - 1,
        }

    def _in_turns(self, node: Affine | JointMean, source: Frame) -> tuple[Plan, Fields]:
        """How the products of a node are made of digits; nothing to say where they are not."""
        loop = self.ground.loops[node.name]
        plan = self.digits.plan(loop.weight_bits, loop.signed_bits, isinstance(node, Affine))
        turns, operand = plan.turns, plan.operand
        self._multiply(plan.weight.digit_bits, min(source.bits, operand.digit_bits))
        if len(turns) == 1:
            return plan, {}
        self.datapath.turns = max(self.datapath.turns, len(turns))
        self.datapath.operand_digits = max(self.datapath.operand_digits, operand.count)
        return plan, {
            "count_flats": len(turns) - 1,
            "turn_digit": [turn.operand for turn in turns],
            "turn_low": [int(turn.operand < operand.count - 1) for turn in turns],
            "turn_ends": [int(turn.ends_level) for turn in turns],
            **self._sides(plan),
        }

    def _sides(self, plan: Plan) -> Fields:
        sides = [int(turn.side or 0) for turn in plan.turns]
        return {"turn_side": sides} if any(sides) else {}

    def _multiply(self, weight_bits: int, operand_bits: int) -> None:
        """Words of so many bits meet in the multipliers."""
        self.datapath.weight_bits = max(self.datapath.weight_bits, weight_bits)
        self.datapath.x_bits = max(self.datapath.x_bits, operand_bits)

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
