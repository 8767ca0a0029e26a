"""Steps as records of the compiled loop (`fxp.kernels.drive`): addresses, strides, sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, assert_never

import numpy as np
import numpy.typing as npt

from fxp.fused.arena import zeros
from fxp.fused.chains import fills_better_flat
from fxp.fused.steps import (
    CrossedStep,
    DelayStep,
    PickStep,
    ProductStep,
    ReadStep,
    RowsStep,
    SingleStep,
    Step,
    TapsStep,
    ViewStep,
    WideStep,
    Words,
)
from fxp.fused.tiers import Tier
from fxp.ir import IntArray
from fxp.kernels.carried import add_carried, dot_carried, plain_carried
from fxp.kernels.crossed import (
    add_crossed,
    bytes_crossed,
    dot_crossed,
    plain_crossed,
    split_words,
)
from fxp.kernels.jit import address_of
from fxp.kernels.products import add16, dot8, dot16, plain16
from fxp.kernels.rows import pass16, pass32, pass64
from fxp.kernels.tables import (
    HEAD,
    RECORD,
    CastKind,
    Head,
    Op,
    Product,
    Rows,
    RowsConstant,
    Split,
)
from fxp.kernels.vector import I64, code_of
from fxp.plan import Plan
from fxp.state_layout import Part, Slots

Kernel: TypeAlias = Callable[[int, int, int], None]

_FLIP_BYTES = 0x80808080
PASSES = {16: pass16, 32: pass32, 64: pass64}
_PRODUCTS = {Tier.INT8: dot8, Tier.INT16: dot16, Tier.MADD16: add16, Tier.PLAIN16: plain16}
_CARRIED = {Tier.INT16: dot_carried, Tier.MADD16: add_carried, Tier.PLAIN16: plain_carried}
_CROSSED = {Tier.INT16: dot_crossed, Tier.MADD16: add_crossed, Tier.PLAIN16: plain_crossed}


class Records:
    """Grows step by step. `rows` are the records, `kept` what they point to besides `values`.

    `moving` are their addresses in a state: row, column and bytes from the state's block on.
    """

    def __init__(self, plan: Plan, values: Mapping[str, Words]) -> None:
        """None yet; `values` are the arrays (frames, V, C) of the values in memory."""
        self.plan, self.values = plan, values
        self.slots = {(slots.part, slots.name): slots for slots in plan.state_layout}
        self.rows: list[IntArray] = []
        self.kept: list[Any] = []
        self.moving: list[tuple[int, int, int]] = []

    def table(self) -> IntArray:
        """All of them, (n, RECORD)."""
        return np.array(self.rows or np.zeros((0, RECORD)), np.int64).reshape(-1, RECORD)

    def _address(self, name: str) -> int:
        return int(self.values[name].ctypes.data)

    def constant(self, array: Any, dtype: npt.DTypeLike = np.int64) -> int:
        """The address of an array, which is kept."""
        given = np.asarray(array)
        kept = zeros(given.shape, dtype)
        kept[...] = given
        self.kept.append(kept)
        return int(kept.ctypes.data)

    def _shared(self, array: Words) -> int:
        """The address of a constant of a step: programs of one plan share it."""
        known = self.plan.shared.get(id(array))
        if known is None:
            fresh = zeros(array.shape, array.dtype)
            fresh[...] = array
            known = self.plan.shared.setdefault(id(array), fresh)  # two threads may come here
        return int(known.ctypes.data)

    def in_state(self, column: int, part: Part, name: str) -> Slots:
        """Let an entry of the newest record be the address of an array of the state."""
        slots = self.slots[part, name]
        self.moving.append((len(self.rows) - 1, column, slots.start))
        return slots

    def scratch(self, items: int, dtype: npt.DTypeLike) -> int:
        """The address of room for so many words."""
        return self.constant(np.zeros(items), dtype)

    def record(self, op: Op, x: str, out: str, kernel: Kernel | None = None) -> IntArray:
        """One more, with a head for frames of x and out."""
        record = np.zeros(RECORD, np.int64)
        record[Head.KERNEL] = 0 if kernel is None else address_of(kernel)
        record[Head.OP] = op
        for where, name in ((Head.X_PERIOD, x), (Head.OUT_PERIOD, out)):
            timing = self.plan.timing_of(name)
            record[where : where + 2] = timing.period, timing.lookahead
        if x in self.values:
            joints, channels = self.plan.shape(x)
            record[Head.X] = self._address(x)
            record[Head.FRAME] = joints * channels * self.values[x].itemsize
        self.rows.append(record)
        return record

    def add(self, step: Step) -> None:
        """The records of a step."""
        match step:
            case ReadStep() | ViewStep():
                pass
            case RowsStep():
                self._rows(step)
            case ProductStep():
                self._product(step)
            case TapsStep():
                self._taps(step)
            case CrossedStep():
                self._crossed(step)
            case WideStep():
                self._wide(step)
            case DelayStep():
                self._delay(step)
            case PickStep():
                self._pick(step)
            case SingleStep():
                raise AssertionError("a lone node has no record")
            case _:
                assert_never(step)

    def _rows(self, step: RowsStep) -> None:
        record = self.record(Op.ROWS, step.source, step.results[0], PASSES[step.lanes_bits])
        table = record[HEAD:]
        source = self.values[step.source]
        table[Rows.JOINTS], table[Rows.CHANNELS] = step.joints, step.channels
        table[Rows.CONSTANTS] = self._shared(step.constants)
        table[Rows.SOURCE : Rows.SOURCE_FRAME + 1] = (*where_is(source), source[:1].nbytes)
        table[Rows.DEPTH], table[Rows.DILATION] = step.depth, step.dilation
        table[Rows.ORDER] = self._order(step.joints)
        if step.edges is not None:
            order, edges = step.edges
            table[Rows.EDGES] = 1
            table[Rows.ORDER] = self.constant(order)
            table[Rows.EDGE_LIST] = self.constant(edges * [source.itemsize, 1, 1])
        if step.fifo is not None:
            table[Rows.WINDOW] = 1
            parts: tuple[tuple[Rows, Part], ...]
            parts = ((Rows.FIFO, "rings"), (Rows.TOTAL, "accumulators"))
            for which, part in parts:
                slots = self.in_state(HEAD + which, part, step.fifo)
                table[which + 1 : which + 3] = code_of(slots.dtype), slots.dtype.itemsize
        table[Rows.AFFINE] = step.affine
        if step.other is not None:
            factors = step.constants[[RowsConstant.LEFT, RowsConstant.RIGHT]]
            table[Rows.ADD] = 1 if (factors == 1).all() else 2
            table[Rows.OTHER : Rows.OTHER_ITEM + 1] = where_is(self.values[step.other])
        table[Rows.OUT : Rows.OUT_ITEM + 1] = where_is(self.values[step.results[0]])
        if len(step.results) == 2:
            table[Rows.SECOND : Rows.SECOND_ITEM + 1] = where_is(self.values[step.results[1]])
        flags = (Rows.CAST_SOURCE, Rows.CAST_AFFINE, Rows.CAST_OUT, Rows.CAST_SECOND)
        table[list(flags)] = step.kinds

    def _order(self, joints: int) -> int:
        """Joints one after the other, without edges."""
        return self.constant(np.stack([np.arange(joints), np.zeros(joints)], axis=1))

    def operand(self, x: str, dtype: npt.DTypeLike) -> tuple[int, int]:
        """(address, bytes of a word) of a value as a product reads it, widened where it must be."""
        value = self.values[x]
        if value.dtype == dtype:
            return self._address(x), value.itemsize
        item = np.dtype(dtype).itemsize
        address = self.scratch(value.size, dtype)
        record = self.record(Op.ROWS, x, x, PASSES[8 * item])
        given = (*where_is(value), value[:1].nbytes)
        self.copying(record, value, [(address, code_of(dtype), item)], item, given)
        return address, item

    def copying(
        self,
        record: IntArray,
        x: Words,
        outs: list[tuple[int, int, int]],
        item: int,
        given: tuple[int, int, int, int],
    ) -> Words:
        """Let a pass copy frames shaped like x into other storage; returns its constants.

        `given` says where they are: address, code, bytes of a word, bytes of a frame.
        """
        table = record[HEAD:]
        _, joints, size = x.shape
        if fills_better_flat(joints, size, 8 * item):
            joints, size = 1, joints * size
        constants = zeros((len(RowsConstant), size), f"int{8 * item}")
        self.kept.append(constants)
        table[Rows.JOINTS], table[Rows.CHANNELS] = joints, size
        table[Rows.CONSTANTS] = int(constants.ctypes.data)
        table[Rows.SOURCE : Rows.SOURCE_FRAME + 1] = given
        table[Rows.DEPTH] = table[Rows.DILATION] = 1
        table[Rows.ORDER] = self._order(joints)
        table[Rows.OUT : Rows.OUT_ITEM + 1] = outs[0]
        if len(outs) == 2:
            table[Rows.SECOND : Rows.SECOND_ITEM + 1] = outs[1]
        return constants

    def _product(self, step: ProductStep) -> None:
        address, item = self.operand(step.x, step.operand)
        record = self.record(Op.PRODUCT, step.x, step.results[0], _kernel(step))
        joints, inputs = self.plan.shape(step.x)
        self._product_table(record, step, inputs * item, 1)
        record[Head.X], record[Head.JOINTS] = address, joints
        record[Head.ADDRESSES] = self.scratch(1, np.int64)

    def _product_table(self, record: IntArray, step: ProductStep, row: int, taps: int) -> None:
        table = record[HEAD:]
        outs = [self.values[name] for name in step.results]
        table[Product.COLUMNS], table[Product.ROW] = outs[0].shape[2], row
        table[Product.TAPS], table[Product.GROUPS] = taps, step.groups
        table[Product.FLIP] = _FLIP_BYTES if step.tier is Tier.INT8 else 0
        table[Product.CARRY], table[Product.CENTRE] = step.carry, step.centre
        table[Product.NARROW] = 0 if step.narrow is None else self._shared(step.narrow)
        table[Product.WEIGHT] = self._shared(step.weight)
        table[Product.CONSTANTS] = self._shared(step.constants)
        table[Product.OUT : Product.OUT_ITEM + 1] = where_is(outs[0])
        table[Product.OUT_EVEN] = step.even[0]
        if len(outs) == 2:
            table[Product.SECOND : Product.SECOND_ITEM + 1] = where_is(outs[1])
            table[Product.SECOND_EVEN] = step.even[1]

    def _taps(self, step: TapsStep) -> None:
        product = step.product
        address, item = self.operand(product.x, product.operand)
        record = self.record(Op.TAPS, product.x, product.results[0], _kernel(product))
        joints, inputs = self.plan.shape(product.x)
        self._product_table(record, product, inputs * item, step.taps)
        outs = [self.values[name] for name in product.results]
        ring = self.in_state(Head.RING, "rings", product.name)
        record[Head.X], record[Head.FRAME] = address, joints * inputs * item
        record[Head.OUT], record[Head.JOINTS] = int(outs[0].ctypes.data), joints
        record[Head.CHANNELS] = outs[0].shape[2]
        record[Head.TAPS : Head.STRIDE + 1] = (
            step.taps,
            step.dilation,
            step.lookahead,
            step.stride,
        )
        record[Head.ADDRESSES] = self.scratch(step.taps, np.int64)
        record[Head.SLOTS] = ring.shape[0]
        record[Head.SECOND] = int(outs[1].ctypes.data) if len(outs) == 2 else 0

    def _crossed(self, step: CrossedStep) -> None:
        product, low = step.product, step.low.dtype
        x, (joints, inputs) = self.values[product.x], self.plan.shape(product.x)
        digits = [self.scratch(x.size, kind) for kind in (low, np.int16, np.int16)]
        table = self.record(Op.ROWS, product.x, product.x, split_words)[HEAD:]
        table[Split.X], table[Split.CODE] = where_is(x)[:2]
        table[Split.WORDS], table[Split.CENTRE] = joints * inputs, product.centre
        table[Split.LOW_BITS], table[Split.LOW_CODE] = step.low_bits, code_of(low)
        table[Split.ROUNDING] = 0 if low == np.int8 else 1 << (step.low_bits - 1)
        table[Split.LOW], table[Split.HIGH], table[Split.BOTH] = digits
        kernel = bytes_crossed if low == np.int8 else _CROSSED[product.tier]
        record = self.record(Op.PRODUCT, product.x, product.results[0], kernel)
        record[Head.X], record[Head.JOINTS] = digits[1], joints
        record[Head.ADDRESSES] = self.scratch(1, np.int64)
        self._product_table(record, product, 2 * inputs, 1)
        table = record[HEAD:]
        table[Product.LOW], table[Product.LOW_ROW] = digits[0], inputs * low.itemsize
        table[Product.LOW_GROUPS] = -(-inputs * low.itemsize // 4)
        table[Product.LOW_WEIGHT], table[Product.LOW_BITS] = self._shared(step.low), step.low_bits
        table[Product.BOTH], table[Product.BOTH_WEIGHT] = digits[2], self._shared(step.both)

    def _wide(self, step: WideStep) -> None:
        digits = self._digits(step)
        joints, inputs = self.plan.shape(step.x)
        out = self.values[step.name]
        bias = self.constant(step.bias)
        for number, (digit, weight, places) in enumerate(step.passes):
            record = self.record(Op.PRODUCT, step.x, step.name, _PRODUCTS[step.tier])
            record[Head.X], record[Head.JOINTS] = digits[digit], joints
            record[Head.OUT], record[Head.CHANNELS] = int(out.ctypes.data), out.shape[2]
            record[Head.BIAS] = 0 if number else bias
            record[Head.ADDRESSES] = self.scratch(1, np.int64)
            table = record[HEAD:]
            table[Product.COLUMNS], table[Product.ROW] = out.shape[2], 2 * inputs
            table[Product.TAPS], table[Product.GROUPS] = 1, step.groups
            table[Product.WEIGHT] = self._shared(weight)
            table[Product.CONSTANTS] = self._shared(step.constants)
            table[Product.OUT : Product.OUT_ITEM + 1] = int(out.ctypes.data), I64, out.itemsize
            table[Product.PLACES] = places

    def _digits(self, step: WideStep) -> list[int]:
        """Addresses of the digits of an operand, lowest first."""
        if step.digits == 1:
            return [self.operand(step.x, np.int16)[0]]
        x, found = self.values[step.x], []
        low, mask = -(1 << (step.digit_bits - 1)), (1 << step.digit_bits) - 1
        for digit in range(step.digits):
            address = self.scratch(x.size, np.int16)
            found.append(address)
            record = self.record(Op.ROWS, step.x, step.x, pass64)
            given = (*where_is(x), x[:1].nbytes)
            constants = self.copying(record, x, [(address, code_of(np.int16), 2)], 8, given)
            # what is above a digit is rounded, so the balanced ones below it make up for it
            shift = digit * step.digit_bits
            constants[RowsConstant.OUT_OFFSET] = sum(
                1 << (k * step.digit_bits + step.digit_bits - 1) for k in range(digit)
            )
            constants[RowsConstant.OUT_SHIFT] = shift
            last = digit == step.digits - 1
            constants[RowsConstant.OUT_LOW] = np.iinfo(np.int16).min if last else low
            constants[RowsConstant.OUT_HIGH] = np.iinfo(np.int16).max if last else mask
            record[HEAD + Rows.CAST_OUT] = CastKind.CLAMP if last else CastKind.WRAP
        return found

    def _delay(self, step: DelayStep) -> None:
        record = self.record(Op.DELAY, step.x, step.add)
        record[Head.OUT] = self._address(step.name)
        record[Head.SLOTS] = self.in_state(Head.RING, "delays", step.name).shape[0]

    def _pick(self, step: PickStep) -> None:
        record = self.record(Op.PICK, step.x, step.name)
        joints, channels = self.plan.shape(step.x)
        record[Head.OUT], record[Head.JOINTS] = self._address(step.name), joints
        record[Head.CHANNELS], record[Head.CODE] = channels, code_of(self.values[step.x].dtype)
        record[Head.LEFT] = self.constant(step.left)
        record[Head.OUT_CODE] = code_of(self.values[step.name].dtype)


def _kernel(step: ProductStep) -> Kernel:
    return _CARRIED[step.tier] if step.carry else _PRODUCTS[step.tier]


def where_is(array: Words) -> tuple[int, int, int]:
    """(address, code, bytes of a word)."""
    return int(array.ctypes.data), code_of(array.dtype), array.itemsize
