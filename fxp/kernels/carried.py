"""Products of 16-bit words whose sums need more than 32 bits, nearly as fast as those that do not.

Sums grow in lanes of 32 bits as in `fxp.kernels.products`. After so many operands that no lane can
have overflowed, what is above their low 16 bits moves on to a second register:

    low  += products of `carry` groups of operands
    high += low >> 16;  low &= 0xffff

At the end `high * 2**16 + low` is the sum (`fxp.kernels.finish`).
Operands are lowered by the middle of their range (`Product.CENTRE`), which the bias makes good: a
word of 15 bits without a sign reaches as far, then, as one of 15 with it.
"""

from __future__ import annotations

from fxp.kernels.finish import FinishedPanel, carried, each
from fxp.kernels.forms import (
    LANES,
    SUMS,
    Form,
    add_halves,
    dot_halves,
    plain_halves,
)
from fxp.kernels.products import NARROW_PANEL, WIDE_PANEL, product_of
from fxp.kernels.tables import NarrowConstant, Product
from fxp.kernels.vector import HALF, LONG, Value, load, long, offset, repeat, splat


class CarriedPanel(FinishedPanel):
    """As `Panel`, with two registers for each vector of sums."""

    def tile(self, taps: Value, row: Value, rows: int) -> None:
        """The sums of `rows` rows from `row` on, and what is made of them."""
        high, low = self.carried(taps, row, rows, lowered=True)

        def digits(k: int, constants: list[Value]) -> tuple[Value, Value]:
            more, own = (constants[c] for c in (NarrowConstant.HIGH_BIAS, NarrowConstant.BIAS))
            return self.b.add(high[k], more), self.b.add(low[k], own)

        self.finish(row, rows, high, low, digits)

    def carried(
        self, taps: Value, row: Value, rows: int, *, lowered: bool
    ) -> tuple[list[Value], list[Value]]:
        """The high and the low registers of all sums, of operands that are lowered on the way."""
        b, groups, carry = self.b, self.field(Product.GROUPS), self.field(Product.CARRY)
        centre = splat(b, b.trunc(self.field(Product.CENTRE), HALF), 2 * LANES)
        pieces = b.sdiv(b.sub(b.add(groups, carry), long(1)), carry)
        stride, count = self.field(Product.ROW), rows * self.vectors

        def multiply(acc: Value, x: Value, w: Value) -> Value:
            if lowered:
                x = b.bitcast(b.sub(b.bitcast(x, centre.type), centre), SUMS)
            return self.form.multiply(b, acc, x, w)

        def tap(t: Value, state: list[Value]) -> list[Value]:
            def piece(i: Value, state: list[Value]) -> list[Value]:
                left = b.sub(groups, b.mul(i, carry))
                some = b.select(b.icmp_signed("<", left, carry), left, carry)
                moved = self.groups(some, state[: 2 + count], stride, multiply)
                pairs = zip(state[2 + count :], moved[2:], strict=True)
                high, low = zip(*(carried(b, h, v) for h, v in pairs), strict=True)
                return [*moved[:2], *low, *high]

            weight, *sums = state
            x = b.add(load(b, offset(b, taps, t, 8), LONG), b.mul(row, stride))
            weight, _, *sums = repeat(b, pieces, [weight, x, *sums], piece)
            return [weight, *sums]

        start = self.weights(Product.WEIGHT, b.mul(groups, self.field(Product.TAPS)))
        state = [start, *[each(0)] * (2 * count)]
        sums = repeat(b, self.field(Product.TAPS), state, tap)[1:]
        return sums[count:], sums[:count]


DOT_CARRIED = Form(dot_halves, 5, WIDE_PANEL, packs=False)
ADD_CARRIED = Form(add_halves, 2, NARROW_PANEL, packs=False)
PLAIN_CARRIED = Form(plain_halves, 2, NARROW_PANEL, packs=False)
_dot, _add, _plain = (
    product_of(form, CarriedPanel) for form in (DOT_CARRIED, ADD_CARRIED, PLAIN_CARRIED)
)


def dot_carried(table: int, taps: int, rows: int) -> None:
    """As `fxp.kernels.products.dot16`, for sums of up to 47 bits."""
    _dot(table, taps, rows)


def add_carried(table: int, taps: int, rows: int) -> None:
    """The same by `vpmaddwd` and an addition."""
    _add(table, taps, rows)


def plain_carried(table: int, taps: int, rows: int) -> None:
    """The same by plain multiplications."""
    _plain(table, taps, rows)
