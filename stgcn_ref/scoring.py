"""What float and integer networks share when they label a data set: the fit, and the scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fxp.errors import InputError
from fxp.ir import Graph
from fxp.persons import persons_as_joints
from fxp.simulate import compile_graph, run
from fxp.simulate import predict as simulate
from fxp.skeleton import load_skeleton, skeleton_names
from fxp.spec import ArchSpec
from stgcn_ref.datasets.clips import Clip, Dataset, LabelArray, WordArray, held
from stgcn_ref.datasets.recognition import RecognitionClip, RecognitionSet
from stgcn_ref.metrics import Scores, score

AnyClip = Clip | RecognitionClip
LOGITS = "logits"


def check_fit(arch: ArchSpec, ds: Dataset | RecognitionSet) -> None:
    """Refuse data that the network cannot read. Skeletons of the same joints may differ in edges.

    Raises:
        InputError: channels, joints, persons or classes differ, or one has a label for each frame
            and the other one for each clip.
    """
    for clip in ds.clips[:1]:
        check_clip(arch, clip, f"data set {ds.name}")
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


def check_clip(arch: ArchSpec, clip: Clip | RecognitionClip, where: str) -> None:
    """Refuse a clip of another kind than the network's, or of another number of persons.

    Raises:
        InputError: as it says; the line starts with `where`.
    """
    persons = clip.x.shape[3] if isinstance(clip, RecognitionClip) else None
    wanted = arch.persons if arch.family == "stgcn" else None
    if persons != wanted:
        kinds = [
            "one label a frame" if count is None else f"one label a clip of {count} persons"
            for count in (wanted, persons)
        ]
        raise InputError(
            f"{where}: the network ({arch.family}) gives {kinds[0]}, it has {kinds[1]}"
        )


def integer_input(clip: Clip | RecognitionClip) -> WordArray:
    """The words of a clip as an integer network reads them, (T, C, V): persons are joints."""
    return persons_as_joints(clip.x) if isinstance(clip, RecognitionClip) else clip.x


def predict_integers(
    graph: Graph,
    ds: Dataset | RecognitionSet,
    threads: int = 1,
    on_clip: Callable[[], None] | None = None,
) -> list[LabelArray]:
    """The label of every network step by the integer network, int64 (T,) per clip.

    A network of recognition clips gives one label each, (1,). `threads` clips are simulated at
    once: the kernels release the interpreter, and share nothing but constants. `on_clip` is called
    after each clip, in the calling thread.

    Raises:
        InputError: the words do not fit the graph's input, or it gives no labels.
    """
    plan = compile_graph(graph)
    return _of_clips(lambda clip: simulate(plan, integer_input(clip)), ds, threads, on_clip)


def class_scores_integers(
    graph: Graph,
    ds: RecognitionSet,
    threads: int = 1,
    on_clip: Callable[[], None] | None = None,
) -> LabelArray:
    """The raw logits of every clip, int64 (N, classes); they share one `frac_bits`.

    Raises:
        InputError: the words do not fit the graph's input, or it has no output `logits`.
    """
    if LOGITS not in graph.outputs:
        raise InputError(f"graph `{graph.name}`: no output `{LOGITS}`")
    plan = compile_graph(graph)

    def logits(clip: AnyClip) -> LabelArray:
        return np.asarray(run(plan, integer_input(clip))[0][LOGITS][0, :, 0])

    return np.stack(_of_clips(logits, ds, threads, on_clip))


def _of_clips(
    find: Callable[[AnyClip], LabelArray],
    ds: Dataset | RecognitionSet,
    threads: int,
    on_clip: Callable[[], None] | None,
) -> list[LabelArray]:
    """What `find` makes of each clip, in their order."""
    found = []
    with ThreadPoolExecutor(threads) as pool:
        for labels in pool.map(find, ds.clips):
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
