"""Nodes that share no pass as records of the compiled loop: kernels of their own, in 64 bits."""

from __future__ import annotations

import numpy as np

from fxp.fused.records import Records, where_is
from fxp.fused.steps import SingleStep, Words
from fxp.ir import IntArray
from fxp.kernels.alone import Field as Alone
from fxp.kernels.alone import (
    clip_mean_alone,
    clip_sum_alone,
    layer_norm_alone,
    recast_alone,
    softmax_alone,
)
from fxp.kernels.casting import Recast
from fxp.kernels.rows import pass64
from fxp.kernels.tables import HEAD, Op
from fxp.kernels.vector import I64
from fxp.operations import Average, Normalise, Share

_ALONE = {Normalise: layer_norm_alone, Share: softmax_alone, Recast: recast_alone}


class AllRecords(Records):
    """As `Records`, with those of lone nodes."""

    def add_alone(self, step: SingleStep) -> bool:
        """A node without a pass as records, in 64 bits; false where it has no kernel for that."""
        operation = self.plan.stages[step.name].operation
        if isinstance(operation, Average):
            self._clip_mean(step, operation)
            return True
        if not isinstance(operation, Normalise | Share | Recast):
            return False
        x, out = self.values[step.reads[0]], self.values[step.name]
        source, _ = self.operand(step.reads[0], np.int64)
        target = self._target(out)
        record = self.record(Op.ROWS, step.reads[0], step.name, _ALONE[type(operation)])
        table = record[HEAD:]
        table[Alone.X], table[Alone.OUT] = source, target
        table[Alone.JOINTS], table[Alone.CHANNELS] = x.shape[1:]
        match operation:
            case Normalise():
                self._arrays(table, operation.seeds)
                table[Alone.FIRST] = operation.epsilon
                table[Alone.SECOND], table[Alone.THIRD] = (
                    operation.newton_steps,
                    operation.frac_bits,
                )
            case Share():
                self._arrays(table, operation.coarse, operation.fine)
                table[Alone.FIRST], table[Alone.SECOND] = operation.exp_bits, operation.frac_bits
            case Recast():
                k = operation
                columns = (k.offset, k.negative, k.odd, k.shift, k.left, k.low, k.high)
                self._arrays(table, np.stack(columns), k.bounds)
                table[Alone.A_SIZE], table[Alone.FIRST] = len(k.offset), k.wrap
        self._put(step.name, target)
        return True

    def _clip_mean(self, step: SingleStep, operation: Average) -> None:
        """Two records: one for every frame of the operand, and one for the clip's."""
        x, out = step.reads[0], self.values[step.name]
        source, _ = self.operand(x, np.int64)
        target, count = self._target(out), self.scratch(1, np.int64)
        for made, kernel in ((x, clip_sum_alone), (step.name, clip_mean_alone)):
            table = self.record(Op.ROWS, x, made, kernel)[HEAD:]
            self.in_state(HEAD + Alone.A, "accumulators", step.name)
            table[Alone.X], table[Alone.OUT], table[Alone.COUNT] = source, target, count
            table[Alone.JOINTS], table[Alone.CHANNELS] = out.shape[1:]
            table[Alone.FIRST] = operation.shift
        self._put(step.name, target)

    def _target(self, out: Words) -> int:
        """The address where a node that runs alone puts 64-bit words."""
        return int(out.ctypes.data) if out.dtype == np.int64 else self.scratch(out.size, np.int64)

    def _put(self, name: str, target: int) -> None:
        """From there to the value's own place, if that is another."""
        out = self.values[name]
        if target != int(out.ctypes.data):
            record = self.record(Op.ROWS, name, name, pass64)
            self.copying(record, out, [where_is(out)], 8, (target, I64, 8, out[:1].size * 8))

    def _arrays(self, table: IntArray, a: IntArray, b: IntArray | None = None) -> None:
        """Constants of a node that runs alone."""
        table[Alone.A], table[Alone.A_SIZE] = self.constant(a), a.size
        if b is not None:
            table[Alone.B], table[Alone.B_SIZE] = self.constant(b), b.size
