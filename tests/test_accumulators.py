"""The widths of every accumulator, from weights and from formats alone, and the command."""

from __future__ import annotations

import json
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxp.__main__ import app
from fxp.accumulators import accumulators, by_layer, check_bits, format_signals
from fxp.console import run
from fxp.errors import InputError
from fxp.ir import (
    Add,
    Affine,
    Argmax,
    Conv,
    Graph,
    GraphProduct,
    Input,
    IntArray,
    Node,
    Requantise,
    TemporalConv,
    TemporalSum,
    Weights,
)
from fxp.qformat import Cast, Overflow, QFormat, Rounding
from fxp.ranges import analyse, certify, is_sum
from fxp.store import save_graph
from fxp.validate import describe
from hw_model.widths import widths_of
from tests.strategies import random_graph


def words(raw: list) -> IntArray:
    return np.array(raw, np.int64)


# ---------------------------------------------------------------------------- formats alone

TINY = 2  # bits of a weight: -2..1
X = QFormat(2, 0)  # -2..1


def drawn(node: Node, raw: tuple[int, ...]) -> Node:
    """The node with these words for its weights."""

    def of(own: Weights) -> Weights:
        return Weights(words(list(raw)).reshape(own.raw.shape), own.word_bits, own.frac_bits)

    if isinstance(node, GraphProduct):
        return GraphProduct(node.name, node.x, of(node.adjacency))
    if isinstance(node, Affine):
        return Affine(node.name, node.x, of(node.scale), node.bias)
    if isinstance(node, TemporalConv):
        weight = of(node.weight)
        return TemporalConv(node.name, node.x, weight, node.bias, node.dilation, node.lookahead)
    assert isinstance(node, Conv)
    return Conv(node.name, node.x, of(node.weight), node.bias)


def weights(shape: tuple[int, ...], frac_bits: tuple[int, ...] = (0,)) -> Weights:
    return Weights(np.full(shape, -1, np.int64), TINY, frac_bits)


@pytest.mark.parametrize("fmt", [X, QFormat(2, 0, signed=False)])
@pytest.mark.parametrize(
    ("channels", "joints", "node"),
    [
        (3, 1, Conv("y", "x", weights((1, 3)), words([0]))),
        (1, 1, TemporalConv("y", "x", weights((1, 1, 3)), words([0]), 1, 1)),
        (2, 1, Affine("y", "x", weights((2, 1)), words([[0], [0]]))),
        (2, 2, GraphProduct("y", "x", weights((1, 2, 2)))),
        (2, 1, GraphProduct("y", "x", weights((2, 1, 1), (2, 0)))),
    ],
)
def test_formats_alone_are_the_worst_case_over_all_weights(
    channels: int, joints: int, node: Node, fmt: QFormat
) -> None:
    graph = Graph("g", (Input("x", channels, joints, fmt), node), ("y",))
    own = next(
        value
        for value in (getattr(node, k, None) for k in ("weight", "scale", "adjacency"))
        if value
    )
    ranges = [
        analyse(Graph("g", (graph.nodes[0], drawn(node, raw)), ("y",)))["y"]
        for raw in product(range(-2, 2), repeat=own.raw.size)
    ]
    found = format_signals(graph)["y"]
    assert min(found.lo) == min(min(each.lo) for each in ranges)
    assert max(found.hi) == max(max(each.hi) for each in ranges)


def test_a_scale_that_is_a_power_of_two_is_a_shift() -> None:
    nodes = (
        Input("x", 2, 1, QFormat(4, 0)),
        Affine("a", "x", Weights(words([[4], [4]]), 8, (0,)), words([[0], [0]])),
        Affine("b", "x", Weights(words([[4], [5]]), 8, (0,)), words([[0], [0]])),
    )
    found = format_signals(Graph("g", nodes, ("a", "b")))
    assert (found["a"].lo[0], found["a"].hi[0]) == (-32, 28)
    assert (found["b"].lo[0], found["b"].hi[0]) == (127 * -8, -128 * -8)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_weights_need_no_more_than_formats_and_those_no_more_than_costs_assume(seed: int) -> None:
    """Biases aside: they have no format."""
    graph = random_graph(np.random.default_rng(seed))
    nodes = []
    for node in graph.nodes:
        if isinstance(node, Conv | TemporalConv | Affine):
            object.__setattr__(node, "bias", np.zeros_like(node.bias))
        nodes.append(node)
    exact, formats, costs = analyse(graph), format_signals(graph), widths_of(graph, describe(graph))
    for node in nodes:
        if is_sum(node):
            name = node.name
            assert min(formats[name].lo) <= min(exact[name].lo)
            assert max(exact[name].hi) <= max(formats[name].hi)
            assert formats[name].width_bits <= costs[name].bits + 1  # unsigned operands: a sign


# ---------------------------------------------------------------------------- report and command


def network(overflow: Overflow = Overflow.SAT) -> Graph:
    cast = Cast(QFormat(4, -2), Rounding.RND, overflow)
    nodes = (
        Input("x", 2, 1, QFormat(4, 0)),
        Conv("one.conv", "x", Weights(words([[3, -5]]), 4, (0,)), words([1])),
        Requantise("one.q", "one.conv", cast, relu=True),
        TemporalSum("two.sum", "one.q", 5),
        Conv("two.conv", "two.sum", Weights(words([[-6], [2]]), 4, (0,)), words([0, 0])),
        Requantise("two.q", "two.conv", cast),
        Add("two.add", "two.q", "two.q"),
        Requantise("out", "two.add", cast),
        Argmax("label", "out"),
    )
    return Graph("g", nodes, ("out", "label"))


def test_each_accumulator_with_its_three_widths() -> None:
    found = {each.node: each for each in accumulators(network())}
    assert list(found) == ["one.conv", "two.sum", "two.conv", "two.add"]
    conv = found["one.conv"]
    # 3x - 5y + 1 with -8..7: -58..62; any weights -8..7: 2 * (-8 * 7) .. 2 * 64
    assert (conv.lo, conv.hi, conv.layer, conv.kind) == (-58, 62, "one", "Conv")
    assert (conv.bits, conv.needed_bits, conv.format_bits, conv.saved_bits) == (7, 7, 9, 2)
    # one.q is 0..7 after its ReLU; five of them; times -6 or 2, or -8..7
    assert (found["two.sum"].lo, found["two.sum"].hi) == (0, 35)
    assert (found["two.conv"].lo, found["two.conv"].hi) == (-210, 70)
    assert (found["two.conv"].bits, found["two.conv"].format_bits) == (9, 10)
    layers = {
        layer.layer: (layer.bits, layer.format_bits) for layer in by_layer(accumulators(network()))
    }
    assert layers == {"one": (7, 9), "two": (9, 10)}


def test_the_widest_one_is_named() -> None:
    found = accumulators(network())
    check_bits(found, 9)
    with pytest.raises(InputError) as caught:
        check_bits(found, 8)
    assert str(caught.value) == (
        "layer `two`: accumulator `two.conv` reaches -210..70 in the worst case and needs 9 bits, "
        "got 8"
    )


def test_the_report_and_certify_agree() -> None:
    for overflow in (Overflow.SAT, Overflow.WRAP):
        graph = network(overflow)
        least = max(each.needed_bits for each in accumulators(graph))
        certify(Graph(graph.name, graph.nodes, graph.outputs, least))
        with pytest.raises(InputError):
            certify(Graph(graph.name, graph.nodes, graph.outputs, least - 1))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def call(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fxp", "certify", *map(str, args)])
        with pytest.raises(SystemExit) as caught:
            run(app)
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return call


def test_the_command_prints_nodes_layers_and_the_least_width(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    save_graph(network(), tmp_path / "net.fxp")
    code, out, _ = command(tmp_path / "net.fxp")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == (
        ["node", "kind", "lowest", "highest", "bits", "needed_bits", "format_bits", "saved"]
    )
    assert lines[1].split() == ["one.conv", "Conv", "-58", "62", "7", "7", "9", "2"]
    assert ["two", "9", "9", "10", "1"] in [line.split() for line in lines]
    assert lines[-3:] == [
        "minimal accumulator_bits 9",
        "from formats alone 10",
        "certified at 48 bits",
    ]
    assert command(tmp_path / "net.fxp", "--bits", 9)[0] == 0


def test_the_command_refuses_a_width(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    save_graph(network(), tmp_path / "net.fxp")
    for more in ([], ["--json"]):
        code, out, err = command(tmp_path / "net.fxp", "--bits", 8, *more)
        assert (code, out) == (2, "")
        assert err == (
            f"error: {tmp_path / 'net.fxp'}: layer `two`: accumulator `two.conv` reaches -210..70 "
            "in the worst case and needs 9 bits, got 8\n"
        )


def test_the_command_says_what_may_wrap(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    save_graph(network(Overflow.WRAP), tmp_path / "net.fxp")
    code, out, _ = command(tmp_path / "net.fxp", "--bits", 6)
    assert code == 0 and "minimal accumulator_bits 6\n" in out
    assert [line for line in out.splitlines() if "may wrap" in line] == [
        f"{name} may wrap: no stored word depends on what 6 bits lose"
        for name in ("one.conv", "two.sum", "two.conv")
    ]
    data = json.loads(command(tmp_path / "net.fxp", "--bits", 6, "--json")[1])
    assert data["wrapping"] == ["one.conv", "two.sum", "two.conv"]
    assert (data["minimal_bits"], data["format_bits"], data["certified_bits"]) == (6, 10, 6)
    assert data["accumulators"][0] == {
        "node": "one.conv",
        "layer": "one",
        "kind": "Conv",
        "lo": -58,
        "hi": 62,
        "bits": 7,
        "needed_bits": 6,
        "format_bits": 9,
        "saved_bits": 2,
    }
    # what layer two reads has frac_bits -2 already: no shift, 4 bits
    assert data["layers"][1] == {"layer": "two", "bits": 9, "needed_bits": 4, "format_bits": 10}
