"""Every cause is told from a defect planted in a copy of a network, or of what it computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fxp.cast import requantise
from fxp.diff import Comparison, compare
from fxp.guesses import Cause
from fxp.ir import Add, Affine, Graph, IntArray, Requantise, TemporalSum, operands
from fxp.memories import ground_of, settings_for
from fxp.qformat import Overflow, QFormat, Rounding
from fxp.sides import Pair, read_pair
from fxp.store import save_graph
from fxp.validate import describe
from tests.golden.networks import CASES
from tests.planted import Values, changed, computed, folder, network, planted, recast


def cause_of(result: Comparison) -> tuple[str, Cause, str]:
    assert result.first is not None
    assert result.first.wrong == "B"
    why = result.first.explanation
    assert why.explained == why.differing > 0, why
    assert why.moved == 0, why
    return result.first.node, why.cause, why.text


R, OV = Rounding, Overflow
CASTS: list[tuple[str, str, dict[str, Any], Cause, str]] = [
    ("dilated", "block0.norm.q", {"rounding": R.TRN}, Cause.ROUNDING, "rounds TRN, not RND"),
    ("dilated", "block0.add.q", {"rounding": R.RND_CONV}, Cause.TIE, "rounds RND_CONV"),
    (
        "ragged",
        "block0.residual.q",
        {"rounding": R.RND},
        Cause.TIE,
        "rounds RND, not RND_ZERO",
    ),
    ("dilated", "embedding.q", {"rounding": R.TRN_ZERO}, Cause.ROUNDING, "rounds TRN_ZERO"),
    ("dilated", "embedding.q", {"overflow": OV.WRAP}, Cause.CLIP, "overflows WRAP, not SAT"),
    ("dilated", "embedding.q", {"overflow": OV.SAT_ZERO}, Cause.CLIP, "overflows SAT_ZERO"),
    ("dilated", "embedding.q", {"overflow": OV.SAT_SYM}, Cause.CLIP, "overflows SAT_SYM"),
    ("narrow", "block0.conv.q", {"overflow": OV.SAT}, Cause.CLIP, "overflows SAT, not WRAP"),
]


@pytest.mark.parametrize(("case", "name", "modes", "cause", "text"), CASTS)
def test_casts_of_another_mode(
    tmp_path: Path, case: str, name: str, modes: dict[str, Any], cause: Cause, text: str
) -> None:
    graph, clip = network(case)
    values = computed(recast(graph, name, **modes), clip)
    found = cause_of(planted(tmp_path, graph, clip, values))
    assert found[:2] == (name, cause)
    assert text in found[2]


def test_both_modes_of_ap_fixed(tmp_path: Path) -> None:
    graph, clip = network()
    modes = {"rounding": R.TRN, "overflow": Overflow.WRAP}
    values = computed(recast(graph, "embedding.q", **modes), clip)
    _, cause, text = cause_of(planted(tmp_path, graph, clip, values))
    assert cause in (Cause.ROUNDING, Cause.CLIP)  # of the first word
    assert text == "rounds TRN, not RND and overflows WRAP, not SAT"


RELUS = [("block0.norm.q", "missing"), ("block0.graph.q", "too many")]


@pytest.mark.parametrize(("name", "text"), RELUS)
def test_relu(tmp_path: Path, name: str, text: str) -> None:
    graph, clip = network()
    if name == "block0.norm.q":  # a signed word, or a missing ReLU saturates to the same zero
        graph = recast(graph, name, to=QFormat(12, 8))
    values = computed(changed(graph, name, lambda node: replace(node, relu=not node.relu)), clip)
    found = cause_of(planted(tmp_path, graph, clip, values))
    assert found[:2] == (name, Cause.RELU)
    assert text in found[2]


def cast_again(graph: Graph, name: str, values: Values, accumulator: IntArray) -> Values:
    """The values with one cast fed by another accumulator; what is behind it stays."""
    node = next(node for node in graph.nodes if node.name == name)
    assert isinstance(node, Requantise)
    about = describe(graph)[node.x]
    words = [
        [
            [requantise(int(w), about.frac(c), node.cast, node.relu) for w in row]
            for c, row in enumerate(frame)
        ]
        for frame in accumulator
    ]
    return {**values, name: np.array(words, np.int64)}


def wrapped(words: IntArray, bits: int) -> IntArray:
    half = 1 << (bits - 1)
    return ((words + half) & (2 * half - 1)) - half


@pytest.mark.parametrize("tapped", [True, False])
def test_an_accumulator_that_wraps(tmp_path: Path, tapped: bool) -> None:
    graph, clip = network()
    values = computed(graph, clip)
    accumulator = wrapped(values["block0.conv"], 13)
    assert (accumulator != values["block0.conv"]).any()
    values = cast_again(graph, "block0.conv.q", values, accumulator)
    del values["block0.conv"]
    if tapped:
        values["block0.conv"] = accumulator
    name, cause, text = cause_of(planted(tmp_path, graph, clip, values))
    assert name == ("block0.conv" if tapped else "block0.conv.q")
    assert cause == Cause.OVERFLOW
    assert text == "the accumulator `block0.conv` wraps at 13 bits"


def test_an_accumulator_that_saturates(tmp_path: Path) -> None:
    graph, clip = network()
    values = computed(graph, clip)
    values["block0.graph"] = values["block0.graph"].clip(-4096, 4095)
    _, cause, text = cause_of(planted(tmp_path, graph, clip, values))
    assert (cause, text) == (Cause.OVERFLOW, "the accumulator `block0.graph` saturates at 13 bits")


def test_an_operand_at_another_binary_point(tmp_path: Path) -> None:
    graph, clip = network()
    values = computed(graph, clip)
    accumulator = values["embedding"] << 2
    values = cast_again(graph, "embedding.q", values, accumulator)
    found = cause_of(planted(tmp_path, graph, clip, values))
    expected = "cast as if `embedding` had 2 fewer `frac_bits`"
    assert found == ("embedding.q", Cause.SCALE, expected)


@pytest.mark.parametrize("tapped", [True, False])
def test_an_unaligned_addition(tmp_path: Path, tapped: bool) -> None:
    graph, clip = network()
    values = computed(graph, clip)
    total = values["block0.add"] + values["embedding.stream"]  # shifted one bit too far
    values = cast_again(graph, "block0.add.q", values, total)
    del values["block0.add"]
    if tapped:
        values["block0.add"] = total
    _, cause, text = cause_of(planted(tmp_path, graph, clip, values))
    assert cause == Cause.SCALE
    expected = "operand `embedding.stream` of `block0.add` is shifted 1 bits too far to the left"
    assert text == expected


def test_a_bias_at_another_binary_point(tmp_path: Path) -> None:
    graph, clip = network()
    other = changed(graph, "embedding", lambda node: replace(node, bias=node.bias << 3))
    found = cause_of(planted(tmp_path, graph, clip, computed(other, clip)))
    text = "the bias of `embedding` is shifted 3 bits to the left"
    assert found == ("embedding", Cause.SCALE, text)


def test_a_missing_bias_per_joint(tmp_path: Path) -> None:
    graph, clip = network()
    none = changed(graph, "input_norm", lambda node: replace(node, bias=node.bias * 0))
    assert isinstance(none.nodes[1], Affine)
    found = cause_of(planted(tmp_path, graph, clip, computed(none, clip)))
    assert found == ("input_norm", Cause.SCALE, "the bias of `input_norm` is missing")


@pytest.mark.parametrize("delay", [1, -1, 3])
def test_frames_of_another_time(tmp_path: Path, delay: int) -> None:
    graph, clip = network()
    values = computed(graph, clip)
    words = np.roll(values["block0.graph.q"], delay, axis=0)
    words[:delay] = 0
    if delay < 0:
        words = np.concatenate((values["block0.graph.q"][1:], 0 * words[:1]))
    values["block0.graph.q"] = words
    name, cause, text = cause_of(planted(tmp_path, graph, clip, values))
    when = "1 frame early" if delay < 0 else f"{delay} frame{'s' * (delay > 1)} late"
    assert (name, cause, text) == (
        "block0.graph.q",
        Cause.DELAY,
        f"`block0.graph.q` comes {when}",
    )


def test_an_operand_of_another_time(tmp_path: Path) -> None:
    graph, clip = network("ragged")  # its residual waits for the convolution's lookahead
    values = computed(graph, clip)
    node = next(node for node in graph.nodes if isinstance(node, Add))
    late = np.concatenate((0 * values[node.b][:1], values[node.b][:-1]))
    shifted = values[node.name] + 0
    about = describe(graph)
    left = about[node.name].frac(0) - about[node.b].frac(0)
    shifted += (late - values[node.b]) << left
    values[node.name] = shifted
    name, cause, text = cause_of(planted(tmp_path, graph, clip, values))
    assert (name, cause) == (node.name, Cause.DELAY)
    assert text == f"operand `{node.b}` of `{node.name}` comes 1 frame late"


@pytest.mark.parametrize(("key", "value"), [("window", 4), ("window", 2), ("dilation", 1)])
def test_a_window_of_another_length(tmp_path: Path, key: str, value: int) -> None:
    graph, clip = network()
    other = changed(graph, "block0.sum", lambda node: replace(node, **{key: value}))
    name, cause, text = cause_of(planted(tmp_path, graph, clip, computed(other, clip)))
    assert (name, cause) == ("block0.sum", Cause.DELAY)
    node = next(node for node in other.nodes if isinstance(node, TemporalSum))
    assert f"window {node.window} and dilation {node.dilation}, not 3 and 2" in text


ORDERS: list[tuple[Callable[[IntArray], IntArray], str]] = [
    (lambda x: x[:, ::-1], "the channels are reversed"),
    (lambda x: x[:, :, ::-1], "the joints are reversed"),
    (lambda x: np.roll(x, -2, axis=1), "the channels are rotated: place 0 holds 2"),
    (lambda x: x[:, :, [0, 2, 1, 3]], "the joints are in another order: place 1 holds 2, place 2"),
    (lambda x: x.transpose(0, 2, 1).reshape(x.shape), "channels and joints are exchanged"),
]


@pytest.mark.parametrize(("order", "text"), ORDERS)
def test_another_order(tmp_path: Path, order: Callable[[IntArray], IntArray], text: str) -> None:
    graph, clip = network()
    values = computed(graph, clip)
    values["block0.conv.q"] = np.ascontiguousarray(order(values["block0.conv.q"]))
    found = cause_of(planted(tmp_path, graph, clip, values))
    assert found[:2] == ("block0.conv.q", Cause.PERMUTATION)
    assert text in found[2]


def test_equal_scores_that_go_to_the_last(tmp_path: Path) -> None:
    graph, clip = network()
    graph = recast(graph, "logits", to=QFormat(2, -1))  # most scores are equal
    values = computed(graph, clip)
    scores = values["logits"]
    values["label"] = scores.shape[1] - 1 - scores[:, ::-1].argmax(axis=1)[:, None]
    name, cause, _ = cause_of(planted(tmp_path, graph, clip, values))
    assert (name, cause) == ("label", Cause.TIE)


def test_a_flipped_bit_has_no_known_cause(tmp_path: Path) -> None:
    graph, clip = network()
    values = computed(graph, clip)
    values["block0.norm.q"][7, 1, 2] ^= 4
    first = planted(tmp_path, graph, clip, values).first
    assert first is not None
    assert first.explanation.cause == Cause.UNKNOWN
    assert (first.frame, first.channel, first.joint) == (7, 1, 2)


def test_when_a_is_the_wrong_side(tmp_path: Path) -> None:
    graph, clip = network()
    values = computed(recast(graph, "embedding.q", rounding=Rounding.TRN), clip)
    save_graph(graph, tmp_path / "net.fxp")
    result = compare(read_pair(folder(tmp_path / "a", values), tmp_path / "net.fxp"))
    assert result.first is not None
    assert result.first.wrong == "A"
    assert result.first.explanation.cause == Cause.ROUNDING


def test_counts_and_operands(tmp_path: Path) -> None:
    graph, clip = network()
    values = computed(graph, clip)
    values["block0.norm.q"][7:, 1, 2] ^= 4
    values["label"][3] ^= 1
    result = planted(tmp_path, graph, clip, values)
    counts = {count.node: count for count in result.counts}
    assert len(counts) == result.nodes == len(graph.nodes)
    assert (counts["block0.norm.q"].differing, counts["block0.norm.q"].first_frame) == (17, 7)
    assert (counts["label"].differing, counts["label"].first_frame) == (1, 3)
    assert sum(count.differing for count in result.counts) == 18
    first = result.first
    assert first is not None
    accumulator = int(computed(graph, clip)["block0.norm"][7, 1, 2])
    assert first.accumulator == accumulator
    assert first.accumulator_frac_bits == describe(graph)["block0.norm"].frac(1)
    assert [operand.words for operand in first.operands] == [(accumulator,)]
    assert first.a ^ first.b == 4


@pytest.mark.parametrize("name", CASES)
def test_operands_of_every_node_are_its_inputs(name: str) -> None:
    graph, clip = network(name)
    exact = computed(graph, clip[:5])
    ground = ground_of(graph, settings_for(graph, 5))
    sizes = {}
    for node in graph.nodes[1:]:
        words = exact[node.name].copy()
        words[-1, -1, -1] ^= 1
        first = compare(Pair(ground, exact, exact, {**exact, node.name: words})).first
        assert first is not None
        assert first.node == node.name
        assert [operand.name for operand in first.operands] == list(operands(node))
        assert all(operand.words for operand in first.operands)
        sizes[first.kind] = sum(len(operand.words) for operand in first.operands)
    expected = {"Requantise": 1, "Affine": 1, "Add": 2, "LayerNorm": 20, "ClipMean": 3}
    for kind in expected.keys() & sizes.keys():
        assert sizes[kind] == expected[kind]
