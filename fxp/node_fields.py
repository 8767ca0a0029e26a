"""Nodes to plain data and back, field by field, by the types their dataclasses declare.

A new field of a node is stored without a change here; a new node needs its line in `NODE_KINDS`.
JSON data and arrays are kept apart: a `Weights` under field `weight` of node `conv` is the entry
`weight: {word_bits, frac_bits}` and the array `conv.weight`; a plain array field `bias` is the
array `conv.bias` alone.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import numpy as np

from fxp.archive import Array
from fxp.errors import InputError
from fxp.ir import (
    Add,
    Affine,
    Argmax,
    ClipMean,
    Conv,
    Flatten,
    GraphProduct,
    Input,
    IntArray,
    JointMean,
    LayerNorm,
    Node,
    Requantise,
    Softmax,
    TemporalConv,
    TemporalSum,
    Weights,
)

# The names that stand in files, hence written out: renaming a class must not change them silently.
NODE_KINDS: Mapping[str, type[Node]] = types.MappingProxyType(
    {
        "Input": Input,
        "Conv": Conv,
        "GraphProduct": GraphProduct,
        "TemporalSum": TemporalSum,
        "TemporalConv": TemporalConv,
        "Affine": Affine,
        "Add": Add,
        "Flatten": Flatten,
        "JointMean": JointMean,
        "ClipMean": ClipMean,
        "LayerNorm": LayerNorm,
        "Softmax": Softmax,
        "Requantise": Requantise,
        "Argmax": Argmax,
    }
)
_KIND_OF: Mapping[type[Any], str] = {cls: kind for kind, cls in NODE_KINDS.items()}

MAX_NUMBER = 1 << 31  # no integer field of a node is larger than this


def kind_of(node: Node) -> str:
    """The name of the node's kind as it stands in files."""
    return _KIND_OF[type(node)]


def describe_node(node: Node) -> dict[str, Any]:
    """All of a node but its arrays as JSON data, e.g. `{"kind": "Add", "name": "add", ...}`."""
    return {"kind": kind_of(node), **_plain(node)}


def node_arrays(node: Node) -> dict[str, IntArray]:
    """The constants of a node, int64, by field name."""
    found: dict[str, IntArray] = {}
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        if isinstance(value, Weights):
            found[field.name] = value.raw
        elif isinstance(value, np.ndarray):
            found[field.name] = value
    return found


def build_node(entry: Any, arrays: dict[str, Array]) -> Node:
    """The node that `describe_node` described; its constants are taken out of `arrays`.

    Raises:
        InputError: an unknown kind, a missing, unknown or wrongly typed field, a missing array.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise InputError(f"every node must be an object with a `name`, got {entry!r:.80}")
    where = f"node {entry['name'][:80]!r}"
    kind = entry.get("kind")
    if not isinstance(kind, str) or kind not in NODE_KINDS:
        raise InputError(f"{where}: unknown kind {kind!r:.80}, allowed: {', '.join(NODE_KINDS)}")
    given = {key: value for key, value in entry.items() if key != "kind"}
    node: Node = _build(NODE_KINDS[kind], given, where, entry["name"], arrays)
    return node


def checked(hint: Any, value: Any, place: str) -> Any:
    """`value` if it is exactly of the type `hint`: str, int, bool, an enumeration, or a tuple.

    Lists stand for tuples and strings for members of an enumeration; a bool is no int here.

    Raises:
        InputError: any other value, or an int beyond `MAX_NUMBER`; the line starts with `place`.
    """
    if hint == tuple[int, ...] or hint == tuple[str, ...]:
        if isinstance(value, list):
            return tuple(checked(typing.get_args(hint)[0], item, place) for item in value)
        raise InputError(f"{place} must be a list, got {value!r:.80}")
    if issubclass(hint, StrEnum):
        if value in list(hint):
            return hint(value)
        raise InputError(f"{place} must be one of {', '.join(hint)}, got {value!r:.80}")
    if type(value) is not hint:
        raise InputError(f"{place} must be of type {hint.__name__}, got {value!r:.80}")
    if hint is int and abs(value) > MAX_NUMBER:
        raise InputError(f"{place} must be within {MAX_NUMBER}, got {value!r:.80}")
    return value


def _plain(value: Any) -> Any:
    """A field's value as JSON data; arrays are left to `node_arrays`."""
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple):
        return list(value)
    if dataclasses.is_dataclass(value):
        fields = {
            field.name: getattr(value, field.name)
            for field in dataclasses.fields(value)
            if not (_may_be_left_out(field) and getattr(value, field.name) == field.default)
        }
        return {k: _plain(v) for k, v in fields.items() if not isinstance(v, np.ndarray)}
    return value


def _build(cls: type[Any], given: Any, where: str, path: str, arrays: dict[str, Array]) -> Any:
    """An instance of `cls` from exactly its declared fields, each of exactly its declared type."""
    hints = typing.get_type_hints(cls)
    in_json = {name for name, hint in hints.items() if hint != IntArray}
    defaults = {f.name: f.default for f in dataclasses.fields(cls) if _may_be_left_out(f)}
    if isinstance(given, dict):
        given = {**defaults, **given}
    if not isinstance(given, dict) or given.keys() != in_json:
        found = sorted(given) if isinstance(given, dict) else type(given).__name__
        raise InputError(f"{where}: the fields must be {sorted(in_json)}, got {found!s:.200}")
    values: dict[str, Any] = {}
    for name, hint in hints.items():
        if hint == IntArray:
            array = path if cls is Weights else f"{path}.{name}"
            values[name] = _constant(array, where, arrays)
        elif dataclasses.is_dataclass(hint):
            inner = f"{where}: `{name}`"
            values[name] = _build(
                typing.cast(Any, hint), given[name], inner, f"{path}.{name}", arrays
            )
        else:
            values[name] = checked(hint, given[name], f"{where}: `{name}`")
    try:
        return cls(**values)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _may_be_left_out(field: dataclasses.Field[Any]) -> bool:
    """Whether the field is younger than the format (`fxp.ir.LEFT_OUT`)."""
    return "left_out" in field.metadata


def _constant(name: str, where: str, arrays: dict[str, Array]) -> IntArray:
    if name not in arrays:
        raise InputError(f"{where}: array {name[:80]} is missing")
    array = arrays.pop(name)
    if array.dtype.kind != "i":
        raise InputError(f"{where}: array {name} must hold signed integers, got {array.dtype}")
    return array.astype(np.int64)
