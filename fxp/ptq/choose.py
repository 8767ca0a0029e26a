"""Calibrator, rounding and bias correction together: what suits a network depends on its widths.

No order of the methods holds for every width (docs/quantisation.md), and each of them fits the
recordings it saw. So all candidates are tried, and the one that is best on *other* recordings is
taken: by the divergence of the classes from the float network's, or by whatever judge is given.
How casts round belongs to the hardware; it is tried otherwise only where `cast_roundings` say so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from fxp.calibrate import Formats
from fxp.errors import FormatError, GraphError
from fxp.floatnet import FloatNet
from fxp.ir import Graph, IntArray
from fxp.lower import lower
from fxp.ptq.prepare import Prepared, equalised, formats_of, repaired
from fxp.ptq.reference import Words, real_values, reference
from fxp.ptq.search import LOGITS, divergence_of
from fxp.qformat import Rounding
from fxp.ranges import certify
from fxp.replay import Replay
from fxp.spec import QuantSpec, WeightRounding

Judge = Callable[[Graph], float]  # how far a graph is from the float network; less is better

# (calibrator, rounding, bias); among equals the earlier one, which does less, is taken
CANDIDATES: tuple[tuple[Literal["mse", "best"], WeightRounding, bool], ...] = (
    ("mse", "nearest", False),
    ("best", "nearest", False),
    ("mse", "nearest", True),
    ("mse", "gptq", True),
    ("mse", "adaround", True),
    ("best", "gptq", True),
    ("best", "adaround", True),
)


@dataclass(frozen=True)
class Choice:
    """The best candidate: its setting, its numbers and formats, and the loss of all, by name."""

    quant: QuantSpec
    prepared: Prepared
    losses: Mapping[str, float]


def choose(net: FloatNet, quant: QuantSpec, clips: Sequence[IntArray], judge: Judge) -> Choice:
    """The best of `CANDIDATES`, with casts as `quant` has them and as its repair names others.

    Equalisation and search are done before as the repair says.

    Args:
        net: the float network with its observations.
        quant: widths and repair; its calibrator, rounding and bias correction do not count.
        clips: calibration words, int64 (T, C, V) each: what every candidate fits.
        judge: compares a candidate with the float network, on other recordings.

    Raises:
        InputError: no clips, or as `fxp.calibrate.calibrate`.
        GraphError, FormatError: no candidate can be lowered and certified; the first one's reason.
    """
    clips = Replay(clips)  # candidates have much in common
    net, wide = equalised(net, quant, clips)
    formats: dict[tuple[Rounding, str], Formats] = {}
    losses: dict[str, float] = {}
    refused: GraphError | FormatError | None = None
    best: tuple[QuantSpec, Prepared] | None = None
    casts = dict.fromkeys((quant.rounding, *quant.repair.cast_roundings))
    for cast, (calibrator, rounding, bias) in product(casts, CANDIDATES):
        spec = _setting(quant, cast, calibrator, rounding, bias)
        if (cast, calibrator) not in formats:
            formats[cast, calibrator] = formats_of(net, spec, wide, clips)
        start = Prepared(net, formats[cast, calibrator])
        try:
            prepared = repaired(start, spec.repair, wide, clips)
            loss = _judged(prepared, judge)
        except (GraphError, FormatError) as error:
            refused = refused or error
            continue
        if best is None or loss < min(losses.values()):
            best = spec, prepared
        name = _name(calibrator, rounding, bias)
        losses[name if cast is quant.rounding else f"{name}+{cast.value.lower()}"] = loss
    if best is None:
        assert refused is not None
        raise refused
    return Choice(*best, losses)


def _setting(
    quant: QuantSpec, cast: Rounding, calibrator: str, rounding: WeightRounding, bias: bool
) -> QuantSpec:
    repair = {"rounding": rounding, "bias": bias, "choose": False, "cast_roundings": ()}
    chosen = quant.repair.model_copy(update=repair)
    update = {"rounding": cast, "calibrator": calibrator, "repair": chosen}
    return quant.model_copy(update=update)


def _name(calibrator: str, rounding: WeightRounding, bias: bool) -> str:
    return "+".join([calibrator, *[rounding] * (rounding != "nearest"), *["bias"] * bias])


def _judged(prepared: Prepared, judge: Judge) -> float:
    graph = lower(prepared.net, prepared.formats)
    certify(graph)
    return judge(graph)


def nearest_to_float(net: FloatNet, input_bits: int, clips: Sequence[Words]) -> Judge:
    """The judge that takes the divergence of the classes on some recordings (T, C, V) each."""
    wide = reference(net, input_bits)
    wanted = [values[LOGITS][:, :, 0] for values in real_values(wide, clips, [LOGITS])]
    return lambda graph: divergence_of(graph, clips, wanted)
