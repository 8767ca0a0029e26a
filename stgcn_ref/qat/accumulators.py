"""Keeping the masters of a training where the accumulators of their words fit a width."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fxp.calibrate import Formats
from fxp.ir import Graph
from fxp.ptq.narrow import Targets, within


@torch.no_grad()
def bring_within(
    masters: Mapping[str, Tensor], graph: Graph, formats: Formats, targets: Targets
) -> None:
    """Project masters, in place, onto those whose lowered network keeps to the targets.

    Args:
        masters: float64, by the keys of `FloatNet`.
        graph: what `fxp.lower` makes in these formats (its own constants do not matter).
        formats, targets: as `fxp.ptq.narrow.narrowed` took and gave them.

    Raises:
        GraphError: an accumulator that no weight of its own can bring there.
    """
    if not targets:
        return
    params = {key: value.detach().numpy() for key, value in masters.items()}
    for key, value in within(graph, params, formats, targets).items():
        if value is not params[key]:
            masters[key].copy_(torch.from_numpy(value))
