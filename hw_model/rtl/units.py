"""What a pass through a unit of its own needs: fields, constants, widths.

`layer_norm.sv` with `reciprocal_root.sv`, `softmax.sv` and `clip_mean.sv` with `divider.sv` say in
which cycle what happens.
"""

from __future__ import annotations

import numpy as np

from fxp.elementary import LEAST_MANTISSA, MANTISSA_BITS, ROOT_BITS
from fxp.ir import ClipMean, IntArray, LayerNorm, Softmax
from fxp.ranges import Signal, clip_sum_bits, inner_bits, signed_bits
from hw_model.rtl.constants import Memory
from hw_model.rtl.datapath import Datapath
from hw_model.rtl.values import Frame
from hw_model.schedule import (
    MEAN_DRAIN_CYCLES,
    MEAN_PAUSE_CYCLES,
    NEWTON_CYCLES,
    NORM_DRAIN_CYCLES,
    ROOT_CYCLES,
    SHARE_DRAIN_CYCLES,
)

SEED_BITS = ROOT_BITS + 2  # a seed may be 2.0


def layer_norm_fields(
    node: LayerNorm, source: Frame, signal: Signal, seeds: Memory, datapath: Datapath
) -> dict[str, int]:
    """The fields of a layer norm, besides those of a pass line by line.

    Args:
        node: the norm.
        source: shape of the frames it reads.
        signal: range of the words it reads.
        seeds: memory that gets the table, unless it is there already.
        datapath: gets the widths of the unit.
    """
    words = source.channels * source.joints
    epsilon = int(node.epsilon[0])
    _widen(datapath, source, signal, epsilon)
    mantissas = 3 * LEAST_MANTISSA // len(node.seeds)  # of one seed, a power of two
    return {
        "is_layer_norm": 1,
        "last_sweep": 1,
        "sweep_pause": ROOT_CYCLES + NEWTON_CYCLES * node.newton_steps,
        "more_drain": NORM_DRAIN_CYCLES,
        "last_lane": (source.channels - 1) % source.lanes,
        "norm_words": words,
        "norm_epsilon": epsilon,
        "norm_drop": ROOT_BITS - node.frac_bits,
        "newton_steps": node.newton_steps,
        "seed_base": _placed(node.seeds, seeds),
        "seed_shift": mantissas.bit_length() - 1,
    }


def softmax_fields(
    node: Softmax, source: Frame, tables: tuple[Memory, Memory], datapath: Datapath
) -> dict[str, int]:
    """The fields of a softmax, besides those of a pass line by line.

    Args:
        node: the softmax.
        source: shape of the frames it reads.
        tables: memories that get the coarse and the fine table, unless they are there already.
        datapath: gets the widths of the unit.
    """
    datapath.need(
        HAS_SOFTMAX=1,
        SHARE_X_BITS=source.bits,
        SHARE_JOINTS=source.joints,
        SHARE_JOINT_BITS=(source.joints - 1).bit_length(),
        SHARE_ENTRY_BITS=node.exp_bits + 1,
        SHARE_SUM_BITS=(source.channels << node.exp_bits).bit_length(),
        SHARE_BITS=node.frac_bits,
    )
    return {
        "is_softmax": 1,
        "last_sweep": 2,
        "more_drain": SHARE_DRAIN_CYCLES + node.frac_bits,
        "count_words": source.lanes - 1,
        "last_lane": (source.channels - 1) % source.lanes,
        "coarse_base": _placed(node.coarse, tables[0]),
        "coarse_last": len(node.coarse) - 1,
        "fine_base": _placed(node.fine, tables[1]),
        "fine_shift": len(node.fine).bit_length() - 1,
        "exp_bits": node.exp_bits,
        "share_bits": node.frac_bits,
    }


def clip_mean_fields(
    node: ClipMean, source: Frame, signal: Signal, base: int, datapath: Datapath
) -> dict[str, int]:
    """The fields of a mean over a clip, besides those of a pass line by line.

    Args:
        node: the mean.
        source: shape of the frames it reads.
        signal: range of the words it reads.
        base: line of its sums in their memory.
        datapath: gets the widths of the unit.
    """
    datapath.need(
        HAS_CLIP_MEAN=1,
        MEAN_X_BITS=source.bits,
        MEAN_SUM_BITS=clip_sum_bits(node, signal),
        MEAN_COUNT_BITS=node.max_frames.bit_length(),
        MEAN_BITS=inner_bits(node, [signal]) - 1,
    )
    return {
        "is_clip_mean": 1,
        "last_sweep": 1,
        "sweep_pause": MEAN_PAUSE_CYCLES,
        "more_drain": MEAN_DRAIN_CYCLES,
        "fifo_age": 1,  # from its second frame on there is something to add to
        "count_words": source.lanes - 1,
        "last_lane": (source.channels - 1) % source.lanes,
        "mean_base": base,
        "mean_shift": node.shift,
    }


def _placed(table: IntArray, memory: Memory) -> int:
    """Where a table is: nodes share theirs."""
    lines, there = np.asarray(table).reshape(-1, 1), np.array(memory.lines).reshape(-1, 1)
    for at in range(len(there) - len(lines) + 1):
        if np.array_equal(there[at : at + len(lines)], lines):
            return at
    return memory.append(lines)


def _widen(datapath: Datapath, source: Frame, signal: Signal, epsilon: int) -> None:
    """Widths of sums, variance and numerators, from the range of the words."""
    words = source.channels * source.joints
    low, high = min(0, *signal.lo), max(0, *signal.hi)
    squares = words * max(low * low, high * high)
    variance = words * squares + epsilon
    furthest = words * (high - low)
    bits = max(variance.bit_length(), MANTISSA_BITS)
    datapath.need(
        HAS_LAYER_NORM=1,
        NORM_X_BITS=source.bits,
        NORM_WORDS_BITS=words.bit_length(),
        NORM_S0_BITS=signed_bits(words * low, words * high),
        NORM_S1_BITS=squares.bit_length(),
        NORM_VARIANCE_BITS=bits,
        NORM_K_BITS=((bits + 1) // 2).bit_length(),
        NORM_NUMERATOR_BITS=signed_bits(-furthest, furthest),
    )
