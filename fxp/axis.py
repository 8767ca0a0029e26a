"""AXI4-Stream transfers as text: frames of a value as beats, and back (text: docs/golden.md).

One beat a line, three hex numbers: `tlast tkeep tdata`. Words run along a row, a whole frame or one
joint of it, in the order of the bundle's files (joint by joint, channels within); each takes a slot
of TDATA, the first one in the least significant bits. Where a row does not fill its last beat, the
slots left are zero. All bytes are kept, but for those behind the last word of a packet: so a stream
has null bytes only together with TLAST (AMBA AXI-Stream, "continuous aligned stream").
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

import numpy as np

from fxp.errors import InputError
from fxp.hexmem import Layout, decode, encode
from fxp.ir import IntArray

MAX_BYTES = 128  # of TDATA
SLOT_BITS = (8, 16, 32)


class Extent(StrEnum):
    """A stretch of a clip."""

    JOINT = "joint"
    FRAME = "frame"
    CLIP = "clip"


@dataclass(frozen=True, slots=True)
class Framing:
    """How words become beats.

    Attributes:
        tdata_bytes: width of TDATA, 1..128.
        word_bits: of a word.
        signed: whether a word has a sign, which is repeated above it in its slot.
        slot_bits: of a slot: 8, 16 or 32, or `word_bits` where words are packed tight.
        row: `joint` or `frame`: what starts in a beat of its own.
        packet: `frame` or `clip`: what ends with TLAST.

    Raises:
        InputError: widths that do not fit each other, or another row or packet.
    """

    tdata_bytes: int
    word_bits: int
    signed: bool
    slot_bits: int
    row: Extent = Extent.FRAME
    packet: Extent = Extent.FRAME

    def __post_init__(self) -> None:
        if not 1 <= self.tdata_bytes <= MAX_BYTES:
            raise InputError(f"TDATA must have 1..{MAX_BYTES} bytes, got {self.tdata_bytes}")
        if self.slot_bits not in (*SLOT_BITS, self.word_bits):
            raise InputError(
                f"a slot has {', '.join(map(str, SLOT_BITS))} or the word's {self.word_bits} bits, "
                f"got {self.slot_bits}"
            )
        if self.slot_bits < self.word_bits:
            raise InputError(
                f"a word of {self.word_bits} bits does not fit a slot of {self.slot_bits}"
            )
        if self.slot_bits > 8 * self.tdata_bytes:
            raise InputError(
                f"a slot of {self.slot_bits} bits does not fit TDATA of {self.tdata_bytes} bytes"
            )
        if self.row == Extent.CLIP or self.packet == Extent.JOINT:
            raise InputError(
                f"a row is a joint or a frame, a packet a frame or a clip, got {self.row} and "
                f"{self.packet}"
            )

    @property
    def slots(self) -> int:
        """Words of a beat."""
        return 8 * self.tdata_bytes // self.slot_bits


def slot_for(word_bits: int) -> int:
    """The narrowest slot of whole bytes for a word.

    Raises:
        InputError: none is wide enough.
    """
    fitting = [bits for bits in SLOT_BITS if bits >= word_bits]
    if not fitting:
        raise InputError(f"no slot of whole bytes holds {word_bits} bits; pack words tight")
    return fitting[0]


def frame_beats(framing: Framing, channels: int, joints: int) -> int:
    """Beats of a frame."""
    rows, words = _rows(framing, channels, joints)
    return rows * -(-words // framing.slots)


def encode_beats(words: IntArray, framing: Framing) -> bytes:
    """The text of the beats of a value's words `(T, C, V)`, T >= 1.

    Raises:
        InputError: a word does not fit its width.
    """
    frames, channels, joints = words.shape
    _check_fit(words, framing)
    rows, count = _rows(framing, channels, joints)
    layout = _layout(framing, frames * rows, count)
    ordered = words.transpose(0, 2, 1).reshape(frames * rows, count)  # (T, V, C) -> rows
    beats = frame_beats(framing, channels, joints)
    data = encode(ordered, layout).decode("ascii").split()
    keep, last = _sidebands(framing, frames, beats, count)
    digits, keep_digits = 2 * framing.tdata_bytes, -(-framing.tdata_bytes // 4)
    lines = [
        f"{tlast} {tkeep:0{keep_digits}x} {tdata:0>{digits}}\n"
        for tlast, tkeep, tdata in zip(last, keep, data, strict=True)
    ]
    return "".join(lines).encode("ascii")


def decode_beats(text: bytes, channels: int, joints: int, framing: Framing, where: str) -> IntArray:
    """The words `(T, C, V)` in the text of beats; the inverse of `encode_beats`.

    Raises:
        InputError: `where`, the line and the rule that the text breaks.
    """
    beats = frame_beats(framing, channels, joints)
    lines = text.decode("ascii", "replace").split("\n")
    if lines.pop() != "":
        _refuse(where, len(lines) + 1, "the last line must end with LF")
    frames, rest = divmod(len(lines), beats)
    if rest or not frames:
        raise InputError(f"{where}: a frame has {beats} beats, found {len(lines)}")
    rows, count = _rows(framing, channels, joints)
    layout = _layout(framing, frames * rows, count)
    keep, last = _sidebands(framing, frames, beats, count)
    digits, keep_digits = 2 * framing.tdata_bytes, -(-framing.tdata_bytes // 4)
    above = digits - layout.digits
    data = []
    for number, (line, tkeep, tlast) in enumerate(zip(lines, keep, last, strict=True), 1):
        begin = f"{tlast} {tkeep:0{keep_digits}x} "
        if line[: len(begin)] != begin or len(line) != len(begin) + digits:
            _refuse(
                where, number, f"`{begin}` and {digits} hex digits are needed, got {line!r:.80}"
            )
        if line[len(begin) :][:above] != "0" * above:
            _refuse(where, number, f"TDATA beyond {layout.line_bits} bits is not zero")
        data.append(line[len(begin) + above :] + "\n")
    ordered = decode("".join(data).encode("ascii", "replace"), layout, where)
    words = ordered.reshape(frames, joints, channels).transpose(0, 2, 1)
    _check_fit(words, framing, f"{where}: ")
    return np.ascontiguousarray(words)


def _rows(framing: Framing, channels: int, joints: int) -> tuple[int, int]:
    """Rows of a frame, and the words of one."""
    return (joints, channels) if framing.row == Extent.JOINT else (1, joints * channels)


def _layout(framing: Framing, rows: int, count: int) -> Layout:
    """TDATA as memory words: the lanes are the slots."""
    axes = ("row", "word")
    return Layout((rows, count), axes, 1, framing.slot_bits, framing.signed, framing.slots)


def _sidebands(
    framing: Framing, frames: int, beats: int, count: int
) -> tuple[list[int], list[int]]:
    """TKEEP and TLAST of every beat."""
    packets = 1 if framing.packet == Extent.CLIP else frames
    beats_each = frames // packets * beats
    used_bits = ((count - 1) % framing.slots + 1) * framing.slot_bits
    most = 1 << framing.tdata_bytes
    keep = [most - 1] * (beats_each - 1) + [(1 << -(-used_bits // 8)) - 1]
    last = [0] * (beats_each - 1) + [1]
    return keep * packets, last * packets


def _check_fit(words: IntArray, framing: Framing, where: str = "") -> None:
    low = -(1 << (framing.word_bits - 1)) if framing.signed else 0
    high = low + (1 << framing.word_bits) - 1
    extremes = int(words.min()), int(words.max())
    if not low <= extremes[0] <= extremes[1] <= high:
        found = "..".join(map(str, extremes))
        raise InputError(f"{where}words {found} do not fit {framing.word_bits} bits")


def _refuse(where: str, line: int, rule: str) -> NoReturn:
    raise InputError(f"{where}: line {line}: {rule}")
