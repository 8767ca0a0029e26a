"""The node chains of the families, name by name, and what follows from them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given

from fxp.ir import (
    Add,
    ClipMean,
    Conv,
    GraphProduct,
    JointMean,
    Requantise,
    TemporalConv,
    TemporalSum,
    lookaheads,
    operands,
)
from fxp.outline import constant_key, folding_norms, outline, parameter_shapes
from fxp.spec import ArchSpec, load_spec
from fxp.validate import describe
from tests.networks import VARIANTS, archs, small_arch, small_msgcn, small_stgcn, small_tcn

EXAMPLES = Path(__file__).parents[1] / "examples"

FRONT = ["input", "input_norm", "input_norm.q", "embedding", "embedding.q"]
HEAD = ["pool", "pool.q", "classifier", "logits", "label"]


def chain(*parts: str) -> list[str]:
    """`conv*` stands for `conv` and its cast `conv.q`."""
    return [name for part in parts for name in _starred(part)]


def _starred(part: str) -> list[str]:
    base = part.removesuffix("*")
    return [base, f"{base}.q"] if part.endswith("*") else [part]


def test_chain_of_rtstgcn() -> None:
    names = [node.name for node in outline(small_arch()).nodes]
    assert names == [
        *FRONT,
        "embedding.stream",
        *chain("block0.conv*", "block0.graph*", "block0.sum", "block0.norm*", "block0.add*"),
        *chain("block1.conv*", "block1.graph*", "block1.sum", "block1.norm*"),
        *chain("block1.residual*", "block1.add*"),
        "block1.add.stream",
        *chain("block2.conv*", "block2.graph*", "block2.sum", "block2.norm*", "block2.add*"),
        *HEAD,
    ]


def test_chain_of_costgcn() -> None:
    graph = outline(small_arch(family="costgcn", channels=(4, 8), window=9, dilation=2))
    assert [node.name for node in graph.nodes] == [
        *FRONT,
        "embedding.stream",
        *chain("block0.conv*", "block0.graph*", "block0.norm*", "block0.tconv*", "block0.add*"),
        *chain("block1.conv*", "block1.graph*", "block1.norm*", "block1.tconv*"),
        *chain("block1.residual*", "block1.add*"),
        *HEAD,
    ]
    assert lookaheads(graph)["label"] == 2 * (9 - 1) * 2 // 2


def test_chain_of_msgcn() -> None:
    arch = small_msgcn(refinements=1)
    graph = outline(arch)
    assert [node.name for node in graph.nodes] == [
        *FRONT,
        "embedding.stream",
        *chain("block0.conv*", "block0.graph*", "block0.norm*", "block0.tconv*", "block0.add*"),
        "block0.add.stream",
        *chain("block1.conv*", "block1.graph*", "block1.norm*", "block1.tconv*", "block1.add*"),
        *chain("pool*", "classifier*", "stage1.softmax*", "stage1.embedding*"),
        "stage1.embedding.stream",
        *chain("stage1.layer0.tconv*", "stage1.layer0.add*"),
        "stage1.layer0.add.stream",
        *chain("stage1.layer1.tconv*", "stage1.layer1.add*"),
        *("stage1.classifier", "logits", "label"),
    ]
    assert lookaheads(graph)["label"] == 2 * (1 + 2)
    nodes = {node.name: node for node in graph.nodes}
    assert nodes["block1.add"] == Add("block1.add", "block1.tconv.q", "block0.add.stream")
    last = "stage1.layer1.add"
    assert nodes[last] == Add(last, "stage1.layer1.tconv.q", "stage1.layer0.add.stream")
    relu = {n.name for n in nodes.values() if isinstance(n, Requantise) and n.relu}
    assert relu == {
        *(f"block{i}.{part}.q" for i in range(2) for part in ("norm", "tconv")),
        *(f"stage1.layer{i}.tconv.q" for i in range(2)),
    }
    assert [n.name for n in outline(small_msgcn(refinements=0)).nodes][-2:] == ["logits", "label"]


def test_chain_without_embedding_and_first_residual() -> None:
    arch = VARIANTS["costgcn-published"]
    nodes = {node.name: node for node in outline(arch).nodes}
    assert list(nodes) == [
        *("input", "input_norm", "input_norm.q"),
        *chain("block0.conv*", "block0.graph*", "block0.norm*", "block0.tconv*"),
        *chain("block1.conv*", "block1.graph*", "block1.norm*", "block1.tconv*"),
        *chain("block1.residual*", "block1.add*"),
        "block1.add.stream",
        *chain("block2.conv*", "block2.graph*", "block2.norm*", "block2.tconv*", "block2.add*"),
        *HEAD,
    ]
    relu = {name: n.relu for name, n in nodes.items() if isinstance(n, Requantise)}
    assert relu["block0.tconv.q"] and not relu["block1.tconv.q"] and relu["block1.add.q"]
    assert not relu["input_norm.q"]


def test_chain_of_stgcn() -> None:
    graph = outline(small_stgcn())
    nodes = {node.name: node for node in graph.nodes}
    first, *others = (f"block{i}" for i in range(4))
    assert list(nodes) == [
        *("input", "input_norm", "input_norm.q"),
        *chain(f"{first}.conv*", f"{first}.graph*", f"{first}.norm*", f"{first}.tconv*"),
        *[
            name
            for block in others
            for name in chain(
                *(f"{block}.{part}*" for part in ("conv", "graph", "norm", "tconv")),
                *(f"{block}.{part}*" for part in ("residual", "add")),
            )
        ],
        *chain("pool*", "clip_pool*", "classifier"),
        *("logits", "label"),
    ]
    assert isinstance(nodes["block2.residual"], Conv)  # channels change
    for name, shape in (("block1.residual", (4, 4, 1)), ("block3.residual", (8, 8, 1))):
        node = nodes[name]  # the frame rate does
        assert isinstance(node, TemporalConv) and node.weight.raw.shape == shape
        assert (node.stride, node.lookahead) == (2, 0)
    assert nodes["pool"] == JointMean("pool", "block3.add.q", 5461, 16)  # 2**16 / 12
    assert nodes["clip_pool"] == ClipMean("clip_pool", "pool.q", 8, 256)  # 1024 frames / 4
    values = describe(graph)
    assert (values["input"].joints, values["block3.add"].period) == (12, 4)
    assert (values["logits"].joints, values["logits"].period) == (1, 0)


def test_chain_of_layernorm() -> None:
    graph = outline(small_arch(norm="layer", channels=(4, 8), window=(3, 2), dilation=1))
    nodes = {node.name: node for node in graph.nodes}
    assert list(nodes) == [
        "input",
        *chain("input_norm.unit*", "input_norm*", "embedding*"),
        "embedding.stream",
        *chain("block0.conv*", "block0.graph*", "block0.sum*", "block0.norm.unit*"),
        *chain("block0.norm*", "block0.add*"),
        *chain("block1.conv*", "block1.graph*", "block1.sum*", "block1.norm.unit*"),
        *chain("block1.norm*", "block1.residual*", "block1.residual_norm.unit*"),
        *chain("block1.residual_norm*", "block1.add*"),
        *HEAD,
    ]
    reads = {name: operands(node)[0] for name, node in nodes.items() if operands(node)}
    assert reads["input_norm.unit"] == "input" and reads["block0.norm.unit"] == "block0.sum.q"
    assert nodes["block1.add"] == Add("block1.add", "block1.norm.q", "block1.residual_norm.q")
    shapes = parameter_shapes(graph)
    assert shapes["block1.norm.scale"] == shapes["block1.residual_norm.bias"] == (8, 6)
    assert folding_norms(small_arch(norm="layer")) == ()


def test_chain_of_tcn() -> None:
    graph = outline(small_tcn())
    nodes = {node.name: node for node in graph.nodes}
    assert list(nodes) == [
        *("input", "input_norm", "input_norm.q", "flatten", "stem", "stem.stream"),
        *chain("block0.norm*", "block0.tconv*", "block0.add*"),
        "block0.add.stream",
        *chain("block1.norm*", "block1.tconv*", "block1.residual*"),
        *("block1.add", "block1.add.stream"),
        *chain("block2.norm*", "block2.tconv*"),
        *("block2.add", "block2.add.stream"),
        *chain("norm*", "classifier"),
        *("logits", "label"),
    ]
    assert nodes["block0.add"] == Add("block0.add", "block0.tconv.q", "stem.stream")
    assert nodes["block1.add"] == Add("block1.add", "block1.tconv.q", "block1.residual.q")
    assert operands(nodes["block1.norm"]) == ("block0.add.stream",)
    assert operands(nodes["block1.residual"]) == ("block0.add.q",)
    relu = {name for name, n in nodes.items() if isinstance(n, Requantise) and n.relu}
    assert relu == {"block0.norm.q", "block1.norm.q", "block2.norm.q", "norm.q"}
    assert lookaheads(graph)["label"] == 2 + 2 * (1 + 2 + 1)
    assert parameter_shapes(graph)["stem.weight"] == (4, 36, 4)


def test_residuals_on_demand() -> None:
    nodes = {n.name: n for n in outline(VARIANTS["rtstgcn-residuals"]).nodes}
    assert nodes["block0.add"] == Add("block0.add", "block0.norm.q", "block0.residual.q")
    assert "block1.add" not in nodes
    for name in ("block2.conv", "block2.residual"):  # a ReLU is behind the norm anyhow
        assert operands(nodes[name]) == ("block1.norm.q",)
    last = {n.name: n for n in outline(VARIANTS["rtstgcn-layernorm-residuals"]).nodes}
    stream = last["block1.norm.stream"]
    assert isinstance(stream, Requantise) and stream.relu
    assert last["block2.add"] == Add("block2.add", "block2.norm.q", "block1.norm.stream")


def test_what_reads_what() -> None:
    nodes = {node.name: node for node in outline(small_arch()).nodes}
    assert nodes["block0.add"] == Add("block0.add", "block0.norm.q", "embedding.stream")
    assert nodes["block1.add"] == Add("block1.add", "block1.norm.q", "block1.residual.q")
    assert nodes["block2.add"] == Add("block2.add", "block2.norm.q", "block1.add.stream")
    assert nodes["block1.sum"] == TemporalSum("block1.sum", "block1.graph.q", 2, 2)
    assert nodes["pool"] == JointMean("pool", "block2.add.q", 10923, 16)  # 2**16 / 6
    for name in ("block1.conv", "block1.residual"):
        node = nodes[name]
        assert isinstance(node, Conv) and node.x == "block0.add.q"
    relu = {n.name for n in nodes.values() if isinstance(n, Requantise) and n.relu}
    assert relu == {
        *(f"block{i}.{part}.q" for i in range(3) for part in ("norm", "add")),
        "block1.add.stream",
    }


def test_parameter_shapes() -> None:
    shapes = parameter_shapes(outline(small_arch(family="costgcn")))
    assert shapes["input_norm.scale"] == shapes["input_norm.bias"] == (6, 6)
    assert (shapes["embedding.weight"], shapes["embedding.bias"]) == ((4, 6), (4,))
    assert (shapes["block1.conv.weight"], shapes["block1.conv.bias"]) == ((24, 4), (24,))
    assert shapes["block1.graph.adjacency"] == (3, 6, 6)
    assert shapes["block1.norm.scale"] == shapes["block1.norm.bias"] == (8, 1)
    assert (shapes["block1.tconv.weight"], shapes["block1.tconv.bias"]) == ((8, 8, 2), (8,))
    assert (shapes["block1.residual.weight"], shapes["block1.residual.bias"]) == ((8, 4), (8,))
    assert (shapes["classifier.weight"], shapes["classifier.bias"]) == ((5, 8), (5,))
    assert "block0.residual.weight" not in shapes


@given(archs())
def test_every_outline_is_a_valid_graph(arch: ArchSpec) -> None:
    graph = outline(arch)
    values = describe(graph)  # raises where a shape or a name is wrong
    assert values["logits"].channels == arch.classes and values["label"].joints == 1
    shapes = parameter_shapes(graph)
    constants = {key for node in graph.nodes if (key := constant_key(node))}
    assert constants == {key for key in shapes if not key.endswith(".bias")}


@pytest.mark.parametrize(("example", "window"), [("", 9), ("_69", 69)])
def test_published_multiplications(example: str, window: int) -> None:
    """PKU-MMD: convolutions, dense adjacency, residuals, embedding, classifier; temporal taps."""
    for family in ("rtstgcn", "costgcn"):
        arch = load_spec(ArchSpec, EXAMPLES / f"pkummd_{family}{example}.yaml")
        assert (arch.family, set(arch.window)) == (family, {window})
        graph = outline(arch)
        values = describe(graph)
        shapes = parameter_shapes(graph)
        static = temporal = 0
        for node in graph.nodes:
            if isinstance(node, Conv):
                static += math.prod(shapes[f"{node.name}.weight"]) * values[node.name].joints
            elif isinstance(node, GraphProduct):
                adjacency = math.prod(shapes[f"{node.name}.adjacency"])
                static += adjacency * values[node.name].channels
            elif isinstance(node, TemporalConv):
                temporal += math.prod(shapes[f"{node.name}.weight"]) * values[node.name].joints
        assert static == 19_843_712
        assert temporal == (0 if family == "rtstgcn" else 58_060_800 * window // 9)
