"""The float network that the integer one is to answer like."""

from __future__ import annotations

from fxp.errors import InputError
from fxp.floatnet import FloatNet
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
