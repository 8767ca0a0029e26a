"""From a float network to the best integer network that needs no training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fxp.calibrate import calibrate
from fxp.errors import InputError
from fxp.floatnet import FloatNet
from fxp.ir import Graph, IntArray
from fxp.lower import lower
from fxp.ptq.equalise import MOST_BITS, equalise
from fxp.ptq.narrow import narrowed
from fxp.ptq.reference import observe, real_values, reference, widened
from fxp.ptq.repair import mend
from fxp.ptq.search import LOGITS, search_formats
from fxp.ranges import certify
from fxp.spec import QuantSpec


def quantise(
    net: FloatNet, quant: QuantSpec, clips: Sequence[IntArray] = (), name: str = ""
) -> Graph:
    """The integer network of `net`, repaired as `quant.repair` says; every accumulator certified.

    In this order: equalisation (and observations taken anew), calibration, search of the formats,
    weights brought under the accumulators' widths, rounding of the weights with correction of the
    biases, and what that widened brought back.

    Args:
        net: the float network with its observations.
        quant: widths, calibrator, repair.
        clips: calibration words, int64 (T, C, V) each; needed for a repair.
        name: of the graph.

    Raises:
        InputError: a repair without clips, or as `fxp.calibrate.calibrate`.
        GraphError: an accumulator could exceed `quant.accumulator_bits`.
    """
    repair = quant.repair
    if repair.measures and not clips:
        raise InputError("`repair` needs calibration recordings")
    wide = reference(net, quant.input_bits) if repair.measures else None
    if repair.equalise:
        equal, changed = equalise(net)
        if changed:
            observed = observe(equal, reference(widened(equal, MOST_BITS), quant.input_bits), clips)
            net = replace(equal, observations=observed)
    formats = calibrate(net, quant)
    if repair.search and wide is not None:
        wanted = [values[LOGITS][:, :, 0] for values in real_values(wide, clips, [LOGITS])]
        formats = search_formats(net, formats, clips, wanted, repair.search).formats
    if repair.accumulators:
        net, formats = narrowed(net, formats, repair.accumulators)
    if wide is not None:
        net = mend(net, formats, wide, clips, repair.rounding, repair.bias)
        if repair.accumulators:  # words that were rounded otherwise, and moved biases
            net, formats = narrowed(net, formats, repair.accumulators)
    graph = lower(net, formats, name)
    certify(graph)
    return graph
