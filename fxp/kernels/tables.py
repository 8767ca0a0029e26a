"""Where things stand in the tables of integers that kernels read: names for their entries.

A record of the compiled loop (`fxp.kernels.drive`) is a row of int64: a head (`Head`), then the
table of the kernel that the head names (`Rows`, `Product`).
"""

from __future__ import annotations

from enum import IntEnum

HEAD = 24  # entries before a kernel's table
RECORD = 64


class Op(IntEnum):
    """What a record does."""

    ROWS = 0
    PRODUCT = 1
    TAPS = 2
    DELAY = 3
    PICK = 4


class Head(IntEnum):
    """Entries of a record's head. `X` is what is read, `OUT` what is made."""

    OP = 0
    X_PERIOD = 1
    X_LOOKAHEAD = 2
    OUT_PERIOD = 3
    OUT_LOOKAHEAD = 4
    X = 5  # address
    FRAME = 6  # bytes of a frame of X
    OUT = 7  # address
    JOINTS = 8
    CHANNELS = 9
    # products
    TAPS = 10  # number
    DILATION = 11
    LOOKAHEAD = 12
    STRIDE = 13
    ADDRESSES = 14  # (taps,) int64: where each tap's rows begin
    BIAS = 15  # (Cout,) int64 to start an int64 result with, or 0
    # products and delays
    RING = 16  # address
    SLOTS = 17
    # argmax
    CODE = 18
    LEFT = 19  # (C,) int64
    OUT_CODE = 20
    # temporal convolutions
    SECOND = 21  # address of a second result, or 0
    # passes and products
    KERNEL = 22  # of the compiled kernel


class Rows(IntEnum):
    """Entries of a pass's table: addresses, strides in bytes, codes of storage, flags, sizes."""

    JOINTS = 0
    CHANNELS = 1
    CONSTANTS = 2  # address
    SOURCE = 3
    SOURCE_CODE = 4
    SOURCE_ITEM = 5  # bytes of a word
    SOURCE_FRAME = 6  # bytes of a frame
    EDGES = 7  # flag: there is a list of them
    ORDER = 8  # (V, 2) int64: joints in the order of the work, and where the edges into each begin
    EDGE_LIST = 9  # (E, 3) int64: bytes from the start of a frame, factor, whether others follow
    CAST_SOURCE = 10  # what each cast does: see `CastKind`
    WINDOW = 11  # flag
    FIFO = 12
    FIFO_CODE = 13
    FIFO_ITEM = 14
    DEPTH = 15  # frames in the FIFO
    TOTAL = 16
    TOTAL_CODE = 17
    TOTAL_ITEM = 18
    DILATION = 19
    AFFINE = 20  # flag
    CAST_AFFINE = 21
    ADD = 22  # 0 none, 1 as they are, 2 aligned by factors
    OTHER = 23
    OTHER_CODE = 24
    OTHER_ITEM = 25
    OUT = 26
    OUT_CODE = 27
    OUT_ITEM = 28
    CAST_OUT = 29
    SECOND = 30  # address of the second result, or 0
    SECOND_CODE = 31
    SECOND_ITEM = 32
    CAST_SECOND = 33


class NarrowConstant(IntEnum):
    """Rows of the constants with which sums in two registers are cast in 32 bits.

    The bias, with the rounding offset, is in digits like the sum: of the high and the low register,
    of the middle sum of crossed digits, which has the next digit in it too, and of the lowest.
    """

    HIGH_BIAS = 0
    BIAS = 1
    MIDDLE_BIAS = 2
    LOW_BIAS = 3
    LEFT = 4  # how far the high register moves left, and then right; and the low one right
    EXTRA = 5
    RIGHT = 6
    LOWEST = 7
    HIGHEST = 8


class Split(IntEnum):
    """Entries of the table of a pass that splits words into digits (`fxp.kernels.crossed`)."""

    X = 0  # address
    CODE = 1
    WORDS = 2  # of a frame
    CENTRE = 3  # what words are lowered by
    LOW_BITS = 4
    ROUNDING = 5  # 0, or half the range of a low digit, which then has a sign
    LOW = 6  # address
    LOW_CODE = 7
    HIGH = 8  # addresses of words of 16 bits
    BOTH = 9


class CastKind(IntEnum):
    """What a cast does to an accumulator with its rounding offset."""

    NONE = 0
    CLAMP = 1  # clamp(x >> shift, low, high)
    EVEN = 2  # the same, after adding `odd` where x without the offset, shifted, is odd
    WRAP = 3  # ((x >> shift) - low & high) + low; `high` is a mask


class RowsConstant(IntEnum):
    """Rows of a pass's constants. Each cast has five, in this order."""

    SOURCE_OFFSET = 0  # rounding offset of a cast, or 0
    SOURCE_SHIFT = 1
    SOURCE_LOW = 2
    SOURCE_HIGH = 3
    SOURCE_ODD = 4  # 1 where rounding is half to even, 0 elsewhere
    AFFINE_OFFSET = 5
    AFFINE_SHIFT = 6
    AFFINE_LOW = 7
    AFFINE_HIGH = 8
    AFFINE_ODD = 9
    OUT_OFFSET = 10
    OUT_SHIFT = 11
    OUT_LOW = 12
    OUT_HIGH = 13
    OUT_ODD = 14
    SECOND_OFFSET = 15
    SECOND_SHIFT = 16
    SECOND_LOW = 17
    SECOND_HIGH = 18
    SECOND_ODD = 19
    SCALE = 20
    BIAS = 21
    LEFT = 22
    RIGHT = 23


class Product(IntEnum):
    """Entries of a product's table: addresses, strides in bytes, codes of storage, sizes."""

    COLUMNS = 0
    ROW = 1  # bytes of a row of operands
    TAPS = 2
    GROUPS = 3  # of operands that are multiplied at a time, per tap
    FLIP = 4  # what operands are changed by: 0, or the top bit of each byte
    WEIGHT = 5  # panel by panel (taps * groups, columns, operands of a group)
    CONSTANTS = 6
    OUT = 7
    OUT_CODE = 8
    OUT_ITEM = 9
    OUT_EVEN = 10  # flag: half to even
    SECOND = 11  # address of the second result, or 0
    SECOND_CODE = 12
    SECOND_ITEM = 13
    SECOND_EVEN = 14
    PLACES = 15  # how far sums move left before they are added to an int64 `OUT`
    CARRY = 16  # groups of operands after which sums are carried (`fxp.kernels.carried`)
    CENTRE = 17  # what their operands are lowered by
    # of operands and weights in two digits (`fxp.kernels.crossed`); those above are the high ones'
    LOW = 18  # address of the low digits of operands
    LOW_ROW = 19
    LOW_GROUPS = 20
    LOW_WEIGHT = 21
    BOTH = 22  # of the digits' sums
    BOTH_WEIGHT = 23
    LOW_BITS = 24
    NARROW = 25  # address of `NarrowConstant`s, or 0


class ProductConstant(IntEnum):
    """Rows of a product's constants; the rounding offset of the first cast is in the bias."""

    BIAS = 0
    OUT_OFFSET = 1
    OUT_SHIFT = 2
    OUT_LOW = 3
    OUT_HIGH = 4
    OUT_ODD = 5
    SECOND_OFFSET = 6  # less that of the first cast
    SECOND_SHIFT = 7
    SECOND_LOW = 8
    SECOND_HIGH = 9
    SECOND_ODD = 10
    SECOND_AWAY = 11  # the second cast's own offset
