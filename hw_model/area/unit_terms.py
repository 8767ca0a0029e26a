"""What the area of the units grows with: layer norm, softmax, mean over a clip.

Each term is a number of bits that some part of a unit handles, from the parameters of the engine;
the parts are those of `hw_model/rtl/{layer_norm,reciprocal_root,softmax,clip_mean,divider}.sv`.
Products have no price where they are DSP blocks. Memories with a clock on both ports are apart
(`hw_model.area.memories`); those of a softmax that are read without one may be registers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, assert_never

from hw_model.accelerator import Target
from hw_model.area.terms import REGISTERS, Parameters, Terms
from hw_model.dsp import NARROW_BITS, DspDevice, product_dsps
from hw_model.geometry import Blocks, Device, memory_blocks

Unit = Literal["layer_norm", "softmax", "clip_mean"]
UNITS: tuple[Unit, ...] = ("layer_norm", "softmax", "clip_mean")
UNIT_NAMES: Mapping[Unit, str] = {
    "layer_norm": "layer norm",
    "softmax": "softmax",
    "clip_mean": "mean over a clip",
}
PRODUCTS = ("product", "scaling", "root product")

DEVICES: Mapping[Target, Device] = {
    "xc7": "xc7",
    "xc7-nodsp": "xc7",
    "xcup": "xcup",
    "ice40": "ice40",
}
_ROOT_BITS = 21  # of the root as a signed word
_LEAST_OPERAND_BITS = 22  # of reciprocal_root's multiplier
_MANTISSA_BITS = 18


def units_of(p: Parameters) -> tuple[Unit, ...]:
    """The units that an engine has."""
    return tuple(unit for unit in UNITS if p[f"HAS_{unit.upper()}"])


def unit_logic_terms(unit: Unit, p: Parameters, target: Target) -> Terms:
    """Terms of look-up tables, and of the gates between registers."""
    match unit:
        case "layer_norm":
            return _layer_norm_logic(p)
        case "softmax":
            return _softmax_logic(p, target)
        case "clip_mean":
            return _clip_mean_logic(p)
        case _:
            assert_never(unit)


def unit_register_terms(unit: Unit, p: Parameters, target: Target) -> Terms:
    """Terms of registers; a DSP block has some of its own, if no operand is in slices."""
    lanes, lines = p["LANES"], p["LANES"] * p["ACC_BITS"]
    match unit:
        case "layer_norm":
            a, b = _root_operands(p)
            numerator = p["NORM_NUMERATOR_BITS"]
            scaled = numerator + _ROOT_BITS
            lane = 3 * p["NORM_X_BITS"] + _factor_bits(p) + numerator + scaled + p["ACC_BITS"]
            return {
                "unit": 1,
                "root": 2 * (a + b) + p["NORM_VARIANCE_BITS"],
                "sums": 2 * (p["NORM_S0_BITS"] + p["NORM_S1_BITS"]),
                "lane": lanes * lane,
                "sliced": lanes * scaled * (numerator > NARROW_BITS),
            }
        case "softmax":
            steps = p["SHARE_BITS"] + 1
            return {
                "unit": 1,
                "words": p["SHARE_X_BITS"],
                "entries": 3 * p["SHARE_ENTRY_BITS"],
                "steps": steps * (2 * p["SHARE_SUM_BITS"] + 1),
                "digits": steps * (steps + 1) // 2,
                "lines": lines,
                "joints": _kept_bits(p, target),
            }
        case "clip_mean":
            steps, by = p["MEAN_BITS"] + 1, p["MEAN_COUNT_BITS"] + 1
            return {
                "unit": 1,
                "steps": _rest_bits(p) + steps * by,
                "digits": steps * p["MEAN_BITS"],
                "words": lanes * p["MEAN_X_BITS"],
                "lines": lines,
            }
        case _:
            assert_never(unit)


def unit_gate_terms(unit: Unit, p: Parameters, target: Target) -> Terms:
    """Terms of the area of standard cells: logic and registers."""
    registers = unit_register_terms(unit, p, target)
    logic = unit_logic_terms(unit, p, target)
    return logic | {f"{REGISTERS}{term}": value for term, value in registers.items()}


def unit_dsps(unit: Unit, p: Parameters, device: DspDevice) -> int:
    """DSP blocks of a unit's products."""
    match unit:
        case "layer_norm":
            lane = product_dsps(p["NORM_X_BITS"], _factor_bits(p), device)
            lane += product_dsps(p["NORM_NUMERATOR_BITS"], _ROOT_BITS, device)
            return p["LANES"] * lane + product_dsps(*_root_operands(p), device)
        case "softmax":
            entry = p["SHARE_ENTRY_BITS"] + 1  # entries have no sign
            return product_dsps(entry, entry, device)
        case "clip_mean":
            return 0
        case _:
            assert_never(unit)


def joint_memories(p: Parameters) -> dict[str, tuple[int, int]]:
    """Lines and bits of the memories that a softmax reads without a clock, by name."""
    if not p["HAS_SOFTMAX"]:
        return {}
    joints = p["SHARE_JOINTS"]
    return {
        "largest words": (joints, p["SHARE_X_BITS"]),
        "sums of exponentials": (joints, p["SHARE_SUM_BITS"]),
    }


def joint_blocks(lines: int, bits: int, device: Device) -> Blocks:
    """What such a memory takes; a block of iCE40 has the register of its address for a clock."""
    return memory_blocks(lines, bits, device, clocked=device == "ice40")


def _layer_norm_logic(p: Parameters) -> Terms:
    lanes, numerator = p["LANES"], p["NORM_NUMERATOR_BITS"]
    a, b = _root_operands(p)
    variance, scaled = p["NORM_VARIANCE_BITS"], numerator + _ROOT_BITS
    rounded = max(scaled, _MANTISSA_BITS + (1 << p["NORM_K_BITS"])) + 1
    levels = max(p["NORM_K_BITS"] + 1, 6)
    return {
        "unit": 1,
        "root product": a * b,
        "root": a + b + variance,
        "mantissa": variance * p["NORM_K_BITS"],
        "product": lanes * p["NORM_X_BITS"] * _factor_bits(p),
        "scaling": lanes * numerator * _ROOT_BITS,
        "sums": lanes * (p["NORM_S0_BITS"] + p["NORM_S1_BITS"]),
        "numerators": lanes * numerator,
        "rounding": lanes * rounded,
        "shift": lanes * p["ACC_BITS"] * levels,
    }


def _softmax_logic(p: Parameters, target: Target) -> Terms:
    entry = p["SHARE_ENTRY_BITS"]
    return {
        "unit": 1,
        "words": p["SHARE_X_BITS"] + p["C_ADDR_BITS"] + p["P_ADDR_BITS"],
        "product": entry * entry,
        "entries": entry,
        "steps": (p["SHARE_BITS"] + 1) * (p["SHARE_SUM_BITS"] + 1),
        "lines": p["LANES"] * p["ACC_BITS"],
        "joints": _kept_bits(p, target),
    }


def _clip_mean_logic(p: Parameters) -> Terms:
    return {
        "unit": 1,
        "sums": p["LANES"] * p["MEAN_SUM_BITS"],
        "numerator": p["MEAN_BITS"],
        "count": p["MEAN_COUNT_BITS"],
        "steps": (p["MEAN_BITS"] + 1) * (p["MEAN_COUNT_BITS"] + 2),
        "lines": p["LANES"] * p["ACC_BITS"],
    }


def _factor_bits(p: Parameters) -> int:
    """Of the number of words or of a word, whichever a lane multiplies its word with."""
    return max(p["NORM_X_BITS"], p["NORM_WORDS_BITS"] + 1)


def _root_operands(p: Parameters) -> tuple[int, int]:
    """Bits of the operands of reciprocal_root's multiplier."""
    s0 = max(p["NORM_S0_BITS"], _LEAST_OPERAND_BITS)
    return max(p["NORM_S1_BITS"] + 1, s0), max(p["NORM_WORDS_BITS"] + 1, s0)


def _rest_bits(p: Parameters) -> int:
    """Of the rests in a mean's divider: a bit more after each step, up to those of the divisor."""
    return sum(min(step, p["MEAN_COUNT_BITS"] + 2) for step in range(1, p["MEAN_BITS"] + 2))


def _kept_bits(p: Parameters, target: Target) -> int:
    """Bits of the memories by joint that are registers on a target."""
    device = DEVICES.get(target)
    shapes = joint_memories(p).values()
    if device is None:
        return sum(lines * bits for lines, bits in shapes)
    return sum(joint_blocks(*shape, device).register_bits for shape in shapes)
