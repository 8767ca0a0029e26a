"""How far an integer network's labels are from its float network's, by steps and by segments.

Frame accuracy hides flicker, and so does the divergence of classes: it averages over frames, while
one wrong step in the middle of a segment makes three segments out of one. A judge counts both, and
needs no true labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fxp.floatnet import FloatNet
from fxp.ir import Graph, IntArray
from fxp.ptq.choose import Judge
from fxp.ptq.reference import real_values, reference
from fxp.ptq.search import LOGITS
from fxp.simulate import compile_graph, predict
from stgcn_ref.datasets.clips import Clip
from stgcn_ref.metrics import LabelArray, score


def label_loss(found: Sequence[LabelArray], wanted: Sequence[LabelArray]) -> float:
    """`(100 - agreement) + (100 - F1@50)`, in percent, of step labels (T,) against others.

    F1@50 takes `wanted` for the truth.

    Raises:
        InputError: they differ in number or length, or there are none.
    """
    scores = score(found, wanted)
    return (100 - scores.frame_accuracy) + (100 - scores.f1_50)


def others(clips: Sequence[Clip], seen: Sequence[Clip]) -> tuple[Clip, ...]:
    """The recordings that are not among those `seen`; all, where that leaves none."""
    names = {clip.name for clip in seen}
    return tuple(clip for clip in clips if clip.name not in names) or tuple(clips)


def label_judge(net: FloatNet, input_bits: int, clips: Sequence[Clip]) -> Judge:
    """The judge that takes `label_loss` from the float network's labels on some recordings."""
    words = [clip.x.astype(np.int64) for clip in clips]
    wide = reference(net, input_bits)
    floats = real_values(wide, words, [LOGITS])
    wanted = [values[LOGITS][:, :, 0].argmax(axis=1) for values in floats]

    def judge(graph: Graph) -> float:
        return label_loss(_labels(graph, words), wanted)

    return judge


def _labels(graph: Graph, words: Sequence[IntArray]) -> list[LabelArray]:
    plan = compile_graph(graph)
    return [predict(plan, clip) for clip in words]
