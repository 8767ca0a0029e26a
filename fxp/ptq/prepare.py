"""From a float network to numbers and formats whose lowering is the repaired integer network.

Kept apart from the lowering: a training (`stgcn_ref.qat`) starts from the same numbers and formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fxp.calibrate import Formats, calibrate
from fxp.errors import InputError
from fxp.floatnet import FloatNet
from fxp.ir import Graph, IntArray
from fxp.ptq.equalise import MOST_BITS, equalise
from fxp.ptq.narrow import narrowed
from fxp.ptq.reference import observe, real_values, reference, widened
from fxp.ptq.repair import mend
from fxp.ptq.search import LOGITS, search_formats
from fxp.ptq.tensors import best_formats
from fxp.replay import Replay
from fxp.spec import QuantSpec, Repair


@dataclass(frozen=True)
class Prepared:
    """A float network, repaired, and its formats: `fxp.lower.lower` makes them one graph."""

    net: FloatNet
    formats: Formats


def prepare(net: FloatNet, quant: QuantSpec, clips: Sequence[IntArray] = ()) -> Prepared:
    """Numbers and formats of the integer network, repaired as `quant.repair` says.

    In this order: equalisation (and observations taken anew), calibration, search of the formats,
    weights brought under the accumulators' widths, rounding of the weights with correction of the
    biases, and what that widened brought back.

    Args:
        net: the float network with its observations.
        quant: widths, calibrator, repair; `repair.choose` does not count here (`fxp.ptq.choose`).
        clips: calibration words, int64 (T, C, V) each; needed for a repair, and for the
            calibrator `best`.

    Raises:
        InputError: no clips where they are needed, or as `fxp.calibrate.calibrate`.
    """
    if not quant.repair.measures and quant.calibrator != "best":
        return _within(Prepared(net, calibrate(net, quant)), quant.repair)
    clips = Replay(clips)  # each step changes little
    net, wide = equalised(net, quant, clips)
    calibrated = Prepared(net, formats_of(net, quant, wide, clips))
    return repaired(calibrated, quant.repair, wide, clips)


def repaired(
    calibrated: Prepared, repair: Repair, wide: Graph, clips: Sequence[IntArray]
) -> Prepared:
    """Weights rounded, biases corrected, accumulators within their widths; `wide` is to be met."""
    start = _within(calibrated, repair)
    net = mend(start.net, start.formats, wide, clips, repair.rounding, repair.bias)
    # words that were rounded otherwise and moved biases may have widened an accumulator again
    return _within(Prepared(net, start.formats), repair)


def _within(prepared: Prepared, repair: Repair) -> Prepared:
    if not repair.accumulators:
        return prepared
    return Prepared(*narrowed(prepared.net, prepared.formats, repair.accumulators))


def equalised(net: FloatNet, quant: QuantSpec, clips: Sequence[IntArray]) -> tuple[FloatNet, Graph]:
    """The network to quantise, equalised if the repair says so, and the one to be met.

    Raises:
        InputError: no clips.
    """
    if not clips:
        raise InputError("`repair` and the calibrator `best` need calibration recordings")
    wide = reference(net, quant.input_bits)
    if quant.repair.equalise:
        equal, changed = equalise(net)
        if changed:
            observed = observe(equal, reference(widened(equal, MOST_BITS), quant.input_bits), clips)
            net = replace(equal, observations=observed)
    return net, wide


def formats_of(net: FloatNet, quant: QuantSpec, wide: Graph, clips: Sequence[IntArray]) -> Formats:
    """The formats, calibrated, and searched if the repair says so; arguments as `prepare`'s."""
    best, search = quant.calibrator == "best", quant.repair.search
    if not best and not search:
        return calibrate(net, quant)
    wanted = [values[LOGITS][:, :, 0] for values in real_values(wide, clips, [LOGITS])]
    formats = best_formats(net, quant, clips, wanted) if best else calibrate(net, quant)
    if not search:
        return formats
    return search_formats(net, formats, clips, wanted, search).formats
