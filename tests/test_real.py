import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from fxp.calibrate import nominal_formats
from fxp.cast import dequantise
from fxp.errors import InputError
from fxp.floatnet import FloatNet
from fxp.ir import Graph, LayerNorm, Node, Requantise, Softmax, operands
from fxp.lower import lower
from fxp.oracle import evaluate
from fxp.qformat import Cast, QFormat
from fxp.ranges import analyse
from fxp.real import real_values
from fxp.spec import ArchSpec, QuantSpec
from fxp.validate import describe
from stgcn_ref.folding import folded_parameters
from tests.golden.networks import CASES, make
from tests.networks import random_floatnet, random_model, small_arch, small_msgcn, words


def rounding(graph: Graph) -> set[str]:
    """Nodes that divide, and round."""
    return {node.name for node in graph.nodes if isinstance(node, LayerNorm | Softmax)}


def lossless(graph: Graph) -> tuple[Graph, set[str]]:
    """The graph with casts that keep every bit, and the values that 28 bits suffice for.

    The tables of a softmax are made for its operand's format, so that cast stays as it is.
    """
    nodes: list[Node] = list(graph.nodes)
    kept: set[str] = set()
    scores = {node.x for node in nodes if isinstance(node, Softmax)}
    for i, node in enumerate(nodes):
        if isinstance(node, Requantise) and node.name not in scores:
            frac_bits = max(describe(replace(graph, nodes=tuple(nodes)))[node.x].frac_bits)
            nodes[i] = replace(node, cast=Cast(QFormat(28, frac_bits)))
    whole = replace(graph, nodes=tuple(nodes))
    signals, rounded = analyse(whole), rounding(graph)
    for node in nodes:
        fits = not isinstance(node, Requantise) or signals[node.x].width_bits <= 28
        exact = kept.issuperset(operands(node)) and not rounded.intersection(operands(node))
        if fits and exact and node.name not in scores:
            kept.add(node.name)
    return whole, kept


@pytest.mark.parametrize("name", CASES)
def test_without_loss_the_oracle_has_the_same_numbers(name: str) -> None:
    graph, clip = make(CASES[name])
    graph, kept = lossless(graph)
    about, expected, rounded = describe(graph), evaluate(graph, clip), rounding(graph)
    compared = 0
    for node, (value_name, found) in zip(graph.nodes, real_values(graph, clip), strict=True):
        assert value_name == node.name
        assert found.shape == expected[node.name].shape
        if node.name in kept and node.name != "label":
            frac = np.reshape(about[node.name].frac_bits, (-1, 1))
            numbers = dequantise(expected[node.name].astype(np.float64), frac)
            tolerance = 1.5 * 2.0 ** -min(about[node.name].frac_bits) * (node.name in rounded)
            np.testing.assert_allclose(found, numbers, rtol=1e-12, atol=tolerance + 1e-12)
            compared += 1
    assert compared >= 2


def families() -> list[ArchSpec]:
    return [small_arch(), small_arch(family="costgcn", dilation=1), small_msgcn()]


@pytest.mark.parametrize("arch", families(), ids=lambda arch: arch.family)
def test_float_parameters_give_the_logits_of_the_torch_network(arch: ArchSpec) -> None:
    model = random_model(arch)
    net = FloatNet(arch, folded_parameters(model, "weights"), meta={"fold": "weights"})
    graph = lower(net, nominal_formats(arch, QuantSpec()))
    clip = words(arch, 40, seed=1)
    with torch.no_grad():
        x = torch.from_numpy(clip.transpose(1, 0, 2).copy())[None].double()
        logits = model.double()(x)[0].T.numpy()  # (T, K)
    found = dict(real_values(graph, clip, net))
    np.testing.assert_allclose(found["logits"][:, :, 0], logits, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found["label"][:, 0, 0], logits.argmax(axis=1))


def test_the_mean_of_a_clip_and_of_joints() -> None:
    graph, clip = make(CASES["clip"])
    found = dict(real_values(graph, clip))
    np.testing.assert_allclose(found["whole"], found["pool.q"].mean(axis=0)[None])
    pooled = found["block0.tconv.q"].sum(axis=2) * round(2**10 / 6) / 2**10
    np.testing.assert_allclose(found["pool"][:, :, 0], pooled)


def test_few_values_are_kept() -> None:
    graph, clip = make(CASES["dilated"])
    alive: list[weakref.ref[npt.NDArray[Any]]] = []
    counts = []
    for _, value in real_values(graph, clip):
        alive = [ref for ref in alive if ref() is not None] + [weakref.ref(value)]
        counts.append(len(alive))
    assert max(counts) < len(graph.nodes) // 2


def test_another_network_is_refused() -> None:
    graph = lower(random_floatnet(small_arch(), 0), nominal_formats(small_arch(), QuantSpec()))
    clip = words(small_arch(), 3, seed=0)
    other = random_floatnet(small_arch(classes=4), 0)
    with pytest.raises(InputError, match=r"float network: `classifier.weight` must be of shape"):
        dict(real_values(graph, clip, other))
    with pytest.raises(InputError, match=r"`block0.conv.weight` must be of shape"):
        dict(real_values(make(CASES["ragged"])[0], make(CASES["ragged"])[1], other))
