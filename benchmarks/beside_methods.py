"""Ways to quantise a float network, by this toolkit and by Brevitas, that are compared."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, assert_never

import numpy as np

from benchmarks.beside_rows import Widths
from fxp.errors import InputError
from fxp.floatnet import FloatNet
from fxp.ptq.quantise import quantise
from fxp.ptq.reference import observe, reference
from fxp.qformat import Rounding
from fxp.spec import QuantSpec, Repair
from stgcn_ref.datasets.clips import Clip, Dataset, LabelArray
from stgcn_ref.evaluate import predict
from stgcn_ref.scoring import predict_integers


@dataclass(frozen=True)
class Method:
    """One way to quantise: the tool, how it finds scales, and whether GPTQ and biases follow.

    `rounding` is that of the integer network's casts; Brevitas' quantisers round half to even.
    """

    tool: Literal["brevitas", "toolkit"]
    ranges: Literal["max", "percentile", "mse"]
    repair: bool = False
    rounding: Rounding = Rounding.RND

    @property
    def name(self) -> str:
        """As tables show it."""
        even = self.tool == "toolkit" and self.rounding is Rounding.RND_CONV
        return f"{self.tool} {self.ranges}" + ", half even" * even + " + gptq, bias" * self.repair


METHODS = (
    Method("brevitas", "percentile"),
    Method("brevitas", "percentile", repair=True),
    Method("brevitas", "mse"),
    Method("brevitas", "mse", repair=True),
    Method("toolkit", "max"),
    Method("toolkit", "max", repair=True),
    Method("toolkit", "mse"),
    Method("toolkit", "mse", repair=True),
    Method("toolkit", "percentile"),
    Method("toolkit", "percentile", rounding=Rounding.RND_CONV),
    Method("toolkit", "percentile", repair=True, rounding=Rounding.RND_CONV),
)


def chosen_methods(names: Sequence[str] | None) -> list[Method]:
    """Methods by their names, in the order of `METHODS`; all without any.

    Raises:
        InputError: there is none of that name.
    """
    known = {method.name: method for method in METHODS}
    for name in names or ():
        if name not in known:
            raise InputError(f"--method {name!r}: must be one of {', '.join(known)}")
    return [method for name, method in known.items() if name in (names or known)]


def quantised_labels(
    net: FloatNet, method: Method, widths: Widths, clips: Sequence[Clip], test: Dataset
) -> tuple[list[LabelArray], float]:
    """Labels of the test recordings, and the seconds that quantising took.

    Args:
        net: the float network.
        method, widths: how to quantise it.
        clips: calibration recordings.
        test: recordings to label.
    """
    match method.tool:
        case "brevitas":
            return _by_brevitas(net, method, widths, clips, test)
        case "toolkit":
            return _by_toolkit(net, method, widths, clips, test)
        case _:
            assert_never(method.tool)


def observed_on(net: FloatNet, clips: Sequence[Clip]) -> FloatNet:
    """`net` with the ranges of these clips alone: an export observes all training recordings."""
    words = [clip.x.astype(np.int64) for clip in clips]
    return replace(net, observations=observe(net, reference(net, QuantSpec().input_bits), words))


def _by_toolkit(
    net: FloatNet, method: Method, widths: Widths, clips: Sequence[Clip], test: Dataset
) -> tuple[list[LabelArray], float]:
    how = {
        "calibrator": method.ranges,
        "rounding": method.rounding,
        "repair": Repair(rounding="gptq", bias=True) if method.repair else Repair(),
    }
    words = [clip.x.astype(np.int64) for clip in clips]
    start = time.perf_counter()
    graph = quantise(observed_on(net, clips), widths.spec().model_copy(update=how), words)
    seconds = time.perf_counter() - start
    return predict_integers(graph, test), seconds


def _by_brevitas(
    net: FloatNet, method: Method, widths: Widths, clips: Sequence[Clip], test: Dataset
) -> tuple[list[LabelArray], float]:
    from benchmarks.brevitas_ptq import quantised

    words = [clip.x for clip in clips]
    ranges: Literal["stats", "mse"] = "mse" if method.ranges == "mse" else "stats"
    start = time.perf_counter()
    model = quantised(net, widths.spec(), words, ranges, method.repair)
    seconds = time.perf_counter() - start
    return predict(model, test), seconds  # type: ignore[arg-type]  # it has what a Net is asked
