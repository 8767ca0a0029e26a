"""Casts in C: one table entry per channel (or one for all), by the simulator's own constants."""

from __future__ import annotations

import numpy as np

from fxp.interop.c_text import literal
from fxp.ir import Requantise
from fxp.kernels.casting import Clamp, Recast, prepare_cast
from fxp.ranges import Signal


def cast_table(node: Requantise, name: str, x: Signal) -> str:
    """The constants of a cast; the meaning of the fields stands beside `net_cast`."""
    k = _constants(node, x)
    zeros = np.zeros_like(k.shift)
    if isinstance(k, Recast):
        columns = (k.offset, k.negative, k.odd, k.shift, k.left, k.low, k.high)
    else:
        columns = (k.offset, zeros, zeros, k.shift, zeros, k.low, k.high)
    rows = [
        "    {" + ", ".join(literal(int(value)) for value in row) + "},"
        for row in zip(*columns, strict=True)
    ]
    body = "\n".join(rows)
    return f"static const net_cast {name}_cast[{len(rows)}] = {{\n{body}\n}};\n"


def cast_call(node: Requantise, name: str, x: Signal, word: str) -> str:
    """The expression that casts `word`, which is number i of its frame."""
    k = _constants(node, x)
    entry = f"&{name}_cast[{f'i / {x.joints}' if len(k.shift) > 1 else '0'}]"
    if isinstance(k, Clamp):
        bounds = [int(k.low[0]), int(k.high[0]), int(k.low[0])]
    else:
        bounds = [int(bound) for bound in k.bounds]
    wraps = isinstance(k, Recast) and k.wrap
    ends = ", ".join(map(literal, bounds))
    return f"{'cast_wrap' if wraps else 'cast_saturate'}({word}, {entry}, {ends})"


def _constants(node: Requantise, x: Signal) -> Clamp | Recast:
    shifts = [frac - node.cast.to.frac_bits for frac in x.frac_bits]
    return prepare_cast(node.cast, node.relu, shifts, (min(x.lo), max(x.hi)), joints=1)
