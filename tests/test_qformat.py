"""Formats are plain values; these tests fix their bounds, their texts and their equality."""

import pytest

from fxp.errors import FormatError, InputError
from fxp.qformat import MAX_WORD_BITS, Cast, Overflow, QFormat, Rounding


@pytest.mark.parametrize("word_bits", range(1, MAX_WORD_BITS + 1))
def test_bounds(word_bits: int) -> None:
    signed, unsigned = QFormat(word_bits, 0), QFormat(word_bits, 0, signed=False)
    assert (signed.raw_min, signed.raw_max) == (-(2 ** (word_bits - 1)), 2 ** (word_bits - 1) - 1)
    assert (unsigned.raw_min, unsigned.raw_max) == (0, 2**word_bits - 1)


@pytest.mark.parametrize("frac_bits", [-100, -1, 0, 7, 8, 31, 1000])
def test_the_binary_point_may_be_anywhere_and_moves_no_bound(frac_bits: int) -> None:
    fmt = QFormat(8, frac_bits)
    assert (fmt.raw_min, fmt.raw_max, fmt.frac_bits) == (-128, 127, frac_bits)


def test_repr_is_code() -> None:
    cast = Cast(QFormat(8, -3, signed=False), Rounding.RND_CONV, Overflow.SAT_SYM)
    names = {"Rounding": Rounding, "Overflow": Overflow, "QFormat": QFormat, "Cast": Cast}
    assert eval(repr(cast.to), dict(names)) == cast.to
    assert repr(cast.to) == "QFormat(word_bits=8, frac_bits=-3, signed=False)"


def test_formats_and_casts_are_hashable_values() -> None:
    assert len({QFormat(8, 4), QFormat(8, 4), QFormat(8, 4, False), QFormat(8, 5)}) == 3
    assert Cast(QFormat(8, 4)) == Cast(QFormat(8, 4), Rounding.RND, Overflow.SAT)
    assert len({Cast(QFormat(8, 4)), Cast(QFormat(8, 4), Rounding.TRN)}) == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0, 0), "`word_bits` must be 1..32, got 0"),
        ((33, 0), "`word_bits` must be 1..32, got 33"),
        ((-8, 0), "`word_bits` must be 1..32, got -8"),
        ((8.0, 0), "`word_bits` must be 1..32, got 8.0"),
        ((True, 0), "`word_bits` must be 1..32, got True"),
        ((8, 1.5), "`frac_bits` must be an int, got 1.5"),
        ((8, None), "`frac_bits` must be an int, got None"),
        ((8, 0, 1), "`signed` must be a bool, got 1"),
    ],
)
def test_wrong_formats_are_refused_in_one_line(arguments: tuple, text: str) -> None:
    with pytest.raises(FormatError) as caught:
        QFormat(*arguments)
    assert str(caught.value) == text
    assert isinstance(caught.value, InputError)
