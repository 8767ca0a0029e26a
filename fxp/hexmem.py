"""Hex memories: tensors as the text that `$readmemh` reads, and back, every digit checked.

One memory word a line: exactly `ceil(bits / 4)` lower-case hex digits, no prefix, no comment, LF,
also after the last word. Values are two's complement masked to their width. A word packs `lanes`
values along the tensor's lane axis, lane 0 in the least significant bits; where the axis does not
fill the last word, the pad lanes are zero. An axis that holds several partitions is cut into
`groups` first, so that no word straddles two of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from fxp.errors import InputError
from fxp.ir import IntArray

_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
_NEWLINE = 0x0A
_INVALID = 255
_VALUE_OF = np.full(256, _INVALID, np.uint8)
_VALUE_OF[_DIGITS] = np.arange(16, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a tensor of `shape` becomes memory words.

    The axes follow each other as in `axes`, outermost first; within a word run `lanes` consecutive
    entries of axis `lane_axis`, of which each of `groups` equal parts is padded on its own.
    `word_bits` is the width of one value.
    """

    shape: tuple[int, ...]
    axes: tuple[str, ...]
    lane_axis: int
    word_bits: int
    signed: bool
    lanes: int = 1
    groups: int = 1

    @property
    def blocks(self) -> int:
        """Memory words along the lane axis."""
        return self.groups * -(-(self.shape[self.lane_axis] // self.groups) // self.lanes)

    @property
    def word_count(self) -> int:
        """Lines of the file."""
        return self.blocks * math.prod(self.shape) // max(1, self.shape[self.lane_axis])

    @property
    def line_bits(self) -> int:
        """Width of one memory word."""
        return self.lanes * self.word_bits

    @property
    def file_bytes(self) -> int:
        """Size of the file: every line ends with LF."""
        return self.word_count * (self.digits + 1)

    @property
    def digits(self) -> int:
        """Hex digits of one line."""
        return -(-self.line_bits // 4)


def encode(raw: IntArray, layout: Layout) -> bytes:
    """The file's text for `raw` of `layout.shape`.

    Raises:
        InputError: a value does not fit the layout's width.
    """
    low = -(1 << (layout.word_bits - 1)) if layout.signed else 0
    high = (1 << (layout.word_bits - layout.signed)) - 1
    if raw.size and not low <= int(raw.min()) <= int(raw.max()) <= high:
        extremes = f"{raw.min()}..{raw.max()}"
        raise InputError(f"values {extremes} do not fit {layout.word_bits} bits ({low}..{high})")
    lanes = _to_lanes(raw, layout)  # (words, lanes)
    shifts = np.arange(layout.word_bits, dtype=np.int64)
    bits = (
        ((lanes[:, :, None] >> shifts) & 1).astype(np.uint8).reshape(len(lanes), layout.line_bits)
    )
    bits = np.pad(bits, ((0, 0), (0, 4 * layout.digits - bits.shape[1])))
    nibbles = bits.reshape(len(lanes), layout.digits, 4) @ np.array([1, 2, 4, 8], np.uint8)
    text = np.full((len(lanes), layout.digits + 1), _NEWLINE, np.uint8)
    text[:, :-1] = _DIGITS[nibbles[:, ::-1]]
    return text.tobytes()


def decode(text: bytes, layout: Layout, where: str, first_line: int = 1) -> IntArray:
    """The tensor in `text`, int64 of `layout.shape`; the inverse of `encode`.

    `first_line` is the number that the text's first line has in its file.

    Raises:
        InputError: `where`, the line and the rule that the text breaks.
    """
    lines = _lines(text, layout, where, first_line)
    nibbles = _VALUE_OF[lines[:, -2::-1]]  # least significant first
    bits = ((nibbles[:, :, None] >> np.arange(4, dtype=np.uint8)) & 1).reshape(
        len(lines), 4 * layout.digits
    )
    if (row := _first(bits[:, layout.line_bits :].any(1))) is not None:
        _refuse(where, first_line + row, f"the word has more than {layout.line_bits} bits")
    split = bits[:, : layout.line_bits].reshape(len(lines), layout.lanes, layout.word_bits)
    weights = np.int64(1) << np.arange(layout.word_bits, dtype=np.int64)
    if layout.signed:
        weights[-1] = -weights[-1]
    lanes = split.astype(np.int64) @ weights  # (words, lanes)
    pads = _to_lanes(np.ones(layout.shape, np.int64), layout) == 0
    if (row := _first((lanes * pads).any(1))) is not None:
        _refuse(where, first_line + row, "a pad lane is not zero")
    return _from_lanes(lanes, layout)


def word_address(layout: Layout, index: tuple[int, ...]) -> tuple[int, int]:
    """Where the value at `index` stands: (word counted from 0, lane)."""
    size = layout.shape[layout.lane_axis] // layout.groups
    group, within = divmod(index[layout.lane_axis], size)
    block = group * (layout.blocks // layout.groups) + within // layout.lanes
    extents, place = list(layout.shape), list(index)
    extents[layout.lane_axis], place[layout.lane_axis] = layout.blocks, block
    word = 0
    for extent, at in zip(extents, place, strict=True):
        word = word * extent + at
    return word, within % layout.lanes


def _to_lanes(raw: IntArray, layout: Layout) -> IntArray:
    """(words, lanes): the lane axis cut into groups, padded, and moved to the end in blocks."""
    axis, size = layout.lane_axis, layout.shape[layout.lane_axis] // layout.groups
    outer = [extent for i, extent in enumerate(layout.shape) if i != axis]
    cut = np.moveaxis(raw, axis, -1).reshape(math.prod(outer), layout.groups, size)
    padded = np.pad(cut, ((0, 0), (0, 0), (0, -size % layout.lanes)))
    blocks = padded.reshape(*outer, layout.blocks, layout.lanes)
    return np.moveaxis(blocks, -2, axis).reshape(layout.word_count, layout.lanes)


def _from_lanes(words: IntArray, layout: Layout) -> IntArray:
    """The tensor in (words, lanes), pad lanes dropped."""
    axis, size = layout.lane_axis, layout.shape[layout.lane_axis] // layout.groups
    extents = list(layout.shape)
    extents[axis] = layout.blocks
    blocks = np.moveaxis(words.reshape(*extents, layout.lanes), axis, -2)
    outer = [extent for i, extent in enumerate(layout.shape) if i != axis]
    padded = blocks.reshape(math.prod(outer), layout.groups, size + -size % layout.lanes)
    raw = padded[:, :, :size].reshape(*outer, layout.shape[axis])
    return np.ascontiguousarray(np.moveaxis(raw, -1, axis))


def _lines(text: bytes, layout: Layout, where: str, first_line: int) -> npt.NDArray[np.uint8]:
    """(words, digits + 1) characters, after count and digits were checked."""
    if len(text) != layout.file_bytes:
        found = text.count(b"\n")
        raise InputError(
            f"{where}: {layout.word_count} words of {layout.digits} hex digits are needed "
            f"({layout.file_bytes} bytes), found {found} lines in {len(text)} bytes"
        )
    lines = np.frombuffer(text, np.uint8).reshape(layout.word_count, layout.digits + 1)
    wrong = (lines[:, -1] != _NEWLINE) | (_VALUE_OF[lines[:, :-1]] == _INVALID).any(1)
    if (row := _first(wrong)) is not None:
        _refuse(where, first_line + row, f"{layout.digits} lower-case hex digits and LF are needed")
    return lines


def _first(flags: Any) -> int | None:
    """Index of the first set flag of a vector."""
    return int(np.argmax(flags)) if flags.any() else None


def _refuse(where: str, line: int, rule: str) -> NoReturn:
    raise InputError(f"{where}: line {line}: {rule}")
