"""Brevitas' post-training quantisation of a `QuantisedNet`, each step with its own defaults."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from brevitas.graph.calibrate import (
    bias_correction_mode,
    calibration_mode,
    quantization_status_manager,
)
from brevitas.graph.gptq import gptq_mode
from torch import Tensor

from benchmarks.brevitas_net import QuantisedNet, Ranges
from fxp.floatnet import FloatNet
from fxp.spec import QuantSpec
from stgcn_ref.datasets.clips import WordArray
from stgcn_ref.evaluate import as_batch


@torch.no_grad()
def quantised(
    net: FloatNet, quant: QuantSpec, clips: Sequence[WordArray], ranges: Ranges, repair: bool
) -> QuantisedNet:
    """`net` quantised by Brevitas: scales from the clips, then GPTQ and bias correction if asked.

    A clip is a batch, as a batch of images is in Brevitas' own scripts, and the order of the steps
    is theirs too: calibration, GPTQ (operands quantised), bias correction.

    Args:
        net: the float network.
        quant: widths.
        clips: calibration words, integers (T, C, V) each.
        ranges: how scales are found.
        repair: whether GPTQ and bias correction follow.
    """
    model = QuantisedNet(net, quant, ranges)
    batches = [as_batch(clip).float() for clip in clips]
    model(batches[0])  # quantisers that hold a parameter take it from the first pass
    with calibration_mode(model):
        _pass(model, batches)
    model.eval()
    if repair:
        with gptq_mode(model, create_weight_orig=False) as gptq:
            for _ in range(gptq.num_layers):
                _pass(gptq.model, batches)
                gptq.update()
        with bias_correction_mode(model):
            _pass(model, batches)
    return model.eval()


@contextmanager
def unquantised(model: QuantisedNet) -> Iterator[None]:
    """Within, no quantiser acts: the model is the float network again."""
    with quantization_status_manager(
        model, disable_act_quant=True, disable_weight_quant=True, disable_bias_quant=True
    ):
        yield


def _pass(model: QuantisedNet, batches: Sequence[Tensor]) -> None:
    for batch in batches:
        model(batch)
