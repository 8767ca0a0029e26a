"""Rules that one field of one node can break; every message names the node, the field, the value.

Used by `fxp.validate`, which knows what each kind of node needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fxp.errors import GraphError
from fxp.ir import IntArray, Node, TemporalConv, Weights
from fxp.qformat import MAX_WORD_BITS


def check_weights(
    node: Node,
    key: str,
    weights: Weights,
    rule: Callable[[tuple[int, ...]], tuple[int, ...]],
) -> tuple[int, ...]:
    """The shape of `weights.raw`; `rule` gives the shape it must have, its free axes kept."""
    where = f"node `{node.name}`: `{key}`"
    raw, bits, frac_bits = weights.raw, weights.word_bits, weights.frac_bits
    rank = {"weight": 3 if isinstance(node, TemporalConv) else 2, "adjacency": 3, "scale": 2}[key]
    if not isinstance(raw, np.ndarray) or raw.dtype != np.int64:
        raise GraphError(f"{where} must be an int64 array")
    if raw.ndim != rank:
        raise GraphError(f"{where} must have {rank} axes, got shape {raw.shape}")
    if 0 in raw.shape:
        raise GraphError(f"{where} must not be empty, got shape {raw.shape}")
    if raw.shape != rule(raw.shape):
        raise GraphError(f"{where} must have shape {rule(raw.shape)}, got {raw.shape}")
    if type(bits) is not int or not 1 <= bits <= MAX_WORD_BITS:
        raise GraphError(f"{where}: `word_bits` must be 1..{MAX_WORD_BITS}, got {bits!r}")
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    for extreme in (int(raw.min()), int(raw.max())):
        if not low <= extreme <= high:
            raise GraphError(f"{where}: {extreme} does not fit {bits} bits ({low}..{high})")
    if len(frac_bits) not in (1, raw.shape[0]) or any(type(f) is not int for f in frac_bits):
        raise GraphError(
            f"{where}: `frac_bits` must be 1 or {raw.shape[0]} ints, got {frac_bits!r}"
        )
    return raw.shape


def check_bias(node: Node, bias: IntArray, shapes: Sequence[tuple[int, ...]]) -> None:
    """Refuse a bias that is no int64 array of one of the shapes."""
    if not isinstance(bias, np.ndarray) or bias.dtype != np.int64:
        raise GraphError(f"node `{node.name}`: `bias` must be an int64 array")
    if bias.shape not in shapes:
        allowed = " or ".join(map(str, shapes))
        raise GraphError(f"node `{node.name}`: `bias` must have shape {allowed}, got {bias.shape}")


def check_table(node: Node, key: str, table: IntArray, low: int, high: int) -> None:
    """Refuse a table that is no int64 array of one axis, or has entries beyond `low..high`."""
    where = f"node `{node.name}`: `{key}`"
    if not isinstance(table, np.ndarray) or table.dtype != np.int64 or table.ndim != 1:
        raise GraphError(f"{where} must be an int64 array of one axis")
    if not table.size:
        raise GraphError(f"{where} must not be empty")
    for extreme in (int(table.min()), int(table.max())):
        if not low <= extreme <= high:
            raise GraphError(f"{where}: entries must be {low}..{high}, got {extreme}")


def check_type(node: Node, key: str, value: object, kind: type) -> None:
    """Refuse a value of another type."""
    if not isinstance(value, kind):
        raise GraphError(f"node `{node.name}`: `{key}` must be a {kind.__name__}, got {value!r}")


def between(node: Node, key: str, value: object, low: int, high: int) -> None:
    """Refuse what is no int within `low..high`."""
    if type(value) is not int or not low <= value <= high:
        raise GraphError(f"node `{node.name}`: `{key}` must be {low}..{high}, got {value!r}")


def at_least(node: Node, key: str, value: object, least: int) -> None:
    """Refuse what is no int of at least `least`."""
    if type(value) is not int or value < least:
        raise GraphError(f"node `{node.name}`: `{key}` must be an int >= {least}, got {value!r}")
