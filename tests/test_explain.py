"""What is said of each step is what the engine does, and every reason is the one that decided."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxp import explain, reasons
from fxp.errors import InputError
from fxp.explain import Explanation, Row, explain_plan, label_of, tiers_up_to
from fxp.fused.tiers import Tier
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
from fxp.simulate import compile_graph, initial_state
from fxp.store import save_graph
from hw_model.loops import loop_nest
from tests.networks import VARIANTS
from tests.strategies import graphs_with_clips
from tests.test_fused import lowered
from tests.test_fxp_cli import Command, command  # noqa: F401  (a fixture)

ALL = frozenset(Tier)
SETS = {
    "all": ALL,
    "int16": ALL - {Tier.INT8},
    "plain16": frozenset({Tier.PLAIN16, Tier.GENERIC}),
    "generic": frozenset({Tier.GENERIC}),
}
WORD = QFormat(8, 3)


@pytest.fixture(autouse=True)
def able_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows do not depend on the processor that the tests run on: nothing is run here."""
    for module in (explain, reasons):
        monkeypatch.setattr(module, "machine_tiers", lambda: ALL)


def weights(raw: list[list[int]], bits: int = 8) -> Weights:
    return Weights(np.array(raw), bits, (2,))


def block() -> Graph:
    """A block as networks have them: two channels, three joints, one edge away from the middle."""
    adjacency = np.array([np.eye(3, dtype=int), [[0, 1, 0], [0, 0, 0], [0, 1, 0]]])
    nodes = (
        Input("x", 2, 3, WORD),
        Conv("b.conv", "x", weights([[100, 1], [1, 2], [3, 4], [5, 6]]), np.array([9, 0, 0, 0])),
        Requantise("b.conv.q", "b.conv", Cast(WORD)),
        GraphProduct("b.graph", "b.conv.q", Weights(adjacency, 2, (0,))),
        Requantise("b.graph.q", "b.graph", Cast(WORD)),
        TemporalSum("b.sum", "b.graph.q", 5),
        Add("b.add", "b.sum", "x"),
        Requantise("b.add.q", "b.add", Cast(WORD), relu=True),
        Argmax("label", "b.add.q"),
    )
    return Graph("net", nodes, ("label",), 32)


def only(*nodes: Node, tiers: frozenset[Tier] = ALL, fmt: QFormat = WORD) -> dict[str, Row]:
    """The rows of a small network by the name of their first node."""
    graph = Graph("net", (Input("x", 2, 3, fmt), *nodes), (nodes[-1].name,), 63)
    return {row.nodes[0]: row for row in explain_plan(compile_graph(graph, tiers=tiers)).rows}


# ---------------------------------------------------------------- rows


def test_the_rows_of_a_block() -> None:
    explained = explain_plan(compile_graph(block(), tiers=ALL))
    conv = ("b.conv", "b.conv.q")
    rest = ("b.graph", "b.graph.q", "b.sum", "b.add", "b.add.q")
    # the largest sum: 127 * 101 + 9, and 4 of rounding (F is 5 and 3)
    assert explained.rows == (
        Row(("x",), ("x",), "input", "", 8, None, None, 1, 6, 0, 0, 0, ""),
        # weights (1 group of 4 bytes) x 16 columns, 12 constants of 32 bits x 16 columns
        Row(conv, conv[1:], "product", "int8", 15, 8, 8, 1, 12, 24, 64 + 768, 0, ""),
        # (24 constants of 16 bits) x 2 channels; 3 joints x 2, and 5 edges x 3, of 64 bits;
        # a FIFO of 5 frames of bytes and one sum of 16 bits; the addition reaches 6 * -128
        Row(rest, rest[-1:], "rows", "lanes16", 11, None, None, 1, 6, 10, 96 + 168, 42, ""),
        Row(("label",), ("label",), "argmax", "", 8, None, None, 1, 3, 0, 16, 0, ""),
    )
    assert [label_of(row) for row in explained.rows] == [
        "x",
        "b: conv -> conv.q",
        "b: graph, graph.q, sum, add -> add.q",
        "label",
    ]
    assert explained.macs == 34
    assert explained.mac_percent == {"int8": 100 * 24 / 34, "lanes16": 100 * 10 / 34}
    assert explained.allowed == explained.machine == tuple(Tier)


def test_labels_name_a_layer_once() -> None:
    def label(nodes: tuple[str, ...], *results: str) -> str:
        return label_of(Row(nodes, results, "rows", "", 1, None, None, 1, 1, 0, 0, 0, ""))

    assert label(("a.x", "a.y", "b", "b.z", "c.q"), "c.q") == "a: x, y; b, z -> c: q"
    assert label(("pool", "pool.q"), "pool.q") == "pool -> q"
    assert label(("a.conv", "a.p", "a.q"), "a.p", "a.q") == "a: conv -> p, q"
    assert label(("a.conv",), "a.conv") == "a: conv"


@pytest.mark.parametrize("tiers", SETS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_work_and_state_are_all_there(variant: str, tiers: str) -> None:
    """Every node once, the work that the cost model counts, and every byte of state."""
    graph = lowered(VARIANTS[variant], 8, 12)
    plan = compile_graph(graph, tiers=SETS[tiers])
    explained = explain_plan(plan)
    nodes = [name for row in explained.rows if row.kind != "delay" for name in row.nodes]
    assert sorted(nodes) == sorted(node.name for node in graph.nodes)
    loops = {loop.name: loop.macs_sparse for loop in loop_nest(graph)}
    for row in explained.rows:
        assert row.macs == sum(loops.get(name, 0) for name in row.nodes)
    assert sum(explained.mac_percent.values()) == pytest.approx(100)
    state = initial_state(plan)
    kept = (state.rings, state.accumulators, state.delays)
    total = sum(array.nbytes for part in kept for array in part.values())
    assert sum(row.state_bytes for row in explained.rows) == total
    assert explained.chunk_frames == plan.chunk_frames


@settings(deadline=None, max_examples=200)
@given(graphs_with_clips(max_frames=1), st.sampled_from(sorted(SETS)))
def test_there_is_a_reason_wherever_something_narrower_is(
    case: tuple[Graph, IntArray], tiers: str
) -> None:
    for row in explain_plan(compile_graph(case[0], tiers=SETS[tiers])).rows:
        assert not re.search(r":\s*(;|$)", row.why), row
        least = row.engine in ("", "int8", "lanes16")
        assert bool(row.why) is not least or "casts run behind" in row.why, row
        lanes = int(row.engine.removeprefix("lanes")) if row.kind == "rows" else 64
        narrow = row.kind in ("product", "taps") and "carried" not in row.engine
        assert row.bits <= (32 if narrow else lanes), row


# ---------------------------------------------------------------- reasons


def conv(first: int, fmt: QFormat, tiers: frozenset[Tier] = ALL) -> Row:
    node = Conv("y", "x", weights([[first, 1], [1, 1]], 32), np.array([0, 0]))
    return only(node, fmt=fmt, tiers=tiers)["y"]


@pytest.mark.parametrize(
    ("first", "word_bits", "engine", "why"),
    [
        (-128, 8, "int8", ""),
        (128, 8, "int16", "int8: weights need 9 bits"),
        (-(2**15), 8, "int16", "int8: weights need 16 bits"),
        (127, 9, "int16", "int8: operands need 9 bits"),
        (2047, 10, "int16", "int8: operands need 10 bits, weights need 12 bits"),
        (2**15 - 1, 17, "int16 x2", "int16: operands need 17 bits"),
        (2**15 - 1, 18, "int16 x2", "int16: operands need 18 bits, sums need 33 bits"),
        (2**15, 16, "int16 x2", "int16: weights need 17 bits"),
        (
            2**29,
            32,
            "int16 x6",
            "int16: operands need 32 bits, weights need 31 bits, sums need 62 bits",
        ),
    ],
)
def test_why_a_product_has_its_tier(first: int, word_bits: int, engine: str, why: str) -> None:
    row = conv(first, QFormat(word_bits, 3))
    assert (row.engine, row.why) == (engine, why)
    assert (row.operand_bits, row.weight_bits) == (
        word_bits,
        1 + (first if first >= 0 else ~first).bit_length(),
    )


def test_the_sums_decide_where_all_words_are_narrow() -> None:
    """16 bits by 16 bits, one bit too many for 32: with both signs at their ends."""
    node = Conv("y", "x", weights([[-(2**15), -(2**15)]] * 2, 16), np.array([0, 0]))
    row = only(node, fmt=QFormat(16, 3))["y"]
    assert (row.kind, row.bits, row.why) == ("wide", 33, "int16: sums need 33 bits")


def test_tiers_that_are_left_out_or_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    row = conv(1, WORD, SETS["plain16"])
    assert (row.engine, row.why) == ("plain16", "int8, int16, madd16: left out")
    monkeypatch.setattr(reasons, "machine_tiers", lambda: ALL - {Tier.INT8, Tier.INT16})
    row = conv(1, WORD, SETS["plain16"])
    assert row.why == "int8, int16: this processor lacks it; madd16: left out"


def test_casts_that_do_not_fit_behind_a_product() -> None:
    """Sums of 32 bits and no room for half an lsb; bytes, and a shift that 32 bits do not have."""
    most = Weights(np.full((2, 2), -(2**15)), 16, (3,))
    node = Conv("y", "x", most, np.array([-1, -1]))
    rows = only(node, Requantise("q", "y", Cast(WORD)), fmt=QFormat(16, 3))
    assert rows["y"].why == "int8: operands need 16 bits, weights need 16 bits; " + (
        "casts run behind: rounding needs 33 bits"
    )
    node = Conv("y", "x", weights([[1, 0], [0, 1]], 8), np.array([0, 0]))
    rows = only(node, Requantise("q", "y", Cast(QFormat(8, -30), Rounding.TRN)))
    assert rows["y"].why == "casts run behind: a shift of 35 places"


@pytest.mark.parametrize(
    ("cast", "why"),
    [
        (Cast(QFormat(4, 1), Rounding.RND, Overflow.WRAP), "overflow WRAP"),
        (Cast(QFormat(4, 1), Rounding.RND, Overflow.SAT_ZERO), "overflow SAT_ZERO"),
        (Cast(QFormat(4, 1), Rounding.TRN_ZERO), "rounding TRN_ZERO"),
        (
            Cast(QFormat(4, 1), Rounding.RND_INF, Overflow.WRAP),
            "overflow WRAP, rounding RND_INF",
        ),
        (Cast(QFormat(4, -60)), "a shift of 63 places, more than 62"),
        (Cast(QFormat(4, 70)), "moved 67 places to the left, words need 75 bits"),
    ],
)
def test_why_a_cast_runs_alone(cast: Cast, why: str) -> None:
    row = only(Requantise("y", "x", cast))["y"]
    assert (row.kind, row.engine, row.why) == ("alone", "alone", why)


def test_sums_that_are_carried_and_digits_that_are_crossed() -> None:
    node = Conv("y", "x", weights([[2**15 - 1, 1], [1, 1]], 16), np.array([2**34, 0]))
    row = only(node, Requantise("q", "y", Cast(WORD)), fmt=QFormat(16, 3))["y"]
    assert (row.kind, row.engine, row.bits) == ("product", "int16 carried", 36)
    assert row.why == (
        "int8: operands need 16 bits, weights need 16 bits, sums need 36 bits; "
        "int16: sums need 36 bits"
    )
    node = Conv("y", "x", weights([[2**19, 1], [1, 1]], 21), np.array([0, 0]))
    row = only(node, Requantise("q", "y", Cast(QFormat(20, -9))), fmt=QFormat(20, 13))["y"]
    assert (row.kind, row.engine, row.nodes) == ("crossed", "int16 x3", ("y", "q"))
    assert row.why == "int16: operands need 20 bits, weights need 21 bits, sums need 40 bits"
    assert row.constant_bytes > 3 * 64


def test_why_lanes_are_wide() -> None:
    scale = Weights(np.array([[2**20], [1]]), 22, (0,))
    rows = only(Affine("y", "x", scale, np.array([[0], [0]])))
    assert (rows["y"].engine, rows["y"].why) == ("lanes32", "y needs 28 bits")
    wide = Conv("c", "x", weights([[2**15, 0], [0, 1]], 17), np.array([0, 0]))
    rows = only(wide, Requantise("q", "c", Cast(WORD)))
    assert (rows["q"].engine, rows["q"].why) == ("lanes64", "c lies in 64 bits")


def test_why_a_temporal_convolution_runs_alone() -> None:
    taps = Weights(np.full((2, 2, 3), 2**15), 17, (0,))
    row = only(TemporalConv("y", "x", taps, np.array([0, 0])))["y"]
    assert row.kind == "alone"
    assert row.why == (
        "int16, madd16, plain16: weights need 17 bits; taps are not multiplied in digits"
    )


def test_families_with_nodes_of_no_pass() -> None:
    explained = explain_plan(compile_graph(lowered(VARIANTS["rtstgcn-layernorm"], 8, 8), tiers=ALL))
    assert {row.why for row in explained.rows if row.kind == "alone"} == {"no pass has a LayerNorm"}
    assert explain_plan(compile_graph(block(), tiers=SETS["generic"])).rows[1].why == (
        "tier generic: every node runs alone"
    )


# ---------------------------------------------------------------- tiers


def test_a_tier_and_the_plainer_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tiers_up_to(Tier.INT8) == ALL
    assert tiers_up_to(Tier.MADD16) == {Tier.MADD16, Tier.PLAIN16, Tier.GENERIC}
    assert tiers_up_to(Tier.GENERIC) == {Tier.GENERIC}
    monkeypatch.setattr(explain, "machine_tiers", lambda: ALL - {Tier.INT16})
    assert tiers_up_to(Tier.INT8) == ALL - {Tier.INT16}
    with pytest.raises(InputError) as caught:
        tiers_up_to(Tier.INT16)
    assert str(caught.value) == (
        "tier `int16`: this processor lacks it, it has int8, madd16, plain16, generic"
    )


# ---------------------------------------------------------------- the command


@pytest.fixture
def net(tmp_path: Path) -> Path:
    save_graph(block(), tmp_path / "net.fxp")
    return tmp_path / "net.fxp"


def test_table(command: Command, net: Path) -> None:  # noqa: F811
    assert command("explain", net, "--tier", "int16") == 0
    lines = command.out.splitlines()
    columns = "step kind engine bits operand_bits weight_bits period words macs constant_bytes"
    assert lines[0].split() == [*columns.split(), "state_bytes", "why"]
    row = "b: conv -> conv.q product int16 15 8 8 1 12 24 832 0 int8: left out"
    assert lines[2].split() == row.split()
    assert lines[5:] == [
        "",
        "machine_tiers int8 int16 madd16 plain16 generic",
        "allowed_tiers int16 madd16 plain16 generic",
        "chunk_frames 1024",
        "macs_per_frame 34",
        "macs_int16 70.6 %",
        "macs_lanes16 29.4 %",
        "nodes_alone 0",
    ]


def test_nodes_alone_are_listed(command: Command, tmp_path: Path) -> None:  # noqa: F811
    graph = block()
    wraps = Cast(WORD, overflow=Overflow.WRAP)
    nodes = (*graph.nodes[:4], replace(graph.nodes[4], cast=wraps), *graph.nodes[5:])
    save_graph(replace(graph, nodes=nodes), tmp_path / "net.fxp")
    assert command("explain", tmp_path / "net.fxp") == 0
    assert command.out.splitlines()[-2:] == ["nodes_alone 1", "b.graph.q alone: overflow WRAP"]


def test_json_is_the_table(command: Command, net: Path) -> None:  # noqa: F811
    assert command("explain", net, "--json") == 0
    data = json.loads(command.out)
    assert list(data) == ["network", *(field.name for field in fields(Explanation))]
    assert data["network"] == "net"
    assert data["machine"] == data["allowed"] == [str(tier) for tier in Tier]
    expected = explain_plan(compile_graph(block(), tiers=ALL)).rows
    for row, found in zip(expected, data["rows"], strict=True):
        assert list(found) == [field.name for field in fields(Row)]
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(row).items()}
        assert found == plain


def test_refusals(  # one line, exit code 2
    command: Command,  # noqa: F811
    net: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "'int4' is not one of" in command.refused("explain", net, "--tier", "int4")
    missing = tmp_path / "none.fxp"
    assert command.refused("explain", missing).startswith(f"{missing}: ")
    broken = tmp_path / "broken.fxp"
    broken.write_bytes(net.read_bytes()[:100])
    assert command.refused("explain", broken).startswith(f"{broken}: ")
    monkeypatch.setattr(explain, "machine_tiers", lambda: SETS["plain16"])
    line = command.refused("explain", net, "--tier", "int8")
    assert line == "tier `int8`: this processor lacks it, it has plain16, generic"
