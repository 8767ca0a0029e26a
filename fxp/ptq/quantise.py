"""From a float network to the best integer network that needs no training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fxp.errors import InputError
from fxp.floatnet import FloatNet
from fxp.ir import Graph, IntArray
from fxp.lower import lower
from fxp.ptq.choose import Choice, Judge, choose
from fxp.ptq.prepare import prepare
from fxp.ranges import certify
from fxp.spec import QuantSpec


def quantise(
    net: FloatNet,
    quant: QuantSpec,
    clips: Sequence[IntArray] = (),
    name: str = "",
    judge: Judge | None = None,
) -> Graph:
    """The integer network of `net`, repaired as `quant.repair` says; every accumulator certified.

    Where the repair was to be chosen, `meta["choice"]` of the graph says what was, and how far
    every candidate was from the float network.

    Args:
        net: the float network with its observations.
        quant: widths, calibrator, repair.
        clips: calibration words, int64 (T, C, V) each; needed for a repair, and for the
            calibrator `best`.
        name: of the graph.
        judge: needed where the repair is to be chosen, see `fxp.ptq.choose.choose`.

    Raises:
        InputError: a repair without clips or without a judge, or as `fxp.calibrate.calibrate`.
        GraphError: an accumulator could exceed `quant.accumulator_bits`.
    """
    if quant.repair.choose:
        choice = chosen(net, quant, clips, judge)
        graph = lower(choice.prepared.net, choice.prepared.formats, name)
        graph = replace(graph, meta={**graph.meta, "choice": about(choice)})
    else:
        prepared = prepare(net, quant, clips)
        graph = lower(prepared.net, prepared.formats, name)
    certify(graph)
    return graph


def chosen(
    net: FloatNet, quant: QuantSpec, clips: Sequence[IntArray], judge: Judge | None
) -> Choice:
    """`choose`, where there is a judge.

    Raises:
        InputError: there is none.
    """
    if judge is None:
        raise InputError("`repair.choose` needs recordings to judge on")
    return choose(net, quant, clips, judge)


def about(choice: Choice) -> dict[str, object]:
    """What a network's file says of a choice, as JSON data."""
    return {
        "calibrator": choice.quant.calibrator,
        "rounding": choice.quant.rounding.value,
        "repair": choice.quant.repair.model_dump(mode="json"),
        "losses": dict(choice.losses),
    }
