from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from fxp.cast import overflow, requantise, round_shift
from fxp.errors import InputError
from fxp.ir import Conv, Graph, IntArray, Requantise, Weights
from fxp.oracle import evaluate
from fxp.qformat import Cast, Overflow, QFormat, Rounding
from fxp.sensitivity import constant_of, narrower, sensitivity, with_cast, with_constant
from tests.golden.networks import CASES, make
from tests.strategies import random_clip


def case(name: str = "dilated") -> tuple[Graph, list[IntArray]]:
    graph, clip = make(CASES[name])
    return graph, [clip, random_clip(np.random.default_rng(1), graph, 6)]


def evaluated(graph: Graph, clip: IntArray) -> dict[str, IntArray]:
    return {name: words.astype(np.int64) for name, words in evaluate(graph, clip).items()}


@pytest.mark.parametrize("bits", [2, 4, 7])
@pytest.mark.parametrize("name", ["embedding.q", "block0.norm.q"])
def test_a_narrower_cast_rounds_the_accumulator_once(name: str, bits: int) -> None:
    graph, (clip, _) = case()
    node = next(node for node in graph.nodes if node.name == name)
    assert isinstance(node, Requantise)
    fmt = narrower(node.cast.to, bits)
    dropped = node.cast.to.word_bits - bits
    assert fmt.frac_bits == node.cast.to.frac_bits - dropped
    found = evaluate(with_cast(graph, name, fmt), clip)
    before = evaluate(graph, clip)
    about = {"embedding": (12,) * 3, "block0.norm": (11, 10, 12)}[node.x]
    for place, word in np.ndenumerate(before[node.x]):
        once = requantise(int(word), about[place[1]], replace(node.cast, to=fmt), node.relu)
        assert found[name][place] == once << dropped
    first = [n.name for n in graph.nodes].index(name)
    for earlier in graph.nodes[:first]:
        np.testing.assert_array_equal(found[earlier.name], before[earlier.name])


def test_the_same_format_changes_nothing() -> None:
    graph, (clip, _) = case()
    node = next(node for node in graph.nodes if node.name == "block0.add.q")
    assert isinstance(node, Requantise)
    found = evaluate(with_cast(graph, node.name, node.cast.to), clip)
    for name, words in evaluate(graph, clip).items():
        np.testing.assert_array_equal(found[name], words)


@pytest.mark.parametrize(
    "fmt", [QFormat(8, 6), QFormat(9, 5), QFormat(4, 0), QFormat(32, -30)], ids=repr
)
def test_formats_that_the_readers_could_not_hold(fmt: QFormat) -> None:
    graph, _ = case()
    with pytest.raises(InputError, match="cannot hold"):
        with_cast(graph, "embedding.q", fmt)  # 8 bits, 5 of them fractional


def test_only_casts_are_cast_and_only_constants_rounded() -> None:
    graph, _ = case()
    with pytest.raises(InputError, match="`embedding` is no cast"):
        with_cast(graph, "embedding", QFormat(4, 0))
    with pytest.raises(InputError, match="`nothing` is no node"):
        with_cast(graph, "nothing", QFormat(4, 0))
    with pytest.raises(InputError, match=r"node `embedding.q` has no constant operand"):
        with_constant(graph, "embedding.q", 4)


def test_every_word_of_a_constant_is_rounded_half_up_and_saturated() -> None:
    raw = np.arange(-128, 128).reshape(2, 128)
    node = Conv("conv", "input", Weights(raw, 8, (3,)), np.zeros(2, np.int64))
    graph, _ = case()
    graph = Graph("all", (graph.nodes[0], node), ("conv",))
    for bits in range(2, 9):
        found = constant_of(with_constant(graph, "conv", bits).nodes[1])
        assert (found.word_bits, found.frac_bits) == (8, (3,))
        for word, new in zip(raw.flat, found.raw.flat, strict=True):
            rounded = round_shift(int(word), 8 - bits, Rounding.RND)
            assert new == overflow(rounded, QFormat(bits, 0), Overflow.SAT) << (8 - bits)


def test_measures_are_those_of_their_definitions() -> None:
    graph, clips = case()
    found = {(c.name, c.bits): c for c in sensitivity(graph, clips, [4, 8])}
    casts = [n for n in graph.nodes if isinstance(n, Requantise)]
    assert {name for name, bits in found if bits == 8} == {
        node.name for node in casts if node.cast.to.word_bits > 8
    }
    assert {name for name, bits in found if bits == 4} == {
        *(node.name for node in casts),
        *("input_norm.scale", "embedding.weight", "block0.conv.weight"),
        *("block0.graph.adjacency", "block0.norm.scale", "classifier.weight"),
    }
    for name, changed in (
        ("block0.norm.q", with_cast(graph, "block0.norm.q", QFormat(4, 0, False))),
        ("embedding.weight", with_constant(graph, "embedding", 4)),
    ):
        before, after = ([evaluated(g, clip) for clip in clips] for g in (graph, changed))
        pairs = list(zip(before, after, strict=True))
        moved = sum(np.square(b["logits"] - a["logits"]).sum() for b, a in pairs)
        power = sum(np.square(b["logits"]).sum() for b in before)
        others = sum((b["label"] != a["label"]).sum() for b, a in pairs)
        change = found[name, 4]
        assert change.output_error == pytest.approx(math.sqrt(moved / power), rel=1e-12)
        assert change.label_changes == others / sum(len(clip) for clip in clips)
        assert change.kind == ("cast" if name == "block0.norm.q" else "constant")
        assert (change.layer, change.frames) == (name.split(".")[0], 15)


@pytest.mark.parametrize("name", ["shares", "strided", "clip", "normed"])
def test_networks_of_every_node(name: str) -> None:
    graph, clips = case(name)
    changes = sensitivity(graph, clips, [3])
    assert changes
    assert any(change.output_error for change in changes)


def test_a_graph_without_labels_and_one_without_scores() -> None:
    graph, clips = case("narrow")
    blind = replace(graph, nodes=graph.nodes[:-1], outputs=("pool.q",))
    assert {change.label_changes for change in sensitivity(blind, clips, [2])} == {None}
    labels = replace(graph, outputs=("label",))
    assert sensitivity(labels, clips, [2]) == sensitivity(graph, clips, [2])


def test_what_cannot_be_measured() -> None:
    graph, clips = case()
    with pytest.raises(InputError, match="at least one clip"):
        sensitivity(graph, [], [4])
    with pytest.raises(InputError, match="at least 2 bits, got 1"):
        sensitivity(graph, clips, [1])


def test_casts_keep_their_modes() -> None:
    graph, _ = case("narrow")
    changed = with_cast(graph, "block0.conv.q", QFormat(3, 0))
    first = next(node for node in changed.nodes if node.name == "block0.conv.q.narrow")
    assert isinstance(first, Requantise)
    assert first.cast == Cast(QFormat(3, 0), Rounding.TRN, Overflow.WRAP)
