"""The network in a file of any kind: a checkpoint, a published state dict, an integer network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from fxp.archive import load_arrays
from fxp.errors import InputError
from fxp.ir import Graph
from fxp.spec import ArchSpec, QuantSpec, parse_spec
from fxp.store import GRAPH_KIND, load_graph
from stgcn_ref.datasets.clips import Dataset, LabelArray
from stgcn_ref.datasets.hugadb import Ids
from stgcn_ref.datasets.recognition import RecognitionSet
from stgcn_ref.features import FeatureSpec
from stgcn_ref.preparation import PreparationSpec, word_bits
from stgcn_ref.recordings import Reading
from stgcn_ref.scoring import check_fit, class_scores_integers, predict_integers

if TYPE_CHECKING:  # torch takes seconds to load, and an integer network needs none
    from stgcn_ref.models.build import Net

Family = Literal["stgcn", "msgcn", "rtstgcn"]  # published families
AnySet = TypeVar("AnySet", Dataset, RecognitionSet)


# The sums of MS-GCN grow through ten layers, and eight bits there make its labels flicker; so do
# eight-bit operands in the refinements, which are to remove just that.
MSGCN_STREAM_BITS = 12


@dataclass(frozen=True)
class Told:
    """What the tensors of a published checkpoint do not tell.

    All but the last two as the keywords of `stgcn_ref.published.load`, each for the families that
    have it. `persons` are those of a clip (ST-GCN). `frac_bits`, one entry a channel, is for a
    network that was trained on measurements: it is to read words of `2**-frac_bits` units.
    """

    window: tuple[int, ...] | None = None
    dilations: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None
    residual: tuple[bool, ...] | None = None
    importance: bool | None = None
    config: Path | None = None
    persons: int | None = None
    frac_bits: tuple[int, ...] | None = None


NOTHING = Told()


@dataclass(frozen=True, eq=False)
class Opened:
    """A network, its architecture, and the data it reads.

    `ids` says what an output's index means on HuGaDB: a class of the data, or the activity's own
    number (published networks). `data` is what the file says of the training data.
    """

    net: Net | Graph
    arch: ArchSpec
    preparation: PreparationSpec
    ids: Ids
    data: Mapping[str, Any] = field(default_factory=dict)

    def reading(self) -> Reading:
        """How this network reads recordings: what is known of those it was trained on."""
        features = self.data.get("features")
        return Reading(
            self.preparation,
            parse_spec(FeatureSpec, features, "features") if features else None,
            known_reader=self.data.get("reader") or {},
            ids=self.ids,
            actions=self.arch.family == "stgcn",
        )

    def fitted(self, ds: AnySet) -> AnySet:
        """The data set with the network's classes.

        Raises:
            InputError: network and data do not fit.
        """
        if self.ids == "original":  # activities above the network's last one must not occur
            ds = replace(ds, classes=ds.classes[: self.arch.classes])
        check_fit(self.arch, ds)
        return ds

    def predict(
        self,
        ds: Dataset | RecognitionSet,
        threads: int = 1,
        on_clip: Callable[[], None] | None = None,
    ) -> list[LabelArray]:
        """The label of every network step, int64 (T,) per clip; one of a recognition clip, (1,).

        `threads` clips at once (integer networks; no word depends on it); `on_clip` is called
        after each clip.
        """
        if isinstance(self.net, Graph):
            return predict_integers(self.net, ds, threads, on_clip)
        from stgcn_ref.evaluate import predict, predict_clips
        from stgcn_ref.models.stgcn import STGCN

        if isinstance(self.net, STGCN):
            assert isinstance(ds, RecognitionSet)  # see `check_fit`
            return predict_clips(self.net, ds)
        assert isinstance(ds, Dataset)
        return predict(self.net, ds, on_clip)

    def class_scores(
        self, ds: RecognitionSet, threads: int = 1, on_clip: Callable[[], None] | None = None
    ) -> npt.NDArray[np.generic]:
        """The scores of the classes for every clip, (N, classes); arguments as `predict`."""
        if isinstance(self.net, Graph):
            return class_scores_integers(self.net, ds, threads, on_clip)
        from stgcn_ref.evaluate import class_scores
        from stgcn_ref.models.stgcn import STGCN

        assert isinstance(self.net, STGCN)  # see `check_fit`
        return class_scores(self.net, ds, on_clip)


def open_network(
    path: Path,
    family: Family | None = None,
    skeleton: str | None = None,
    told: Told = NOTHING,
) -> Opened:
    """The network in `path`; `family` says that it is a published state dict.

    Raises:
        InputError: the file is missing, foreign or damaged, or tells no architecture; `skeleton`
            without `family`, or something told that is none of the family's.
    """
    if family is not None:
        return _published(path, family, skeleton, told)
    if skeleton is not None:
        raise InputError("`--skeleton` is for published checkpoints: give `--family` too")
    if load_arrays(path)[0].get("kind") == GRAPH_KIND:
        graph = load_graph(path)
        return _opened(path, graph, graph.meta.get("arch"), graph.meta)
    from stgcn_ref.checkpoints import load_checkpoint, read_header

    arch, about = read_header(path)
    data = about.get("data")
    side = data.get("train") if isinstance(data, dict) else None
    known = side if isinstance(side, dict) else {}
    return _opened(path, load_checkpoint(path), arch.model_dump(mode="json"), known)


def standard_widths(opened: Opened, bits: int, stream_bits: int | None = None) -> QuantSpec:
    """Weights and operands of `bits`, and of what a network needs more for.

    Streams have `stream_bits`; left out, those of MS-GCN have at least `MSGCN_STREAM_BITS`, others
    `bits`. The operands in MS-GCN's refinements are as wide as the streams. The input is as wide
    as the preparation's words.

    Raises:
        InputError: a width out of range.
    """
    widths: dict[str, Any] = {
        "weight_bits": bits,
        "activation_bits": bits,
        "input_bits": word_bits(opened.preparation),
    }
    if opened.arch.family == "msgcn" and stream_bits is None:
        stream_bits = max(bits, MSGCN_STREAM_BITS)
    if opened.arch.refinements:
        widths["layers"] = {"stage*": {"activation_bits": stream_bits}}
    widths["stream_bits"] = stream_bits
    return parse_spec(QuantSpec, widths, f"--bits {bits}")


def _published(path: Path, family: Family, skeleton: str | None, told: Told) -> Opened:
    from stgcn_ref.published import load
    from stgcn_ref.published_arch import PERSONS, arch_of, read_words

    given = {key: value for key, value in vars(told).items() if value is not None}
    persons, frac_bits = given.pop("persons", PERSONS), given.pop("frac_bits", None)
    if told.persons is not None and family != "stgcn":
        raise InputError(f"{path}: keyword `persons` is none of family {family}")
    net = load(path, family, skeleton, **given)
    if frac_bits is not None:
        read_words(net, frac_bits, str(path))
    arch = arch_of(net, str(path), skeleton, persons)
    # the released MS-GCN was trained on HuGaDB, the others on no data set of numbered activities
    return Opened(net, arch, PreparationSpec(), "original" if family == "msgcn" else "dense")


def _opened(path: Path, net: Net | Graph, arch: Any, about: Mapping[str, Any]) -> Opened:
    steps = about.get("preparation") or {}  # none was recorded where none was done
    return Opened(
        net,
        parse_spec(ArchSpec, arch, f"{path}: arch"),
        parse_spec(PreparationSpec, steps, f"{path}: preparation"),
        "original" if about.get("ids") == "original" else "dense",
        about,
    )
