"""Stress cases: both ends of every accumulator, reached by the simulator and by the oracle."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from fxp.accumulators import accumulators
from fxp.cast import requantise, round_shift
from fxp.ir import (
    Add,
    Affine,
    Argmax,
    ClipMean,
    Conv,
    Graph,
    Input,
    IntArray,
    LayerNorm,
    Node,
    Requantise,
    Softmax,
    TemporalConv,
    TemporalSum,
    Weights,
)
from fxp.node_fields import describe_node
from fxp.oracle import evaluate
from fxp.qformat import Cast, Overflow, QFormat, Rounding
from fxp.ranges import analyse
from fxp.simulate import compile_graph, run
from fxp.store import graph_hash
from fxp.stress import HIGHEST, LOWEST, Stress, stress_cases, stress_plan
from fxp.validate import describe
from fxp.wrapping import wrapped_word
from tests.foreign import lowered
from tests.networks import VARIANTS
from tests.strategies import graphs_with_clips

EDGES = ["all operands highest", "all operands lowest", "checkerboard", "inverse checkerboard"]


def node_of(case: Stress) -> Node:
    return next(node for node in case.graph.nodes if node.name == case.node)


def by_node(cases: tuple[Stress, ...]) -> dict[str, list[Stress]]:
    found: dict[str, list[Stress]] = {}
    for case in cases:
        found.setdefault(case.node, []).append(case)
    return found


def values_of(case: Stress) -> dict[str, IntArray]:
    return run(compile_graph(case.graph), case.clip, taps=[n.name for n in case.graph.nodes])[0]


def check_reached(graph: Graph, oracle: bool) -> dict[str, str]:
    """All cases of a graph reach what they say, and that is what is certified."""
    plan = stress_plan(graph)
    certified = {each.node: (each.lo, each.hi) for each in accumulators(graph)}
    about = describe(graph)
    certified |= {
        node.name: (0, about[node.x].channels - 1)
        for node in graph.nodes
        if isinstance(node, Argmax)
    }
    assert {case.node for case in plan.cases} == certified.keys() - plan.without.keys()
    for name, cases in by_node(plan.cases).items():
        exact = not isinstance(node_of(cases[0]), LayerNorm | Softmax | Argmax)
        reached = []
        for case in cases:
            if exact:
                assert (case.lo, case.hi) == certified[name]
            value = values_of(case)[name]
            if oracle:
                assert np.array_equal(evaluate(case.graph, case.clip)[name], value)
            for purpose, end in ((HIGHEST, case.hi), (LOWEST, case.lo)):
                if purpose in case.purposes:
                    stride = getattr(node_of(case), "stride", 1)
                    at = 0 if len(value) == 1 else case.purposes[purpose] // stride
                    assert end in value[at], (name, purpose)
                    reached.append(purpose)
            assert certified[name][0] <= case.lo <= value.min(), name
            assert value.max() <= case.hi <= certified[name][1], name
        assert sorted(reached) == [HIGHEST, LOWEST], name
    return dict(plan.without)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_accumulator_of_every_family(variant: str) -> None:
    graph = lowered(VARIANTS[variant], 0)
    assert check_reached(graph, oracle=variant in ("rtstgcn", "stgcn", "msgcn")) == {}


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(graphs_with_clips(max_frames=1))
def test_accumulators_of_random_graphs(pair: tuple[Graph, IntArray]) -> None:
    graph, _ = pair
    for name, reason in check_reached(graph, oracle=True).items():
        wide = "at most 32" in reason
        assert wide or "behind the stride" in reason, (name, reason)


@pytest.mark.parametrize("variant", ["rtstgcn", "costgcn", "tcn"])
def test_a_register_one_bit_narrower_changes_a_stored_word(variant: str) -> None:
    graph = lowered(VARIANTS[variant], 0)
    bits = {each.node: each.bits - 1 for each in accumulators(graph)}
    for name, cases in by_node(stress_cases(graph)).items():
        if name not in bits:  # an argmax
            continue
        changed, casts = False, 0
        for case in cases:
            value, fracs = values_of(case)[name], describe(case.graph)[name]
            wrapped = wrapped_word(value, bits[name])
            for cast in case.graph.nodes:
                if isinstance(cast, Requantise) and cast.x == name:
                    casts += 1
                    for t, c, v in np.argwhere(value != wrapped).tolist():
                        words = (
                            requantise(int(x[t, c, v]), fracs.frac(c), cast.cast, cast.relu)
                            for x in (value, wrapped)
                        )
                        changed |= len(set(words)) == 2
        assert changed or not casts, name


# ---------------------------------------------------------------------------- clips


def network(*nodes: Node) -> Graph:
    return Graph("g", nodes, (nodes[-1].name,))


def only(graph: Graph, node: str) -> list[Stress]:
    return by_node(stress_cases(graph))[node]


def taps(raw: list[list[list[int]]], **over: int) -> TemporalConv:
    weight = Weights(np.array(raw), 8, (0,))
    return TemporalConv("y", "q", weight, np.zeros(len(raw), np.int64), **over)


def positive(node: Node, joints: int = 1) -> Graph:
    """The node reads words from 1 to 4."""
    offset = Affine("a", "x", Weights(np.array([[1]]), 2, (0,)), np.array([[1]]))
    stored = Requantise("q", "a", Cast(QFormat(8, 0)))
    return network(Input("x", 1, joints, QFormat(2, 0, signed=False)), offset, stored, node)


def ends(graph: Graph) -> list[set[str]]:
    """Which ends each case of the node reaches."""
    return [{HIGHEST, LOWEST} & set(case.purposes) for case in only(graph, "y")]


def test_ends_that_need_different_words_in_the_first_frame_get_a_clip_each() -> None:
    # highest: 9 x_0 = 36 with x_0 = 4, older words only subtract; lowest: 3 x_0 = 3 with x_0 = 1
    graph = positive(taps([[[-1, 9]], [[2, 3]]]))
    assert (only(graph, "y")[0].lo, only(graph, "y")[0].hi) == (3, 36)
    assert sorted(map(sorted, ends(graph))) == [[HIGHEST], [LOWEST]]
    # with a second joint one clip is enough
    assert ends(positive(taps([[[-1, 9]], [[2, 3]]]), joints=2)) == [{HIGHEST, LOWEST}]
    # highest: 5 x_0, lowest: -5 x_0, both with x_0 = 4
    assert ends(positive(taps([[[-1, 5]], [[1, -5]]]))) == [{HIGHEST, LOWEST}]
    # highest: 9 x_t in the first frame; lowest: 3 x_t in the last
    graph = positive(taps([[[-1, 9, 0]], [[0, 3, 2]]], lookahead=1))
    assert ends(graph) == [{HIGHEST, LOWEST}]
    assert check_reached(graph, oracle=True) == {}


def test_clips_are_short() -> None:
    def frames(node: Node, joints: int) -> list[int]:
        x = Input("q", 2, joints, QFormat(8, 0))
        return [len(case.clip) for case in only(network(x, node), "y")]

    # every other joint has the other end, so that one window is enough; six more for the edges
    assert frames(TemporalSum("y", "q", 9), 2) == [9 + 6]
    # two of the edges are frames of the windows
    assert frames(TemporalSum("y", "q", 9), 1) == [2 * 9 + 4]
    # two windows in two phases
    assert frames(TemporalSum("y", "q", 9, 2), 1) == [17 + 1 + 4]
    # the edges fit between the taps
    long = taps([[[1, 2, 3], [4, 5, 6]]], dilation=64, lookahead=64)
    assert frames(long, 1) == [130]
    assert frames(long, 2) == [129]


def test_a_clip_mean_gets_a_clip_of_equal_frames() -> None:
    mean = ClipMean("y", "x", 3, 5)
    (case,) = only(network(Input("x", 1, 2, QFormat(4, 0)), mean), "y")
    assert case.clip.tolist() == [[[7, -8]]] * 5
    high, low = only(network(Input("x", 1, 1, QFormat(4, 0)), mean), "y")
    assert (high.clip.tolist(), low.clip.tolist()) == ([[[7]]] * 5, [[[-8]]] * 5)
    assert (set(high.purposes), set(low.purposes)) == ({HIGHEST}, {LOWEST})


def test_the_ends_of_a_clip_mean_may_be_of_different_channels() -> None:
    # channel 0 reaches -6..1, channel 1 -1..6
    offset = Affine("a", "x", Weights(np.array([[1], [1]]), 2, (0,)), np.array([[-2], [3]]))
    stored = Requantise("q", "a", Cast(QFormat(8, 0)))
    graph = network(Input("x", 2, 1, QFormat(3, 0)), offset, stored, ClipMean("y", "q", 0, 3))
    (case,) = only(graph, "y")
    assert (case.lo, case.hi) == (-6, 6)
    assert (values_of(case)["q"] == [[-6], [6]]).all()
    assert check_reached(graph, oracle=True) == {}


def test_a_stride_that_skips_the_only_such_frame_is_a_reason() -> None:
    # the highest needs one frame before its own and not two, so t = 1
    graph = positive(taps([[[-9, 3, 2]]], stride=2))
    assert stress_plan(graph).without == {
        "y": "no frame behind the stride has the part of a clip for `highest`"
    }
    assert stress_plan(positive(taps([[[-9, 3, 2]]]))).without == {}


def test_one_operand_twice() -> None:
    (case,) = only(network(Input("x", 2, 2, QFormat(4, 0)), Add("y", "x", "x")), "y")
    assert (case.lo, case.hi) == (-16, 14)
    value = values_of(case)["y"]
    assert (value.min(), value.max()) == (-16, 14)


def test_the_edges_of_the_operands_are_frames_of_their_own() -> None:
    graph = lowered(VARIANTS["rtstgcn"], 0)
    for case in stress_cases(graph):
        node, ranges, values = node_of(case), analyse(case.graph), values_of(case)
        frames = [case.purposes[name] for name in EDGES]
        for x in (node.a, node.b) if isinstance(node, Add) else (node.x,):
            low, high = (np.array(end)[:, None] for end in (ranges[x].lo, ranges[x].hi))
            top, bottom, board, inverse = (values[x][t] for t in frames)
            assert (top == high).all()
            assert (bottom == low).all()
            assert (np.sort([board, inverse], axis=0) == np.sort([top, bottom], axis=0)).all()
            odd = np.indices(board.shape).sum(axis=0) % 2 == 1
            assert (board == np.where(odd, low, high)).all()


# ---------------------------------------------------------------------------- ties


def ties(case: Stress) -> Iterator[tuple[str, int]]:
    """Each cast of a case that has a frame of ties, and how many there are."""
    about, values, node = describe(case.graph), values_of(case), node_of(case)
    stride = getattr(node, "stride", 1)
    for cast in case.graph.nodes:
        if isinstance(cast, Requantise) and f"ties of {cast.name}" in case.purposes:
            frame = values[node.name][case.purposes[f"ties of {cast.name}"] // stride]
            count = 0
            for c, row in enumerate(frame.tolist()):
                shift = about[node.name].frac(c) - cast.cast.to.frac_bits
                up, down = Rounding.RND, Rounding.RND_MIN_INF
                differ = [round_shift(w, shift, up) != round_shift(w, shift, down) for w in row]
                count += sum(differ)
            yield cast.name, count


@pytest.mark.parametrize("variant", ["rtstgcn", "costgcn", "stgcn", "msgcn", "tcn"])
def test_frames_of_ties_hold_ties(variant: str) -> None:
    counts = [n for case in stress_cases(lowered(VARIANTS[variant], 0)) for _, n in ties(case)]
    assert len(counts) > 5
    assert min(counts) > 0


def test_ties_above_odd_and_above_even_words() -> None:
    x = Input("x", 3, 4, QFormat(8, 0))
    conv = Conv("c", "x", Weights(np.array([[3, 5, -7]]), 8, (0,)), np.array([11]))
    cast = Requantise("q", "c", Cast(QFormat(8, -4), Rounding.RND_CONV))
    (case,) = only(network(x, conv, cast), "c")
    words = values_of(case)["c"][case.purposes["ties of q"]].ravel()
    assert (words % 16 == 8).all()
    assert sorted((words >> 4) % 2) == [0, 0, 1, 1]


def test_ties_of_a_clip_shorter_than_the_window() -> None:
    # both ends are reached by the first frame alone
    graph = positive(taps([[[-1] * 20 + [99]], [[1] * 20 + [-99]]]))
    casts = [Requantise(f"q{s}", "y", Cast(QFormat(8, -s))) for s in (1, 2)]
    (case,) = only(network(*graph.nodes, *casts), "y")
    assert len(case.clip) < 20
    assert min(dict(ties(case)).values()) > 0


@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("lookahead", [0, 1, 2])
def test_ties_behind_a_stride(stride: int, lookahead: int) -> None:
    node = taps([[[3, 1, 5], [-7, 2, 9]]], stride=stride, lookahead=lookahead)
    casts = [Requantise(f"q{s}", "y", Cast(QFormat(8, -s))) for s in (2, 3, 4)]
    (case,) = only(network(Input("q", 2, 3, QFormat(8, 0)), node, *casts), "y")
    assert dict(ties(case)) == {"q2": 3, "q3": 3, "q4": 3}
    assert all(frame % stride == 0 for k, frame in case.purposes.items() if k.startswith("ties"))


def test_casts_of_one_shift_share_a_frame_and_left_shifts_have_none() -> None:
    conv = Conv("c", "x", Weights(np.array([[3]]), 8, (0,)), np.array([0]))
    casts = [
        Requantise("p", "c", Cast(QFormat(8, -3))),
        Requantise("q", "c", Cast(QFormat(12, -3), Rounding.TRN, Overflow.WRAP)),
        Requantise("r", "c", Cast(QFormat(12, -2))),
        Requantise("s", "c", Cast(QFormat(16, 1))),
    ]
    (case,) = only(network(Input("x", 1, 2, QFormat(8, 0)), conv, *casts), "c")
    frames = {k: v for k, v in case.purposes.items() if k.startswith("ties")}
    assert frames == {"ties of p": 6, "ties of q": 6, "ties of r": 7}  # six edges before them
    assert dict(ties(case)) == {"p": 2, "q": 2, "r": 2}


# ---------------------------------------------------------------------------- the rest


def test_nodes_that_divide_get_what_a_search_finds() -> None:
    graph = lowered(VARIANTS["rtstgcn-layernorm"], 0)
    certified = {each.node: each.hi for each in accumulators(graph)}
    found = {c.node: c for c in stress_cases(graph) if isinstance(node_of(c), LayerNorm)}
    assert found
    words = 0
    for case in found.values():
        signal = analyse(case.graph)[node_of(case).x]  # type: ignore[union-attr]
        if max(signal.lo) < min(signal.hi):
            words += 1
            assert case.hi > 0.99 * certified[case.node], case.node
    assert words >= 1


def test_a_softmax_reaches_its_smallest_and_its_largest_share_of_all() -> None:
    coarse, fine = np.array([64, 20, 5, 1, 0]), np.array([64, 40])
    offset = Affine(
        "a", "x", Weights(np.ones((3, 1), np.int64), 2, (0,)), np.array([[0], [2], [5]])
    )
    stored = Requantise("q", "a", Cast(QFormat(8, 0)))
    nodes = (Input("x", 3, 1, QFormat(2, 0)), offset, stored)
    graph = network(*nodes, Softmax("y", "q", coarse, fine, 6, 10))
    (case,) = only(graph, "y")
    every = np.array(list(product(range(-2, 2), repeat=3)))[:, :, None]  # (T, C, V)
    shares = evaluate(graph, every)["y"]
    assert (case.lo, case.hi) == (shares.min(), shares.max())


def test_the_same_graph_gives_the_same_cases_with_its_own_nodes() -> None:
    graph = lowered(VARIANTS["costgcn"], 3)
    nodes = {node.name: node for node in graph.nodes}
    first, second = stress_cases(graph), stress_cases(graph)
    for a, b in zip(first, second, strict=True):
        assert graph_hash(a.graph) == graph_hash(b.graph)
        assert np.array_equal(a.clip, b.clip)
        assert describe_node(node_of(a)) == describe_node(nodes[a.node])
        assert node_of(a) is nodes[a.node]
