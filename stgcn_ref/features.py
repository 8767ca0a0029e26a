"""Displacement and relative coordinates, the input features of MS-GCN for joint positions.

B. Filtjens, B. Vanrumste, P. Slaets, "Skeleton-Based Action Segmentation with Multi-Stage
Spatial-Temporal Graph Convolutional Neural Networks" (2022); its code is data/signals/ of
github.com/BenjaminFiltjens/MS-GCN. Here they are differences of integer words, exact but for
saturation at 16 bits, so that they are part of the design: one subtraction per word, and one frame
of memory for the displacement.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from fxp.errors import InputError
from fxp.spec import Spec
from stgcn_ref.datasets.clips import Clip, Dataset, WordArray
from stgcn_ref.datasets.words import HIGHEST, LOWEST, WORD_BITS


class FeatureSpec(Spec):
    """The features that take the place of the channels, in this order.

    - `displacement`: how far each word moves from frame to frame. `causal`: since the frame before;
      otherwise until the next frame, as published, which costs a frame of latency.
    - `relative`: each word relative to that of joint `reference`.
    - `every`: then one frame in so many is kept, its label with it (MS-GCN: 4 for LARa).
    """

    displacement: bool = True
    causal: bool = True
    relative: bool = True
    reference: Annotated[int, Field(ge=0, le=1000)] = 0
    every: Annotated[int, Field(ge=1, le=1000)] = 1


def displacement(x: WordArray, causal: bool = True) -> WordArray:
    """Movement of every word, of the shape of `x` (T, C, V) or (T, C, V, M).

    Causal: `x[t] - x[t-1]`. Otherwise `x[t+1] - x[t]`, the published form. Zero where one of the
    two frames lies outside the first to the last frame that is not all zero.
    """
    out = np.zeros_like(x)
    first, last = _valid(x)
    wide = x[first:last].astype(np.int64)
    moved = _saturated(wide[1:] - wide[:-1])
    if causal:
        out[first + 1 : last] = moved
    else:
        out[first : max(last - 1, first)] = moved
    return out


def relative(x: WordArray, reference: int = 0) -> WordArray:
    """Every word minus that of joint `reference` in the same frame and channel; shape of `x`.

    Raises:
        InputError: no such joint.
    """
    if not 0 <= reference < x.shape[2]:
        raise InputError(f"`reference` must be 0..{x.shape[2] - 1}, got {reference}")
    wide = x.astype(np.int64)
    return _saturated(wide - wide[:, :, [reference]])


def featured(ds: Dataset, spec: FeatureSpec) -> Dataset:
    """The data set with features for channels; `meta["features"]` records the spec.

    Raises:
        InputError: no feature asked for, the set is prepared or featured already, or no such joint.
    """
    where = f"data set {ds.name}"
    if not (spec.displacement or spec.relative):
        raise InputError(f"{where}: `displacement` or `relative` must be asked for")
    for key in ("preparation", "features"):
        if key in ds.meta:
            raise InputError(f"{where}: has its {key} already")
    names = ("displacement",) * spec.displacement + ("relative",) * spec.relative
    meta: dict[str, Any] = dict(ds.meta)
    meta |= {"features": spec.model_dump(), "word_bits": WORD_BITS}
    if "channels" in meta:
        meta["channels"] = [f"{name} {channel}" for name in names for channel in meta["channels"]]
    for key in ("units", "frac_bits"):
        if key in meta:
            meta[key] = list(meta[key]) * len(names)
    clips = tuple(_featured(clip, spec) for clip in ds.clips)
    return replace(ds, clips=clips, rate_hz=ds.rate_hz / spec.every, meta=meta)


def _featured(clip: Clip, spec: FeatureSpec) -> Clip:
    parts = []
    if spec.displacement:
        parts.append(displacement(clip.x, spec.causal))
    if spec.relative:
        parts.append(relative(clip.x, spec.reference))
    x = np.concatenate(parts, axis=1)[:: spec.every]
    labels = clip.labels[:: spec.every]
    return replace(clip, x=np.ascontiguousarray(x), labels=labels, frame_labels=labels)


def _valid(x: WordArray) -> tuple[int, int]:
    """The first frame that is not all zero, and one past the last; (0, 0) if all are."""
    alive = np.flatnonzero(x.reshape(len(x), -1).any(axis=1))
    return (int(alive[0]), int(alive[-1]) + 1) if alive.size else (0, 0)


def _saturated(words: npt.NDArray[np.int64]) -> WordArray:
    return np.asarray(np.clip(words, LOWEST, HIGHEST), dtype=np.int32)
