"""Forms of single words against the oracle, and their extremes against the range analysis."""

import numpy as np
from hypothesis import HealthCheck, given, settings

from fxp.forms import Form, Linear, bounds, extreme, form_of, separate
from fxp.ir import (
    Add,
    Affine,
    Conv,
    Graph,
    GraphProduct,
    IntArray,
    JointMean,
    Node,
    TemporalConv,
    TemporalSum,
    Weights,
    operands,
)
from fxp.oracle import evaluate
from fxp.ranges import Signal, analyse
from tests.strategies import graphs_with_clips

LINEAR = Conv | GraphProduct | TemporalSum | TemporalConv | Affine | Add | JointMean


def linear_nodes(graph: Graph) -> list[tuple[Linear, list[str]]]:
    return [
        (node, list(dict.fromkeys(operands(node))))
        for node in graph.nodes
        if isinstance(node, LINEAR)
    ]


def word(form: Form, x: list[IntArray], t: int) -> int:
    """What the form says of frame t."""
    total = form.bias
    for i, weight in enumerate(form.weights):
        frame = t + form.frames[i]
        if 0 <= frame < len(x[form.reads[i]]):
            word = x[form.reads[i]][frame, form.channels[i], form.joints[i]]
            total += int(weight) * int(word)
    return total


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(graphs_with_clips(max_frames=7))
def test_every_word_is_what_its_form_says(pair: tuple[Graph, IntArray]) -> None:
    graph, clip = pair
    signals, values = analyse(graph), evaluate(graph, clip)
    for node, names in linear_nodes(graph):
        x, stride = [values[name] for name in names], getattr(node, "stride", 1)
        for u, channel, joint in np.ndindex(values[node.name].shape):
            form = form_of(node, [signals[name] for name in names], channel, joint)
            found = word(form, x, u * stride)
            assert found == values[node.name][u, channel, joint], (node.name, u, channel, joint)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(graphs_with_clips(max_frames=1))
def test_extremes_are_the_ranges_and_their_words_are_allowed(pair: tuple[Graph, IntArray]) -> None:
    graph, _ = pair
    signals = analyse(graph)
    for node, names in linear_nodes(graph):
        x, y = [signals[name] for name in names], signals[node.name]
        for channel in range(y.channels):
            forms = [form_of(node, x, channel, joint) for joint in range(y.joints)]
            assert max(extreme(form, x, True).total for form in forms) == y.hi[channel]
            assert min(extreme(form, x, False).total for form in forms) == y.lo[channel]
            for form in forms:
                low, high = bounds(form, x)
                for highest in (True, False):
                    found = extreme(form, x, highest)
                    assert (low <= found.words).all()
                    assert (found.words <= high).all()
                    products = form.weights * found.words
                    assert found.total == form.bias + sum(products[found.kept].tolist())


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(graphs_with_clips(max_frames=1))
def test_separate_words_share_no_operand_and_start_with_the_worst(
    pair: tuple[Graph, IntArray],
) -> None:
    graph, _ = pair
    signals = analyse(graph)
    for node, names in linear_nodes(graph):
        x, y = [signals[name] for name in names], signals[node.name]
        for highest, end in ((True, max(y.hi)), (False, min(y.lo))):
            places = separate(node, x, y, range(y.joints), highest)
            forms = [form_of(node, x, *at) for at in places]
            assert extreme(forms[0], x, highest).total == end
            entries = [
                entry
                for form in forms
                for entry in zip(form.reads, form.frames, form.channels, form.joints, strict=True)
            ]
            assert len(set(entries)) == len(entries)


def signal(lo: int, hi: int) -> Signal:
    return Signal(1, 1, (lo,), (hi,), (0,), stored=True)


def temporal(taps: list[int], lookahead: int = 0, dilation: int = 1) -> Node:
    weight = Weights(np.array([[taps]]), 8, (0,))
    return TemporalConv("y", "x", weight, np.array([10]), dilation, lookahead)


def reach(node: Linear, x: Signal, highest: bool) -> tuple[int, int, int | None, int, int | None]:
    found = extreme(form_of(node, [x], 0, 0), [x], highest)
    return found.total, found.before, found.most_before, found.after, found.most_after


def test_fewer_taps_inside_the_clip_can_be_more_extreme() -> None:
    positive = signal(2, 5)
    # every tap adds: all inside; the fewest words are those of the first frame alone
    assert reach(TemporalSum("y", "x", 3, 2), positive, True) == (15, 4, None, 0, None)
    assert reach(TemporalSum("y", "x", 3, 2), positive, False) == (2, 0, 1, 0, None)
    # the newest tap adds, older ones subtract: best alone, with two frames before it at most
    assert reach(temporal([-3, -1, 4], dilation=3), positive, True) == (30, 0, 2, 0, None)
    assert reach(temporal([-3, -1, 4], dilation=3), positive, False) == (-2, 6, None, 0, None)
    # the tap in the middle is the frame itself; both ends may lie outside
    assert reach(temporal([-3, 4, -1], lookahead=1), positive, True) == (30, 0, 0, 0, 0)
    # an operand that can be zero leaves nothing to win
    assert reach(temporal([-3, 4, -1], lookahead=1), signal(0, 5), True) == (30, 1, None, 1, None)


def test_the_farthest_frame_of_a_prefix_must_be_inside() -> None:
    # 4 - 1 + 2 = 5 beats 4: two frames before, and not three
    assert reach(temporal([-9, 2, -1, 4]), signal(1, 1), True) == (15, 2, 2, 0, None)
