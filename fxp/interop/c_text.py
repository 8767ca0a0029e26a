"""C99 text: identifiers, integer types, constant arrays, templates with their numbers filled in."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from string import Template

import numpy as np
import numpy.typing as npt

_WIDTHS = (8, 16, 32, 64)


def identifier(index: int, name: str) -> str:
    """A C name for node number `index`: unique, as two nodes may differ in a dot alone."""
    return f"n{index}_{name.replace('.', '_')}"


def c_type(word_bits: int, signed: bool) -> str:
    """The narrowest integer type of <stdint.h> that holds words of a format."""
    width = next(width for width in _WIDTHS if word_bits <= width)
    return f"{'' if signed else 'u'}int{width}_t"


def type_of(values: npt.NDArray[np.int64]) -> str:
    """The narrowest signed type that holds all of `values`."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    return c_type(1 + max(high.bit_length(), (~low).bit_length()), signed=True)


def array(name: str, values: npt.NDArray[np.int64], comment: str, kind: str = "") -> str:
    """A constant array, flat, in row-major order, of the narrowest type or the one given."""
    numbers = ", ".join(map(literal, values.reshape(-1).tolist()))
    body = textwrap.fill(numbers, 98, initial_indent="    ", subsequent_indent="    ")
    head = f"static const {kind or type_of(values)} {name}[{values.size}]"
    return f"/* {comment} */\n{head} = {{\n{body}\n}};\n"


def literal(value: int) -> str:
    """An integer constant of any size an int64_t has; its least value has no literal in C."""
    if value == -(1 << 63):
        return "INT64_MIN"
    return str(value) if abs(value) < 1 << 31 else f"INT64_C({value})"


def fill(template: str, **fields: str | int) -> str:
    """The template with every `$field` filled in."""
    return Template(textwrap.dedent(template).strip("\n")).substitute(
        {key: value if isinstance(value, str) else literal(value) for key, value in fields.items()}
    )


def indented(lines: Iterable[str]) -> str:
    """Text four spaces further in."""
    return textwrap.indent("\n".join(lines), "    ")


def comment_text(text: str) -> str:
    """Text that may stand in a C comment or string, whatever a name holds."""
    return "".join(c if c.isalnum() or c in " ._-+:,()=" else "?" for c in text)
