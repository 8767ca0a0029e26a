"""The float network that the integer one is to answer like."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fxp.cast import FloatArray
from fxp.errors import InputError
from fxp.floatnet import FloatNet
from stgcn_ref.datasets.clips import WordArray
from stgcn_ref.folding import rebuild
from stgcn_ref.models.build import FrameNet
from stgcn_ref.models.stgcn import STGCN


def teacher_of(net: FloatNet) -> FrameNet:
    """The torch network of `net`, in inference mode.

    Raises:
        InputError: it has one class for a whole clip.
    """
    teacher = rebuild(net)
    if isinstance(teacher, STGCN):
        raise InputError(
            f"family {net.arch.family}: one class for a whole clip, and networks are trained as "
            "integers on the classes of frames"
        )
    return teacher


def taught(net: FloatNet, clips: Sequence[WordArray]) -> list[FloatArray]:
    """Logits of the float network, float64 `(T, K)`, for words `(T, C, V)` of each clip.

    Raises:
        InputError: as `teacher_of`.
    """
    teacher = teacher_of(net)
    frames = (torch.from_numpy(clip.transpose(1, 0, 2).copy())[None].float() for clip in clips)
    with torch.inference_mode():
        return [teacher(x)[0].T.double().numpy() for x in frames]  # (1, C, T, V) -> (T, K)
