"""The oracle, node by node, against values worked out by hand in the comments.

Arrays are written `(T, C, V)`. The formats of inputs are chosen so that raw words are easy to read;
where a binary point matters the comment says what the number is.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from fxp.errors import GraphError, InputError
from fxp.ir import (
    Add,
    Affine,
    Argmax,
    ClipMean,
    Conv,
    Flatten,
    Graph,
    GraphProduct,
    Input,
    IntArray,
    JointMean,
    LayerNorm,
    Node,
    Requantise,
    Softmax,
    TemporalConv,
    TemporalSum,
    Weights,
    complete_frames,
    timings,
)
from fxp.node_tables import exp_tables, reciprocal_root_seeds
from fxp.oracle import evaluate
from fxp.qformat import Cast, Overflow, QFormat, Rounding
from fxp.validate import describe
from tests.strategies import graphs_with_clips, random_clip, random_graph


def weights(raw: list, frac_bits: tuple[int, ...] = (0,), word_bits: int = 8) -> Weights:
    return Weights(np.array(raw, np.int64), word_bits, frac_bits)


def words(raw: list) -> IntArray:
    return np.array(raw, np.int64)


def run(clip: list, *nodes: Node, frac_bits: int = 0, word_bits: int = 16) -> dict[str, list]:
    """Every value of `nodes` behind an input called `x`, as nested lists."""
    shape = np.shape(clip)
    first = Input("x", shape[1], shape[2], QFormat(word_bits, frac_bits))
    graph = Graph("g", (first, *nodes), (nodes[-1].name,))
    return {name: value.tolist() for name, value in evaluate(graph, clip).items()}


def test_conv() -> None:
    # channel 0:  2*1 - 1*10 + 100 = 92,   2*3 - 1*20 + 100 = 86
    # channel 1:  0*1 + 3*10 -   7 = 23,   0*3 + 3*20 -   7 = 53
    node = Conv("y", "x", weights([[2, -1], [0, 3]]), words([100, -7]))
    assert run([[[1, 3], [10, 20]]], node)["y"] == [[[92, 86], [23, 53]]]


def test_conv_has_no_rounding_and_no_limit() -> None:
    # 3 * (2**31 - 1)**2 = 13835058042397261827 is more than 63 bits hold: the sum is exact anyway
    top = 2**31 - 1
    node = Conv("y", "x", weights([[top] * 3], word_bits=32), words([0]))
    assert run([[[top], [top], [top]]], node, word_bits=32)["y"] == [[[13835058042397261827]]]


def test_graph_product_gathers_by_columns() -> None:
    # one partition, x = [1, 2, 4]; column w of A says what joint w receives
    # y[0] = 1*1 + 2*2 + 4*3 = 17; y[1] = 4*5 = 20; y[2] = -1
    node = GraphProduct("y", "x", weights([[[1, 0, -1], [2, 0, 0], [3, 5, 0]]]))
    assert run([[[1, 2, 4]]], node)["y"] == [[[17, 20, -1]]]


def test_graph_product_takes_partitions_as_the_outer_axis_of_the_channels() -> None:
    # two partitions of two channels: rows of x are p0c0, p0c1, p1c0, p1c1
    # A_0 is the identity, A_1 swaps the joints and multiplies by 10:
    # y[c0] = [1, 2] + 10*[6, 5] = [61, 52]; y[c1] = [3, 4] + 10*[8, 7] = [83, 74]
    node = GraphProduct("y", "x", weights([[[1, 0], [0, 1]], [[0, 10], [10, 0]]]))
    assert run([[[1, 2], [3, 4], [5, 6], [7, 8]]], node)["y"] == [[[61, 52], [83, 74]]]


def test_graph_product_aligns_partitions_to_the_finest() -> None:
    # partition 0 counts whole units (F=0), partition 1 quarters (F=2): y counts quarters
    # y = (3 * 2) << 2 + 5 * 7 = 24 + 35 = 59
    node = GraphProduct("y", "x", weights([[[2]], [[7]]], frac_bits=(0, 2)))
    values = run([[[3], [5]]], node)
    assert values["y"] == [[[59]]]


def test_temporal_sum_adds_every_dilation_th_frame_from_zero_history() -> None:
    # window 3, dilation 2: y_t = x_t + x_{t-2} + x_{t-4}
    # x = 1 2 4 8 16 32 64
    # y = 1, 2, 4+1, 8+2, 16+4+1, 32+8+2, 64+16+4
    clip = [[[1]], [[2]], [[4]], [[8]], [[16]], [[32]], [[64]]]
    values = run(clip, TemporalSum("y", "x", window=3, dilation=2))["y"]
    assert values == [[[1]], [[2]], [[5]], [[10]], [[21]], [[42]], [[84]]]


def test_temporal_sum_of_window_one_is_the_value() -> None:
    clip = [[[5, -6]], [[7, -8]]]
    assert run(clip, TemporalSum("y", "x", window=1, dilation=9))["y"] == clip


def test_temporal_conv_is_causal_without_lookahead() -> None:
    # taps (1, 10, 100), the last the newest: y_t = 100 x_t + 10 x_{t-1} + x_{t-2} + 7
    # x = 1 2 3:  y = 100+7, 200+10+7, 300+20+1+7
    node = TemporalConv("y", "x", weights([[[1, 10, 100]]]), words([7]))
    assert run([[[1]], [[2]], [[3]]], node)["y"] == [[[107]], [[217]], [[328]]]


def test_temporal_conv_with_symmetric_padding() -> None:
    # dilation 2, lookahead 2: y_t = 100 x_{t+2} + 10 x_t + x_{t-2}, zeros beyond both ends
    # x = 1 2 3 4:  y0 = 300+10, y1 = 400+20, y2 = 0+30+1, y3 = 0+40+2
    node = TemporalConv("y", "x", weights([[[1, 10, 100]]]), words([0]), dilation=2, lookahead=2)
    values = run([[[1]], [[2]], [[3]], [[4]]], node)["y"]
    assert values == [[[310]], [[420]], [[31]], [[42]]]


def test_temporal_conv_with_a_stride_makes_every_other_frame() -> None:
    # the frames 0, 2, 4 of the same convolution without a stride
    clip = [[[n]] for n in (1, 2, 3, 4, 5)]
    for lookahead in (0, 1, 2):
        node = TemporalConv("y", "x", weights([[[1, 10, 100]]]), words([7]), 1, lookahead)
        whole = run(clip, node)["y"]
        for stride in (2, 3, 5, 9):
            strided = replace(node, stride=stride)
            assert run(clip, strided)["y"] == whole[::stride]
    # 100*2 + 10*1 + 7, 100*4 + 10*3 + 2 + 7, 10*5 + 4 + 7: by hand, lookahead 1, stride 2
    node = TemporalConv("y", "x", weights([[[1, 10, 100]]]), words([7]), 1, 1, 2)
    assert run(clip, node)["y"] == [[[217]], [[439]], [[61]]]


def test_behind_a_stride_frames_count_at_its_own_rate() -> None:
    # y = 1, 3, 5; its sum over two frames 1, 4, 8; a second stride 2 of it: frames 0 and 2
    clip = [[[n]] for n in (1, 2, 3, 4, 5)]
    keep = TemporalConv("y", "x", weights([[[1]]]), words([0]), stride=2)
    values = run(
        clip,
        keep,
        Requantise("q", "y", Cast(QFormat(8, 0))),
        TemporalSum("s", "q", 2),
        TemporalConv("z", "q", weights([[[1]]]), words([0]), stride=2),
    )
    assert (values["y"], values["s"]) == ([[[1]], [[3]], [[5]]], [[[1]], [[4]], [[8]]])
    assert values["z"] == [[[1]], [[5]]]


def test_temporal_conv_sums_over_channels_and_keeps_joints_apart() -> None:
    # two inputs, one output, two taps; frame 1: joint 0: 1*x0(t-1) + 2*x0(t) + 3*x1(t-1) + 4*x1(t)
    # x(0) = [[1, 0], [2, 0]], x(1) = [[3, 5], [4, 6]]
    # y(0) = 2*1 + 4*2 = 10 and 0;  y(1) = 1*1+2*3+3*2+4*4 = 29 and 0+2*5+0+4*6 = 34
    node = TemporalConv("y", "x", weights([[[1, 2], [3, 4]]]), words([0]))
    assert run([[[1, 0], [2, 0]], [[3, 5], [4, 6]]], node)["y"] == [[[10, 0]], [[29, 34]]]


def test_affine_per_channel_and_per_joint() -> None:
    clip = [[[1, 2], [3, 4]]]
    # one scale and bias per channel: 5*[1, 2] + 1 = [6, 11], -2*[3, 4] + 0 = [-6, -8]
    node = Affine("y", "x", weights([[5], [-2]]), words([[1], [0]]))
    assert run(clip, node)["y"] == [[[6, 11], [-6, -8]]]
    # a scale per joint with one bias: [1*1+1, 2*2+1] = [2, 5], [3*3+0, 4*4+0] = [9, 16]
    node = Affine("y", "x", weights([[1, 2], [3, 4]]), words([[1], [0]]))
    assert run(clip, node)["y"] == [[[2, 5], [9, 16]]]
    # one scale with a bias per joint: [5*1+1, 5*2+2] = [6, 12], [-2*3+3, -2*4+4] = [-3, -4]
    node = Affine("y", "x", weights([[5], [-2]]), words([[1, 2], [3, 4]]))
    assert run(clip, node)["y"] == [[[6, 12], [-3, -4]]]


def test_clip_mean_is_rounded_half_up() -> None:
    # sums 6 and -6 of 4 frames: 1.5 and -1.5, in halves 3 and -3, as whole numbers 2 and -1
    clip = [[[1, -1]], [[2, -2]], [[3, -3]], [[0, 0]]]
    assert run(clip, ClipMean("y", "x", 1, 4))["y"] == [[[3, -3]]]
    assert run(clip, ClipMean("y", "x", 0, 4))["y"] == [[[2, -1]]]
    # sums 1 and -1 of 3 frames in 16ths: 5.33 and -5.33
    assert run([[[1, -1]], [[0, 0]], [[0, 0]]], ClipMean("y", "x", 4, 9))["y"] == [[[5, -5]]]
    # of one frame it is the frame
    assert run([[[7, -8], [0, 5]]], ClipMean("y", "x", 3, 1))["y"] == [[[56, -64], [0, 40]]]


def test_a_clip_longer_than_its_mean_allows_is_refused() -> None:
    # 5 frames behind a stride of 2 are up to 10 of the input
    keep = TemporalConv("k", "x", weights([[[1]]]), words([0]), stride=2)
    nodes = (keep, Requantise("q", "k", Cast(QFormat(8, 0))), ClipMean("y", "q", 0, 5))
    assert run([[[3]]] * 10, *nodes)["y"] == [[[3]]]
    with pytest.raises(InputError, match=r"^graph `g`: a clip has at most 10 frames .* got 11$"):
        run([[[3]]] * 11, *nodes)


def layer_norm(epsilon: int = 0, frac_bits: int = 10) -> LayerNorm:
    return LayerNorm("y", "x", words([epsilon]), reciprocal_root_seeds(), 2, frac_bits)


def test_layer_norm() -> None:
    # N=4, S0=12, S1=50: D = 4*50 - 12*12 = 56; numerators 4x-12 = -8 -4 0 12 over sqrt(56) = 7.4833
    # -1.06904*1024 = -1094.7, -0.53452*1024 = -547.35, 0, 1.60357*1024 = 1642.05
    assert run([[[1, 2], [3, 6]]], layer_norm())["y"] == [[[-1095, -547], [0, 1642]]]
    # epsilon 44 makes D = 100: -0.8, -0.4, 0, 1.2 in 1024ths: -819.2, -409.6, 0, 1228.8
    assert run([[[1, 2], [3, 6]]], layer_norm(44))["y"] == [[[-819, -410], [0, 1229]]]
    # the operand's binary point does not matter, the result's does: -4.28, -2.14, 0, 6.41
    values = run([[[1, 2], [3, 6]]], layer_norm(frac_bits=2), frac_bits=9)
    assert values["y"] == [[[-4, -2], [0, 6]]]


def test_layer_norm_of_equal_words_is_zero() -> None:
    for epsilon in (0, 5):
        clip = [[[7, 7]], [[0, 0]], [[-32768, -32768]]]
        assert run(clip, layer_norm(epsilon))["y"] == [[[0, 0]]] * 3


def test_layer_norm_of_one_word_against_many() -> None:
    # N=3: numerators 2, -1, -1 over sqrt(3*1 - 1) = sqrt(2): 1.41421, -0.70711 in 1024ths
    assert run([[[1, 0, 0]]], layer_norm())["y"] == [[[1448, -724, -724]]]


@pytest.mark.parametrize("top", [1, 3, 100, 2**15 - 1])
def test_layer_norm_is_the_norm_of_floats_up_to_the_error_of_its_root(top: int) -> None:
    x = np.random.default_rng(top).integers(-top, top, (20, 3, 5), endpoint=True)
    mean, var = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    exact = (x - mean) / np.sqrt(var + 2 / 15**2) * 2**12
    found = np.array(run(x.tolist(), layer_norm(2, 12))["y"])
    assert (np.abs(found - exact) <= 0.5001 + 1e-5 * np.abs(exact)).all()


def softmax(frac_bits: int = 8) -> Softmax:
    """Halves with each lsb: `e = 16 * 2**-d`, down to 0 from d = 5 on."""
    return Softmax("y", "x", words([16, 4, 1, 0]), words([16, 8]), 4, frac_bits)


def test_softmax() -> None:
    # d = 0, 1, 2: e = 16, 8, 4 of 28: 256*16/28 = 146.3, 73.1, 36.6, rounded down
    # d = 5 gives 8*1 / 16 = 0.5, up to 1; d = 6 gives 0: e = 1, 0, 16 of 17: 15.06, 0, 240.9
    clip = [[[9, 2], [8, 1], [7, 7]]]
    assert run(clip, softmax())["y"] == [[[146, 15], [73, 0], [36, 240]]]
    assert run(clip, softmax(0))["y"] == [[[0, 0], [0, 0], [0, 0]]]


def test_softmax_of_equal_words_shares_equally_and_of_one_alone_is_one() -> None:
    assert run([[[5], [5], [5]]], softmax())["y"] == [[[85], [85], [85]]]
    assert run([[[-32768], [32767], [0]]], softmax())["y"] == [[[0], [256], [0]]]
    assert run([[[3, -4]]], softmax())["y"] == [[[256, 256]]]


@pytest.mark.parametrize("channels", [1, 2, 3, 7, 60])
def test_softmax_adds_up_to_one_but_for_less_than_an_lsb_per_channel(channels: int) -> None:
    clip = np.random.default_rng(channels).integers(-300, 300, (30, channels, 2))
    node = Softmax("y", "x", *exp_tables(QFormat(16, 6)), 16, 10)
    values = np.array(run(clip.tolist(), node)["y"])
    total = values.sum(axis=1)
    assert (total <= 1024).all()
    assert (total > 1024 - channels).all()
    for x, y in zip(clip.transpose(0, 2, 1), values.transpose(0, 2, 1), strict=True):
        for words_of, shares in zip(x, y, strict=True):
            assert (np.diff(shares[np.argsort(words_of)]) >= 0).all()
            power = np.exp((words_of - words_of.max()) / 64)
            exact = power / power.sum()
            assert (np.abs(shares / 1024 - exact) < channels * 2e-5 + 2**-10).all()


def test_add_aligns_to_the_finer_operand_channel_by_channel() -> None:
    # x has F=1. c = (1, 2)*x with F=1+(0, 3), so channel 0 counts halves, channel 1 sixteenths.
    # y = x + c: channel 0 at F=1: 3 + 3 = 6; channel 1 at F=4: (5 << 3) + 10 = 50
    conv = Conv("c", "x", weights([[1, 0], [0, 2]], frac_bits=(0, 3)), words([0, 0]))
    values = run([[[3], [5]]], conv, Add("y", "x", "c"), Add("z", "c", "x"), frac_bits=1)
    assert values["y"] == values["z"] == [[[6], [50]]]


def test_flatten_puts_the_channels_of_each_joint_side_by_side() -> None:
    # two channels of three joints: (c0, c1) of joint 0, then of joint 1, then of joint 2
    clip = [[[1, 2, 3], [10, 20, 30]], [[-4, -5, -6], [40, 50, 60]]]
    values = run(clip, Flatten("y", "x"))
    assert values["y"] == [
        [[1], [10], [2], [20], [3], [30]],
        [[-4], [40], [-5], [50], [-6], [60]],
    ]


def test_joint_mean() -> None:
    # 3 joints, multiplier 21845 / 2**16 stands for 1/3: (1 + 2 + 6) * 21845 = 196605 (F+16)
    values = run([[[1, 2, 6], [-1, 0, 0]]], JointMean("y", "x", 21845, 16))
    assert values["y"] == [[[196605], [-21845]]]


def test_requantise_rounds_overflows_and_then_clears_negatives() -> None:
    # F=4 to F=1, shift 3: 20/8 = 2.5 rounds up to 3; -20/8 = -2.5 up to -2; 1000/8 = 125 clips to 7
    cast = Cast(QFormat(4, 1), Rounding.RND, Overflow.SAT)
    clip = [[[20, -20, 1000, -1000]]]
    values = run(clip, Requantise("y", "x", cast), Requantise("z", "x", cast, True), frac_bits=4)
    assert values["y"] == [[[3, -2, 7, -8]]]
    assert values["z"] == [[[3, 0, 7, 0]]]


def test_requantise_uses_each_channels_binary_point() -> None:
    # the accumulator counts quarters in channel 0 (shift 2) and sixteenths in channel 1 (shift 4):
    # 13/4 = 3.25 -> 3, 40/16 = 2.5 -> 3
    conv = Conv("c", "x", weights([[1, 0], [0, 1]], frac_bits=(2, 4)), words([0, 0]))
    values = run([[[13], [40]]], conv, Requantise("y", "c", Cast(QFormat(8, 0))))
    assert values["y"] == [[[3], [3]]]


def test_stream_and_operand_are_two_casts_of_one_value() -> None:
    # 119 at F=4 is 7.4375. To F=1 in one step: 119/8 = 14.875 -> 15. Through F=2 first:
    # 119/4 = 29.75 -> 30, 30/2 = 15. At 116: 14.5 -> 15, through 29 -> 14.5 -> 15. At 115:
    # 14.375 -> 14, but through 28.75 -> 29 -> 14.5 -> 15: a cast of a cast rounds twice.
    to_1, to_2 = Cast(QFormat(8, 1)), Cast(QFormat(8, 2))
    values = run(
        [[[119, 116, 115]]],
        Requantise("operand", "x", to_1),
        Requantise("stream", "x", to_2),
        Requantise("twice", "stream", to_1),
        frac_bits=4,
    )
    assert values["operand"] == [[[15, 15, 14]]]
    assert values["stream"] == [[[30, 29, 29]]]
    assert values["twice"] == [[[15, 15, 15]]]


def test_argmax_takes_the_lowest_of_equals_joint_by_joint() -> None:
    clip = [[[3, 1, -5, 0], [3, 2, -4, 0], [1, 2, -4, 0]]]
    assert run(clip, Argmax("y", "x"))["y"] == [[[0, 1, 1, 0]]]


def test_argmax_compares_numbers_not_words() -> None:
    # words 3 and 20, but channel 0 counts units and channel 1 sixteenths: 3 > 1.25
    conv = Conv("c", "x", weights([[1, 0], [0, 1]], frac_bits=(0, 4)), words([0, 0]))
    assert run([[[3], [20]]], conv, Argmax("y", "c"))["y"] == [[[0]]]
    # and a tie of numbers, 48/16 = 3, goes to the lower channel
    assert run([[[3], [48]]], conv, Argmax("y", "c"))["y"] == [[[0]]]
    assert run([[[3], [49]]], conv, Argmax("y", "c"))["y"] == [[[1]]]


def test_a_value_beyond_64_bits_is_kept_as_python_integers() -> None:
    node = Conv("y", "x", weights([[2**31 - 1]], word_bits=32), words([2**62]))
    graph = Graph("g", (Input("x", 1, 1, QFormat(32, 0)), node), ("y",))
    assert evaluate(graph, [[[2**31 - 1]]])["y"].dtype == np.int64  # 2**62 + (2**31 - 1)**2
    wide = Graph("g", (*graph.nodes, Add("z", "y", "y"), Add("w", "z", "z")), ("w",))
    assert evaluate(wide, [[[1]]])["w"].dtype == object
    assert evaluate(wide, [[[1]]])["w"].tolist() == [[[4 * (2**62 + 2**31 - 1)]]]


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(graphs_with_clips())
def test_every_value_has_its_described_shape_and_starts_with_the_clip(
    pair: tuple[Graph, IntArray],
) -> None:
    graph, clip = pair
    values, about = evaluate(graph, clip), describe(graph)
    assert list(values) == [node.name for node in graph.nodes]
    assert (values["input"] == clip).all()
    for name, value in values.items():
        frames = len(clip[:: about[name].period]) if about[name].period else 1
        assert value.shape == (frames, about[name].channels, about[name].joints)


def test_random_graphs_cover_every_node_mode_and_width() -> None:
    graphs = [random_graph(np.random.default_rng(seed)) for seed in range(60)]
    nodes = [node for graph in graphs for node in graph.nodes]
    assert {type(node).__name__ for node in nodes} == {
        "Input", "Conv", "GraphProduct", "TemporalSum", "TemporalConv", "Affine", "Add",
        "Flatten", "JointMean", "ClipMean", "LayerNorm", "Requantise", "Softmax", "Argmax",
    }  # fmt: skip
    casts = [node.cast for node in nodes if isinstance(node, Requantise)]
    assert {(cast.rounding, cast.overflow) for cast in casts} >= {
        (rounding, overflow) for rounding in Rounding for overflow in Overflow
    }
    assert {cast.to.word_bits for cast in casts} == set(range(2, 33))
    assert {cast.to.signed for cast in casts} == {True, False}


def test_a_value_depends_on_no_frame_beyond_its_lookahead() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        graph = random_graph(rng, channels=3, joints=3)
        clip = random_clip(rng, graph, 14)
        whole, start = evaluate(graph, clip), evaluate(graph, clip[:11])
        for name, timing in timings(graph).items():
            settled = complete_frames(timing, 11, ended=False)
            assert (whole[name][:settled] == start[name][:settled]).all(), (seed, name)


@pytest.mark.parametrize(
    ("clip", "text"),
    [
        ([[[1.0]]], "integers are needed, got float64"),
        ([[1]], "shape must be (frames, 1, 1), got (1, 1)"),
        (np.zeros((2, 1, 2), int), "shape must be (frames, 1, 1), got (2, 1, 2)"),
        (np.zeros((0, 1, 1), int), "shape must be (frames, 1, 1), got (0, 1, 1)"),
        ([[[8]]], "word 8 is outside -8..7 of QFormat(word_bits=4, frac_bits=0, signed=True)"),
        ([[[-9]]], "word -9 is outside -8..7 of QFormat(word_bits=4, frac_bits=0, signed=True)"),
    ],
)
def test_wrong_clips_are_refused(clip: object, text: str) -> None:
    graph = Graph("g", (Input("x", 1, 1, QFormat(4, 0)), Argmax("label", "x")), ("label",))
    with pytest.raises(InputError) as caught:
        evaluate(graph, clip)
    assert str(caught.value) == f"clip for input `x` of graph `g`: {text}"


def test_wrong_graphs_are_refused() -> None:
    with pytest.raises(GraphError, match=r"operand `z` is no earlier node$"):
        run([[[1]]], Argmax("label", "z"))
