"""Binary points that are learnt: a real number for each tensor, rounded to its `frac_bits`.

Jain et al. ("Trained quantization thresholds", 2020) learn the base-2 logarithm of each tensor's
saturation threshold; with a power of two as the step, that is `word_bits - frac_bits` up to a
constant, so the binary point itself is learnt here. The integer network sees the rounded number
alone, the gradient passes the rounding (straight through).

Not learnt are the input's point (its words are given) and a scale that is a power of two.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fxp.calibrate import Formats
from fxp.floatnet import FloatNet
from fxp.ptq.search import binary_points, tensors, with_points

Points = dict[str, Tensor]


def points_of(net: FloatNet, formats: Formats) -> Points:
    """The points of `formats`, float64, by name of a cast `(1,)` or key of a constant `(n,)`."""
    whole = binary_points(formats)
    return {
        key: torch.tensor(whole[key], dtype=torch.float64).requires_grad_()
        for key in tensors(net, formats)
    }


def formats_at(formats: Formats, points: Mapping[str, Tensor]) -> Formats:
    """`formats` with the rounded points in place of their own; half goes up."""
    if not points:
        return formats
    rounded = {key: (value.detach() + 0.5).floor().long() for key, value in points.items()}
    found = {key: tuple(value.tolist()) for key, value in rounded.items()}
    return with_points(formats, binary_points(formats) | found)


@torch.no_grad()
def keep_near(points: Mapping[str, Tensor], formats: Formats, most: float) -> None:
    """Bring points back, in place, to at most so many places from those of `formats`."""
    start = binary_points(formats)
    for key, value in points.items():
        origin = torch.tensor(start[key], dtype=torch.float64)
        value.copy_(value.clamp(origin - most, origin + most))
