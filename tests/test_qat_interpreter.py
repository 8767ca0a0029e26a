"""The torch interpreter: every value of every graph equals the integer network's, word for word."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fxp.calibrate import Formats, calibrate
from fxp.errors import GraphError
from fxp.floatnet import FloatNet
from fxp.ir import Conv, Graph, Input, IntArray, LayerNorm, Softmax, Weights
from fxp.lower import lower
from fxp.node_tables import exp_tables, reciprocal_root_seeds
from fxp.oracle import evaluate as define
from fxp.qformat import QFormat
from fxp.simulate import compile_graph, run
from fxp.spec import ArchSpec, QuantSpec
from stgcn_ref.export import export
from stgcn_ref.folding import rebuild
from stgcn_ref.qat.interpreter import evaluate
from stgcn_ref.qat.words import as_clips
from tests.networks import (
    VARIANTS,
    archs,
    as_joints,
    as_read,
    clip,
    random_floatnet,
    random_model,
    small_arch,
    small_msgcn,
    words,
)
from tests.strategies import graphs_with_clips, random_clip, random_graph

every_variant = pytest.mark.parametrize("arch", VARIANTS.values(), ids=VARIANTS)


def frames(x: IntArray) -> torch.Tensor:
    """A clip (T, C, V) as a batch of one, (1, T, V, C)."""
    return torch.from_numpy(x.transpose(0, 2, 1).copy())[None]


def masters_of(net: FloatNet) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(value).clone() for key, value in net.params.items()}


def check_graph(graph: Graph, x: IntArray) -> bool:
    """Compare every value; False where floats cannot carry the sums of the graph."""
    try:
        found = evaluate(graph, frames(x))
    except GraphError as error:
        assert "floats carry sums exactly up to 52 bits" in str(error)
        return False
    for name, expected in define(graph, x).items():
        assert np.array_equal(as_clips(found[name])[0], expected), name
        assert np.abs(expected).max() <= found[name].reach
    return True


def check_lowered(net: FloatNet, formats: Formats, x: IntArray) -> None:
    """The interpreter on the masters against the simulator on what they are lowered to."""
    graph = lower(net, formats)
    found = evaluate(graph, frames(x), masters_of(net))
    taps = [node.name for node in graph.nodes]
    expected, _ = run(compile_graph(graph), x, taps=taps)
    for name in taps:
        assert np.array_equal(as_clips(found[name])[0], expected[name]), name


@settings(max_examples=50)
@given(graphs_with_clips())
def test_any_graph(graph_and_clip: tuple[Graph, IntArray]) -> None:
    check_graph(*graph_and_clip)


def test_many_graphs_can_be_carried() -> None:
    carried = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        graph = random_graph(rng)
        carried += check_graph(graph, random_clip(rng, graph, int(rng.integers(1, 9))))
    assert carried >= 30


@settings(max_examples=25)
@given(
    archs(),
    st.integers(0, 2**32 - 1),
    st.integers(2, 8),
    st.sampled_from(["tensor", "channel"]),
    st.sampled_from(["weights", "affine"]),
    st.sampled_from([None, 9, 12]),
)
def test_masters_of_any_architecture(
    arch: ArchSpec, seed: int, bits: int, granularity: str, fold: str, stream_bits: int | None
) -> None:
    net = random_floatnet(arch, seed, fold)  # type: ignore[arg-type]
    quant = QuantSpec.model_validate(
        {
            "weight_bits": bits,
            "activation_bits": bits,
            "stream_bits": stream_bits,
            "weight_granularity": granularity,
            "fold": fold,
            "accumulator_bits": 63,
        }
    )
    check_lowered(net, calibrate(net, quant), as_joints(words(arch, 7, seed % 1000)))


@every_variant
@pytest.mark.parametrize("bits", [4, 16])
def test_observed_networks(arch: ArchSpec, bits: int) -> None:
    recording = clip(arch, 90, bits)
    net = export(random_model(arch), arch, [recording])
    quant = QuantSpec(weight_bits=bits, activation_bits=bits, stream_bits=bits + 4)
    check_lowered(net, calibrate(net, quant), as_joints(recording.x))


def test_moved_masters_in_old_formats() -> None:
    recording = clip(small_arch(), 90, 1)
    net = export(random_model(small_arch()), small_arch(), [recording])
    formats = calibrate(net, QuantSpec(weight_bits=5, activation_bits=6))
    rng = np.random.default_rng(0)
    moved = {key: value * rng.uniform(0.5, 2, value.shape) for key, value in net.params.items()}
    check_lowered(FloatNet(net.arch, moved, {}, net.meta), formats, as_joints(recording.x))


def test_lower_matmul_precision_of_torch_costs_no_word() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        test_observed_networks(small_arch(), 8)
    finally:
        torch.set_float32_matmul_precision(before)


def test_clips_of_a_batch_do_not_touch_each_other() -> None:
    recording = clip(small_msgcn(), 40, 1)
    net = export(random_model(small_msgcn()), small_msgcn(), [recording])
    graph = lower(net, calibrate(net, QuantSpec()))
    x = frames(as_joints(recording.x))[0]
    pair = torch.stack((x[:20], x[20:]))
    both = evaluate(graph, pair)
    for i in range(2):
        alone = evaluate(graph, pair[i : i + 1])
        for name, value in both.items():
            assert torch.equal(value.x[i], alone[name].x[0]), name


@pytest.mark.parametrize("key", ["rtstgcn", "costgcn", "msgcn", "tcn"])
def test_padding_acts_as_the_end_of_a_clip(key: str) -> None:
    arch = VARIANTS[key]
    recording = clip(arch, 40, 1)
    net = export(random_model(arch), arch, [recording])
    graph = lower(net, calibrate(net, QuantSpec()))
    x = frames(as_joints(recording.x))[0]
    batch = torch.stack((x, x.roll(7, 0)))
    found = evaluate(graph, batch, lengths=torch.tensor([23, 40]))
    short, whole = (evaluate(graph, y[None]) for y in (batch[0, :23], batch[1]))
    for name, value in found.items():
        assert torch.equal(value.x[0, :23], short[name].x[0]), name
        assert torch.equal(value.x[1], whole[name].x[0]), name


@every_variant
def test_gradients_of_fine_formats_are_those_of_the_float_network(arch: ArchSpec) -> None:
    recording = clip(arch, 50, 3)
    net = export(random_model(arch), arch, [recording])
    quant = QuantSpec(weight_bits=18, activation_bits=20, adjacency_bits=16, calibrator="max")
    graph = lower(net, calibrate(net, quant))
    masters = {key: value.requires_grad_() for key, value in masters_of(net).items()}
    x = frames(as_joints(recording.x))
    weigh = torch.linspace(-1, 1, arch.classes)
    found = evaluate(graph, x, masters)["logits"].x[:, :, 0]
    (found.square() * weigh).mean().backward()  # type: ignore[no-untyped-call]
    model = rebuild(net).double()
    logits = model(as_read(recording.x).double()).reshape(1, arch.classes, -1).transpose(1, 2)
    (logits.square() * weigh).mean().backward()
    names = {"classifier.bias": "classifier.bias"}
    if arch.family != "tcn":
        names |= {
            "block0.conv.weight": "blocks.0.gcn.conv.weight",
            "block1.conv.bias": "blocks.1.gcn.conv.bias",
        }
    for key, name in names.items():
        expected, gradient = model.get_parameter(name).grad, masters[key].grad
        assert gradient is not None and expected is not None
        assert (gradient - expected).abs().max() < 0.03 * expected.abs().max(), key


def test_gradient_of_an_adjacency_stays_on_its_edges() -> None:
    recording = clip(small_arch(), 30, 2)
    net = export(random_model(small_arch()), small_arch(), [recording])
    graph = lower(net, calibrate(net, QuantSpec()))
    masters = {key: value.requires_grad_() for key, value in masters_of(net).items()}
    out = evaluate(graph, frames(as_joints(recording.x)), masters)["logits"].x
    out.square().mean().backward()  # type: ignore[no-untyped-call]
    adjacency = masters["block0.graph.adjacency"]
    assert adjacency.grad is not None
    edges = adjacency != 0
    assert (adjacency.grad[~edges] == 0).all() and (adjacency.grad[edges] != 0).any()


@pytest.mark.parametrize("kind", ["softmax", "layer_norm"])
def test_gradients_of_nodes_by_table(kind: str) -> None:
    fmt = QFormat(12, 8)
    if kind == "softmax":
        coarse, fine = exp_tables(fmt)
        node: Softmax | LayerNorm = Softmax("y", "x", coarse, fine, 16, 15)
    else:
        node = LayerNorm("y", "x", np.array([2 << 16]), reciprocal_root_seeds(), 2, 15)
    rng = np.random.default_rng(0)
    raw = torch.from_numpy(rng.integers(-900, 900, (2, 3, 4, 5)))
    weigh = torch.from_numpy(rng.normal(size=raw.shape))
    # an identity in front: the network's input has no gradient
    identity = Weights(np.eye(5, dtype=np.int64), 2, (0,))
    front = Conv("x", "in", identity, np.zeros(5, np.int64))
    graph = Graph("g", (Input("in", 5, 4, fmt), front, node), ("y",))
    masters = {"x.weight": torch.eye(5, dtype=torch.float64).requires_grad_()}
    y = evaluate(graph, raw, masters)["y"].x
    (y * weigh).sum().backward()  # type: ignore[no-untyped-call]
    weight = torch.eye(5, dtype=torch.float64).requires_grad_()
    x = torch.nn.functional.linear(raw.double() * 2.0**-8, weight)
    if kind == "softmax":
        real = x.softmax(dim=-1)
    else:
        real = torch.nn.functional.layer_norm(x, (4, 5), eps=2 * 2.0**16 * 2.0**-16 / 400)
    (real * weigh).sum().backward()
    found, expected = masters["x.weight"].grad, weight.grad
    assert found is not None and expected is not None
    assert (y.detach() - real).abs().max() < 1e-3
    assert (found - expected).abs().max() < 1e-3 * expected.abs().max()


def test_sums_too_wide_for_floats_are_refused() -> None:
    weight = Weights(np.full((1, 4), 2**31 - 1, np.int64), 32, (0,))
    nodes = (Input("x", 4, 1, QFormat(24, 0)), Conv("c", "x", weight, np.zeros(1, np.int64)))
    with pytest.raises(GraphError, match=r"node `c`: its terms may add up to 56 bits"):
        evaluate(Graph("g", nodes, ("c",), 63), torch.zeros(1, 1, 1, 4))
