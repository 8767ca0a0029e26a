"""Memories of a golden bundle as C99 headers, one a tensor, and one that includes them all.

Words are unpacked: an array has the tensor's values in the order of its axes, whatever the lanes
are, in the narrowest integer type that holds a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from fxp.interop.c_text import array, c_type, comment_text, identifier, literal
from fxp.ir import Graph, IntArray
from fxp.memories import Memory
from fxp.store import graph_hash

INDEX = "bundle.h"


def c_name(memory: Memory, graph: Graph) -> str:
    """The array's name: `n4_conv_weight`, `n5_conv_q_value`, `n7_sum_fifo_t3`.

    Node names may differ in a dot alone, so the node's number is in it.
    """
    index = next(i for i, node in enumerate(graph.nodes) if node.name == memory.node)
    folder, _, file = memory.file.partition("/")
    tail = file.removesuffix(".hex").removeprefix(memory.node).replace(".", "_")
    return identifier(index, memory.node) + ("_value" if folder == "values" else tail)


def c_header(memory: Memory, graph: Graph, raw: IntArray) -> str:
    """The header of one tensor, `raw` of its layout's shape.

    Macros give the shape by axis, the number of words, `WORD_BITS`, `SIGNED` and `FRAC_BITS`; where
    binary points differ along an axis, `FRAC_BITS` is an array of its own, in lower case.
    """
    name, layout = c_name(memory, graph), memory.layout
    at = name.upper()
    facts = {
        **{axis.upper(): size for axis, size in zip(layout.axes, layout.shape, strict=True)},
        "WORDS": raw.size,
        "WORD_BITS": layout.word_bits,
        "SIGNED": int(layout.signed),
    }
    if memory.frame >= 0:
        facts["AFTER_FRAME"] = memory.frame
    fracs = np.array(memory.frac_bits, np.int64)
    if len(fracs) == 1:
        facts["FRAC_BITS"] = int(fracs[0])
    lines = [f"#define {at}_{key} {_number(value)}" for key, value in facts.items()]
    if len(fracs) > 1:
        what = comment_text(f"fractional bits per {memory.frac_axis}")
        lines += ["", array(f"{name}_frac_bits", fracs, what)]
    what = comment_text(f"{memory.role} {memory.value} of {memory.node} ({' '.join(layout.axes)})")
    kind = c_type(layout.word_bits, layout.signed)
    body = [*lines, "", array(name, raw, what, kind)]
    return _guarded(at, ["#include <stdint.h>", "", *body])


def c_index(graph: Graph, frames: int, headers: Iterable[str]) -> str:
    """The header that includes `headers`, paths from where it stands."""
    facts: Mapping[str, int | str] = {
        "BUNDLE_FRAMES": frames,
        "BUNDLE_GRAPH_HASH": f'"{graph_hash(graph)}"',
    }
    lines = [f"#define {key} {value}" for key, value in facts.items()]
    return _guarded("BUNDLE", [*lines, "", *(f'#include "{header}"' for header in headers), ""])


def _guarded(name: str, lines: Iterable[str]) -> str:
    return "\n".join([f"#ifndef {name}_H", f"#define {name}_H", "", *lines, "#endif", ""])


def _number(value: int) -> str:
    return f"({literal(value)})" if value < 0 else literal(value)
