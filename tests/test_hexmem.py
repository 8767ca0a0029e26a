import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxp.errors import InputError
from fxp.hexmem import Layout, decode, encode, word_address


def flat(word_bits: int, signed: bool, words: int, lanes: int = 1, groups: int = 1) -> Layout:
    return Layout((words,), ("channel",), 0, word_bits, signed, lanes, groups)


def naive(raw: np.ndarray, layout: Layout) -> bytes:
    """The convention in Python integers, one word at a time."""
    outer = [n for i, n in enumerate(layout.shape) if i != layout.lane_axis]
    size = layout.shape[layout.lane_axis] // layout.groups
    per_group = -(-size // layout.lanes)
    lines = {}
    for where in np.ndindex(*outer):
        for group in range(layout.groups):
            for block in range(per_group):
                word = 0
                for lane in range(layout.lanes):
                    if (within := block * layout.lanes + lane) < size:
                        index = list(where)
                        index.insert(layout.lane_axis, group * size + within)
                        value = int(raw[tuple(index)]) & ((1 << layout.word_bits) - 1)
                        word |= value << (lane * layout.word_bits)
                place = list(where)
                place.insert(layout.lane_axis, group * per_group + block)
                lines[tuple(place)] = f"{word:0{layout.digits}x}\n"
    return "".join(lines[key] for key in sorted(lines)).encode()


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", range(1, 9))
def test_every_word_of_small_widths(bits: int, signed: bool) -> None:
    low = -(1 << (bits - 1)) if signed else 0
    raw = np.arange(low, low + (1 << bits))
    layout = flat(bits, signed, len(raw))
    text = encode(raw, layout)
    digits = -(-bits // 4)
    mask = (1 << bits) - 1
    assert text == "".join(f"{int(v) & mask:0{digits}x}\n" for v in raw).encode()
    assert np.array_equal(decode(text, layout, "x.hex"), raw)


@st.composite
def tensors(draw: st.DrawFn) -> tuple[np.ndarray, Layout]:
    groups = draw(st.integers(1, 3))
    rank = draw(st.integers(1, 3))
    axis = draw(st.integers(0, rank - 1))
    shape = [draw(st.integers(1, 4)) for _ in range(rank)]
    shape[axis] = groups * draw(st.integers(1, 7))
    bits, signed = draw(st.integers(1, 63)), draw(st.booleans())
    names = ("a", "b", "c")[:rank]
    layout = Layout(tuple(shape), names, axis, bits, signed, draw(st.integers(1, 5)), groups)
    low = -(1 << (bits - 1)) if signed else 0
    count = int(np.prod(shape))
    words = st.integers(low, low + (1 << bits) - 1)
    values = draw(st.lists(words, min_size=count, max_size=count))
    return np.array(values, np.int64).reshape(shape), layout


@given(tensors())
def test_encode_equals_the_definition_and_decode_inverts_it(
    case: tuple[np.ndarray, Layout],
) -> None:
    raw, layout = case
    text = encode(raw, layout)
    assert text == naive(raw, layout)
    assert text.count(b"\n") == layout.word_count
    assert np.array_equal(decode(text, layout, "x.hex"), raw)
    lines = text.decode().split()
    for index in np.ndindex(*layout.shape):
        word, lane = word_address(layout, index)
        found = (int(lines[word], 16) >> (lane * layout.word_bits)) & ((1 << layout.word_bits) - 1)
        assert found == int(raw[index]) & ((1 << layout.word_bits) - 1)


@given(tensors(), st.data())
def test_a_flipped_bit_is_refused_or_changes_the_tensor(
    case: tuple[np.ndarray, Layout], data: st.DataObject
) -> None:
    raw, layout = case
    text = bytearray(encode(raw, layout))
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = decode(bytes(text), layout, "x.hex")
    except InputError as error:
        assert f"line {at // (layout.digits + 1) + 1}:" in str(error)
    else:
        assert not np.array_equal(found, raw)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"0a\n0b", "2 words of 2 hex digits are needed (6 bytes), found 1 lines in 5 bytes"),
        (b"0a\n0b\n0c\n", "found 3 lines in 9 bytes"),
        (b"0A\n0b\n", "x.hex: line 1: 2 lower-case hex digits and LF are needed"),
        (b"0a\r0b\n", "x.hex: line 1: 2 lower-case hex digits and LF are needed"),
        (b"0a\n0x\n", "x.hex: line 2: 2 lower-case hex digits"),
        (b"0a\n8b\n", "x.hex: line 2: the word has more than 7 bits"),
    ],
)
def test_text_that_breaks_the_convention(text: bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        decode(text, flat(7, True, 2), "x.hex")
    assert message in str(caught.value)


def test_a_pad_lane_must_be_zero() -> None:
    layout = flat(4, False, 3, lanes=2)
    assert encode(np.array([1, 2, 3]), layout) == b"21\n03\n"
    with pytest.raises(InputError, match=r"x\.hex: line 12: a pad lane is not zero"):
        decode(b"21\n13\n", layout, "x.hex", first_line=11)


@pytest.mark.parametrize("value", [8, -9])
def test_a_value_beyond_the_width_is_refused(value: int) -> None:
    with pytest.raises(InputError, match=r"do not fit 4 bits \(-8\.\.7\)"):
        encode(np.array([0, value]), flat(4, True, 2))


def test_no_words_are_no_lines() -> None:
    layout = Layout((0, 2, 3), ("frame", "joint", "channel"), 2, 5, True, lanes=2)
    assert encode(np.zeros(layout.shape, np.int64), layout) == b""
    assert decode(b"", layout, "x.hex").shape == layout.shape
