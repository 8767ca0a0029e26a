"""What float and integer networks share when they label a data set: the fit, and the scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from fxp.errors import InputError
from fxp.ir import Graph
from fxp.simulate import compile_graph
from fxp.simulate import predict as simulate
from fxp.skeleton import load_skeleton, skeleton_names
from fxp.spec import ArchSpec
from stgcn_ref.datasets.clips import Dataset, LabelArray, held
from stgcn_ref.metrics import Scores, score


def check_fit(arch: ArchSpec, ds: Dataset) -> None:
    """Refuse data that the network cannot read. Skeletons of the same joints may differ in edges.

    Raises:
        InputError: channels, joints or classes differ.
    """
    pairs = {
        "in_channels": (arch.in_channels, ds.clips[0].x.shape[1]),
        "skeleton": (arch.skeleton, ds.skeleton),
        "classes": (arch.classes, len(ds.classes)),
    }
    for key, (wanted, found) in pairs.items():
        if wanted != found and not (key == "skeleton" and _same_joints(arch.skeleton, ds.skeleton)):
            raise InputError(
                f"data set {ds.name}: `{key}` of the network is {wanted}, of the data {found}"
            )


def predict_integers(
    graph: Graph, ds: Dataset, threads: int = 1, on_clip: Callable[[], None] | None = None
) -> list[LabelArray]:
    """The label of every network step by the integer network, int64 (T,) per clip.

    `threads` clips are simulated at once: the kernels release the interpreter, and share nothing
    but constants. `on_clip` is called after each clip, in the calling thread.

    Raises:
        InputError: the words do not fit the graph's input, or it gives no labels.
    """
    plan = compile_graph(graph)
    found = []
    with ThreadPoolExecutor(threads) as pool:
        for labels in pool.map(lambda clip: simulate(plan, clip.x), ds.clips):
            found.append(labels)
            if on_clip is not None:
                on_clip()
    return found


def score_steps(ds: Dataset, predictions: Sequence[LabelArray], drop_last: bool = False) -> Scores:
    """Scores over original frames: a step's label is held for all frames the step covers."""
    found = [held(clip, labels) for clip, labels in zip(ds.clips, predictions, strict=True)]
    return score(found, [clip.frame_labels for clip in ds.clips], drop_last=drop_last)


def _same_joints(one: str, other: str) -> bool:
    known = {one, other} <= set(skeleton_names())
    return known and load_skeleton(one).joints == load_skeleton(other).joints
