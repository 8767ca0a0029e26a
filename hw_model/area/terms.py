"""What the area of an engine grows with: terms that its parameters give.

Control counts once, the datapath of a lane as often as there are lanes; what decodes the shift of a
cast serves all lanes, unless channels have shifts of their own. Each term is a number of
bits (of a product, of its bit pairs) that some part of the engine handles; `hw_model.calibrate`
finds what a bit of each costs on a target.
"""

from __future__ import annotations

from collections.abc import Mapping

from hw_model.dsp import pair_bits

Parameters = Mapping[str, int]
Terms = dict[str, float]

CASTS = ("CAST0", "CAST1", "EMIT")
STAGES = ("CAST0", "SUM", "SHIFT", "CAST1", "ADD")  # behind the accumulator, in order
REGISTERS = "registers: "  # before their terms, where logic is in the same sum
_READERS = 5  # of the ring offsets, beside one for each memory of values


def logic_terms(p: Parameters) -> Terms:
    """Terms of look-up tables, and of the gates between registers."""
    lanes, values = p["LANES"], p["VALUES"]
    casts = [_cast(p, name) for name in CASTS if _count(p, name)]
    shifters = sum(count * bits * levels for count, bits, levels in casts)
    return {
        "engine": 1,
        "rings": (_READERS + values) * p["RINGS"] * p["RING_ADDR_BITS"],
        "addresses": (_READERS + values) * (p["RING_ADDR_BITS"] + p["VALUE_ADDR_BITS"]),
        "tiles": p["HAS_TILES"] * (p["FETCH_BITS"] + p["TILE_BITS"]),
        "turns": p["HAS_DIGITS"] * p["TURNS"] * (p["DIGIT_BITS"] + 2),
        "cast control": (lanes if p["HAS_DELTA"] else 1) * shifters,
        "product": _product(p),
        "pair": p["PAIRED"] * lanes * (p["X_BITS"] + p["MULT_W_BITS"]),
        "digit": lanes * (p["OPERAND_DIGITS"] - 1) * p["X_BITS"],
        "digit sum": lanes * p["HAS_DIGITS"] * p["ACC_BITS"],
        "accumulator": lanes * p["ACC_BITS"],
        "cast": lanes * sum(count * bits for count, bits, _ in casts),
        "cast shift": lanes * shifters,
        "running sum": lanes * p["HAS_SUM"] * p["TOTAL_BITS"],
        "shift": lanes * p["HAS_SHIFT"] * p["SHIFT_BITS"],
        "addition": lanes * p["HAS_ADD"] * p["ADD_BITS"],
        "operand": lanes * values * p["READ_BITS"],
    }


def register_terms(p: Parameters) -> Terms:
    """Terms of registers: the counters of control, the instruction, the stages of the lanes.

    A stage that the engine does not need is a bare register; three registers in a row are a shift
    register, which some devices keep in look-up tables.
    """
    lanes = p["LANES"]
    product = max(p["X_BITS"] + p["MULT_W_BITS"], p["READ_BITS"])
    chained = _chained_bits(p)
    stages = ("ACC", *STAGES, "READ", "MULT_W")
    lane = product + sum(p[f"{stage}_BITS"] for stage in stages) + p["VALUES"] * p["EMIT_BITS"]
    return {
        "engine": 1,
        "instruction": p["PASS_BITS"],
        "rings": p["RINGS"] * p["RING_ADDR_BITS"],
        "addresses": p["RING_ADDR_BITS"] + p["VALUE_ADDR_BITS"],
        "tiles": p["HAS_TILES"] * (p["FETCH_BITS"] + p["TILE_BITS"]),
        "lane": lanes * (lane - chained),
        "shift registers": lanes * chained,
    }


def gate_terms(p: Parameters) -> Terms:
    """Terms of the area of standard cells: logic and registers."""
    registers = register_terms(p)
    return logic_terms(p) | {f"{REGISTERS}{term}": value for term, value in registers.items()}


def _product(p: Parameters) -> int:
    """Bit products of all multipliers."""
    if not p["PAIRED"]:
        return p["LANES"] * p["X_BITS"] * p["MULT_W_BITS"]
    pair, word = pair_bits(p["MULT_W_BITS"], p["X_BITS"])
    return p["LANES"] // 2 * pair * word


def _count(p: Parameters, cast: str) -> int:
    return p["VALUES"] if cast == "EMIT" else p[f"HAS_{cast}"]


def _cast(p: Parameters, cast: str) -> tuple[int, int, int]:
    """How many, bits of the value before it, levels of the shifter."""
    before = {"CAST0": "ACC_BITS", "CAST1": "SHIFT_BITS", "EMIT": "ADD_BITS"}[cast]
    span = p[f"{cast}_MAX"] - p[f"{cast}_MIN"]
    left = max(0, -p[f"{cast}_MIN"])
    return _count(p, cast), p[before] + left, span.bit_length()


def _chained_bits(p: Parameters) -> int:
    """Bits of the stages that stand three or more in a row with no logic between."""
    chains = [[p["CAST0_BITS"]]]
    for stage in STAGES[1:]:
        if p[f"HAS_{stage}"]:
            chains.append([])
        chains[-1].append(p[f"{stage}_BITS"])
    return sum(len(chain) * min(chain) for chain in chains if len(chain) >= 3)
