"""AXI4-Stream beats against a slow definition in Python integers, and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxp.axis import Extent, Framing, decode_beats, encode_beats, frame_beats, slot_for
from fxp.errors import InputError
from fxp.ir import IntArray


def slow(words: IntArray, framing: Framing) -> str:
    """The text, beat by beat."""
    frames, channels, joints = words.shape
    beats: list[tuple[bool, list[int]]] = []  # last of a packet, words
    for t in range(frames):
        rows = [[int(words[t, c, v]) for c in range(channels)] for v in range(joints)]
        if framing.row == Extent.FRAME:
            rows = [[word for row in rows for word in row]]
        for row in rows:
            for at in range(0, len(row), framing.slots):
                beats.append((False, row[at : at + framing.slots]))
        if framing.packet == Extent.FRAME or t == frames - 1:
            beats[-1] = (True, beats[-1][1])
    lines = []
    for last, row in beats:
        data = sum(
            (word & ((1 << framing.slot_bits) - 1)) << i * framing.slot_bits
            for i, word in enumerate(row)
        )
        kept = -(-len(row) * framing.slot_bits // 8) if last else framing.tdata_bytes
        keep = sum(1 << byte for byte in range(kept))
        bytes_ = data.to_bytes(framing.tdata_bytes, "big").hex()
        lines.append(f"{int(last)} {keep:0{-(-framing.tdata_bytes // 4)}x} {bytes_}\n")
    return "".join(lines)


@st.composite
def framings(draw: st.DrawFn) -> Framing:
    word_bits = draw(st.integers(1, 63))
    slots = [bits for bits in (word_bits, 8, 16, 32) if bits >= word_bits]
    slot_bits = draw(st.sampled_from(slots))
    return Framing(
        draw(st.integers(-(-slot_bits // 8), 40)),
        word_bits,
        draw(st.booleans()),
        slot_bits,
        draw(st.sampled_from([Extent.JOINT, Extent.FRAME])),
        draw(st.sampled_from([Extent.FRAME, Extent.CLIP])),
    )


@st.composite
def values(draw: st.DrawFn) -> tuple[IntArray, Framing]:
    framing = draw(framings())
    shape = tuple(draw(st.integers(1, most)) for most in (4, 9, 5))
    low = -(1 << (framing.word_bits - 1)) if framing.signed else 0
    high = low + (1 << framing.word_bits) - 1
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    words = rng.integers(low, high, shape, endpoint=True)
    return np.where(rng.random(shape) < 0.2, rng.choice([low, high]), words), framing


@settings(max_examples=200, deadline=None)
@given(values())
def test_beats_are_the_definitions_and_come_back(case: tuple[IntArray, Framing]) -> None:
    words, framing = case
    frames, channels, joints = words.shape
    text = encode_beats(words, framing)
    assert text.decode("ascii") == slow(words, framing)
    assert text.count(b"\n") == frames * frame_beats(framing, channels, joints)
    assert np.array_equal(decode_beats(text, channels, joints, framing, "file"), words)


WORDS = np.array([[[1], [-2], [3]], [[-4], [5], [-6]]])  # (T, C, V)


def beats(*args: object) -> list[str]:
    return encode_beats(WORDS, Framing(*args)).decode("ascii").splitlines()  # type: ignore[arg-type]


def test_words_in_bytes_and_tight() -> None:
    assert beats(2, 5, True, 8) == ["0 3 fe01", "1 1 0003", "0 3 05fc", "1 1 00fa"]
    # three words of five bits fit 16, so a frame is one beat
    assert beats(2, 5, True, 5) == [f"1 3 {3 << 10 | 30 << 5 | 1:04x}", "1 3 68bc"]
    # one word of ten bits a beat: 6 bits of padding
    assert beats(2, 10, True, 10)[:2] == ["0 3 0001", "0 3 03fe"]
    assert beats(8, 5, True, 16) == ["1 3f 00000003fffe0001", "1 3f 0000fffa0005fffc"]


def test_a_packet_of_a_clip_has_null_bytes_at_its_end_only() -> None:
    assert beats(2, 5, True, 8, Extent.FRAME, Extent.CLIP) == [
        "0 3 fe01",
        "0 3 0003",
        "0 3 05fc",
        "1 1 00fa",
    ]


def test_a_joint_begins_a_beat() -> None:
    words = WORDS.reshape(1, 3, 2)  # joints 1, 3, 5 and -2, -4, -6
    framing = Framing(2, 5, True, 8, Extent.JOINT)
    assert encode_beats(words, framing).decode("ascii").splitlines() == [
        "0 3 0301",
        "0 3 0005",
        "0 3 fcfe",
        "1 1 00fa",
    ]


def test_unsigned_words_are_extended_by_zeros() -> None:
    framing = Framing(2, 5, False, 16)
    assert encode_beats(np.array([[[31]]]), framing) == b"1 3 001f\n"


@pytest.mark.parametrize(
    ("line", "text", "rule"),
    [
        (1, "1 3 fe01", "`0 3 ` and 4 hex digits are needed, got '1 3 fe01'"),
        (2, "1 3 0003", "`1 1 ` and 4 hex digits are needed, got '1 3 0003'"),
        (1, "0 3 fe0", "`0 3 ` and 4 hex digits are needed, got '0 3 fe0'"),
        (1, "0 3 fe011", "`0 3 ` and 4 hex digits are needed, got '0 3 fe011'"),
        (4, "1 1 01fa", "a pad lane is not zero"),
        (3, "0 3 05FC", "4 lower-case hex digits and LF are needed"),
        (3, "0 3 05xc", "4 lower-case hex digits and LF are needed"),
    ],
)
def test_a_wrong_beat_is_refused_by_its_line(line: int, text: str, rule: str) -> None:
    framing = Framing(2, 5, True, 8)
    lines = beats(2, 5, True, 8)
    lines[line - 1] = text
    with pytest.raises(InputError) as caught:
        decode_beats(("\n".join(lines) + "\n").encode(), 3, 1, framing, "x.axis")
    assert str(caught.value) == f"x.axis: line {line}: {rule}"


def test_other_damage_is_refused() -> None:
    framing = Framing(2, 5, True, 8)
    text = encode_beats(WORDS, framing)

    def refused(text: bytes, framing: Framing = framing) -> str:
        with pytest.raises(InputError) as caught:
            decode_beats(text, 3, 1, framing, "x")
        return str(caught.value)

    assert refused(text[:-1]) == "x: line 4: the last line must end with LF"
    assert refused(text[:-9]) == "x: a frame has 2 beats, found 3"
    assert refused(b"") == "x: a frame has 2 beats, found 0"
    assert refused(b"\xff\n\xff\n").startswith("x: line 1: `0 3 ` and 4 hex digits are needed")
    # a byte that is no sign extension of five bits
    assert refused(text.replace(b"05fc", b"15fc")) == "x: words -6..21 do not fit 5 bits"
    wide = Framing(3, 10, True, 10)  # two slots of 10 bits in 24
    lines = encode_beats(WORDS, wide).replace(b"0 7 0ff801", b"0 7 1ff801")
    assert refused(lines, wide) == "x: line 1: TDATA beyond 20 bits is not zero"
    wider = Framing(4, 10, True, 10)  # three in 32: bits 30 and 31
    lines = encode_beats(WORDS, wider).replace(b"1 f 0", b"1 f 8", 1)
    assert refused(lines, wider) == "x: line 1: the word has more than 30 bits"


def test_bits_above_the_slots_must_be_zero() -> None:
    framing = Framing(4, 9, True, 9)  # three of 9 bits: digits 0 to 6 of eight
    text = encode_beats(WORDS, framing)
    assert text.startswith(b"1 f 0")
    with pytest.raises(InputError, match=r"^x: line 1: TDATA beyond 27 bits is not zero$"):
        decode_beats(text.replace(b"1 f 0", b"1 f 1", 1), 3, 1, framing, "x")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((0, 4, True, 8), "TDATA must have 1..128 bytes, got 0"),
        ((129, 4, True, 8), "TDATA must have 1..128 bytes, got 129"),
        ((4, 9, True, 8), "a word of 9 bits does not fit a slot of 8"),
        ((2, 9, True, 32), "a slot of 32 bits does not fit TDATA of 2 bytes"),
        ((4, 9, True, 12), "a slot has 8, 16, 32 or the word's 9 bits, got 12"),
        (
            (4, 8, True, 8, Extent.CLIP),
            "a row is a joint or a frame, a packet a frame or a clip, got clip and frame",
        ),
        (
            (4, 8, True, 8, Extent.FRAME, Extent.JOINT),
            "a row is a joint or a frame, a packet a frame or a clip, got frame and joint",
        ),
    ],
)
def test_framings_that_cannot_be(args: tuple[object, ...], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Framing(*args)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_a_word_that_does_not_fit_is_refused() -> None:
    for word, signed in ((16, True), (-17, True), (32, False), (-1, False)):
        with pytest.raises(InputError, match=f"^words {word}..{word} do not fit 5 bits$"):
            encode_beats(np.array([[[word]]]), Framing(2, 5, signed, 16))


def test_the_narrowest_slot() -> None:
    sizes = [(1, 8), (8, 8), (9, 16), (16, 16), (17, 32), (32, 32)]
    assert [slot_for(bits) for bits, _ in sizes] == [slot for _, slot in sizes]
    with pytest.raises(
        InputError, match=r"^no slot of whole bytes holds 33 bits; pack words tight$"
    ):
        slot_for(33)
