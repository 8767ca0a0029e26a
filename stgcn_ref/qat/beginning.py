"""What a training of integers starts from, and how an interrupted one remembers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from fxp.calibrate import Formats
from fxp.floatnet import FloatNet
from fxp.ptq.prepare import Prepared, prepare
from fxp.ptq.quantise import about, chosen
from fxp.ptq.search import search_formats, search_streams
from fxp.qformat import Cast, Overflow, QFormat, Rounding
from fxp.spec import QuantSpec
from stgcn_ref.datasets.clips import Clip, Dataset, WordArray, spread
from stgcn_ref.judge import label_judge, others
from stgcn_ref.qat.recipe import QatRecipe
from stgcn_ref.qat.teacher import taught

# Many short pieces: what a search finds depends strongly on its frames.
SEARCH_PIECES = 48
# Whole recordings: what is searched by labels is how often they change.
STREAM_CLIPS = 16


@dataclass(frozen=True)
class Beginning:
    """The repaired network and its formats; `choice` is what `fxp.ptq.quantise.about` says."""

    prepared: Prepared
    choice: Mapping[str, Any] | None = None

    def state(self) -> dict[str, Any]:
        """Plain tensors, numbers and lists; `restored` takes them back."""
        net, formats = self.prepared.net, self.prepared.formats
        casts = {
            name: [c.to.word_bits, c.to.frac_bits, c.to.signed, c.rounding.value, c.overflow.value]
            for name, c in formats.casts.items()
        }
        return {
            "params": {key: torch.from_numpy(value.copy()) for key, value in net.params.items()},
            "casts": casts,
            "weights": {key: [bits, list(frac)] for key, (bits, frac) in formats.weights.items()},
            "choice": self.choice,
        }


def begin(
    net: FloatNet,
    quant: QuantSpec,
    train_set: Dataset,
    calibration: Sequence[Clip],
    recipe: QatRecipe,
) -> Beginning:
    """Calibrate and repair as `quant` says, then search binary points if the recipe does.

    A repair that is to be chosen is judged on the training recordings that it was not fitted to.

    Args:
        net: exported with observations.
        quant: widths, modes, calibrator, repair.
        train_set: training recordings.
        calibration: those of them that a repair is fitted to.
        recipe: for the search.

    Raises:
        InputError, GraphError: as `fxp.ptq.quantise.quantise`.
    """
    words = [clip.x.astype(np.int64) for clip in calibration]
    choice = None
    if quant.repair.choose:
        judge = label_judge(net, quant.input_bits, others(train_set.clips, calibration))
        found = chosen(net, quant, words, judge)
        prepared, choice = found.prepared, about(found)
    else:
        prepared = prepare(net, quant, words)
    if recipe.search_sweeps:
        pieces = _search_pieces(train_set, recipe.search_frames)
        wanted = taught(net, pieces)
        start = prepared.net, prepared.formats
        formats = search_formats(*start, pieces, wanted, recipe.search_sweeps).formats
        prepared = replace(prepared, formats=formats)
    if recipe.search_streams:
        unseen = spread(others(train_set.clips, calibration), STREAM_CLIPS)
        judge = label_judge(net, quant.input_bits, unseen)
        start = prepared.net, prepared.formats
        formats = search_streams(*start, judge, recipe.search_streams).formats
        prepared = replace(prepared, formats=formats)
    return Beginning(prepared, choice)


def restored(net: FloatNet, quant: QuantSpec, state: Mapping[str, Any]) -> Beginning:
    """The beginning that `Beginning.state` gave, of the same float network and setting."""
    casts = {
        name: Cast(QFormat(bits, frac, signed), Rounding(rounding), Overflow(overflow))
        for name, (bits, frac, signed, rounding, overflow) in state["casts"].items()
    }
    weights = {key: (bits, tuple(frac)) for key, (bits, frac) in state["weights"].items()}
    params = {key: value.numpy() for key, value in state["params"].items()}
    formats = Formats(QFormat(quant.input_bits, 0), casts, weights, quant)
    return Beginning(Prepared(replace(net, params=params), formats), state["choice"])


def _search_pieces(ds: Dataset, frames: int) -> list[WordArray]:
    """The middles of `SEARCH_PIECES` recordings spread evenly, about `frames` in all."""
    pieces = spread(ds.clips, SEARCH_PIECES)
    length = -(-frames // len(pieces))
    return [_middle(clip.x, length) for clip in pieces]


def _middle(x: WordArray, frames: int) -> WordArray:
    start = max(0, (len(x) - frames) // 2)
    return x[start : start + frames]
