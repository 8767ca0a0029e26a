import dataclasses
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from fxp import store
from fxp.errors import GraphError
from fxp.ir import Conv, Graph, Input, Node, Requantise, TemporalConv, TemporalSum, Weights
from fxp.node_fields import NODE_KINDS, describe_node, node_arrays
from fxp.qformat import Cast, QFormat
from fxp.store import graph_hash, load_graph, node_hash, save_graph
from tests.forging import Forgery, forge, parts, refused, small_graph
from tests.strategies import graphs_with_clips, random_graph

SAME_FOLDER = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)


def same_node(a: Node, b: Node) -> bool:
    """Equal in every field; `eq` of the nodes with arrays is identity."""
    if describe_node(a) != describe_node(b):
        return False
    x, y = node_arrays(a), node_arrays(b)
    return x.keys() == y.keys() and all(
        x[k].dtype == y[k].dtype and np.array_equal(x[k], y[k]) for k in x
    )


def test_every_node_of_the_union_has_a_name() -> None:
    from fxp import ir

    assert set(NODE_KINDS.values()) == set(typing.get_args(ir.Node))
    assert all(name == cls.__name__ for name, cls in NODE_KINDS.items())


@SAME_FOLDER
@given(graphs_with_clips())
def test_random_graphs_come_back_equal(tmp_path: Path, case: tuple[Graph, Any]) -> None:
    graph, _ = case
    path = tmp_path / "g.fxp"
    save_graph(graph, path)
    found = load_graph(path)
    assert len(found.nodes) == len(graph.nodes)
    assert all(same_node(a, b) for a, b in zip(graph.nodes, found.nodes, strict=True))
    assert (found.name, found.outputs) == (graph.name, graph.outputs)
    assert found.accumulator_bits == graph.accumulator_bits
    assert found.meta == graph.meta
    assert graph_hash(found) == graph_hash(graph)
    again = tmp_path / "h.fxp"
    save_graph(found, again)
    assert again.read_bytes() == path.read_bytes()


def test_random_graphs_together_use_every_kind_of_node() -> None:
    rng = np.random.default_rng(5)
    kinds = {type(node) for _ in range(60) for node in random_graph(rng).nodes}
    assert kinds == set(NODE_KINDS.values())


def test_meta_comes_back(tmp_path: Path) -> None:
    meta = {"classes": ["sit"], "deep": {"a": [1, 2.5, None, True, {"b": ""}]}, "big": 2**70}
    path = tmp_path / "g.fxp"
    save_graph(small_graph(meta=meta), path)
    assert load_graph(path).meta == meta


def test_the_hash_is_of_what_is_computed() -> None:
    base = graph_hash(small_graph())
    assert graph_hash(small_graph(name="other", meta={})) == base
    assert base == "60389c4a473d5a2c31bff0b4779d0dcd1c05b56bcd2fd919d55deec4930090c3"
    assert graph_hash(small_graph(accumulator_bits=25)) != base
    nodes = small_graph().nodes
    assert graph_hash(small_graph(outputs=("conv",))) != base
    conv = nodes[1]
    assert isinstance(conv, Conv)
    for raw, bits, frac in [
        (conv.weight.raw + np.eye(3, 2, dtype=np.int64), 8, (4, 5, 6)),
        (conv.weight.raw, 9, (4, 5, 6)),
        (conv.weight.raw, 8, (4, 5, 7)),
    ]:
        other = dataclasses.replace(conv, weight=Weights(raw, bits, frac))
        assert graph_hash(small_graph(nodes=(nodes[0], other, nodes[2]))) != base
    other = dataclasses.replace(conv, bias=conv.bias + 1)
    assert graph_hash(small_graph(nodes=(nodes[0], other, nodes[2]))) != base
    quantise = nodes[2]
    assert isinstance(quantise, Requantise)
    for change in ({"relu": False}, {"cast": Cast(QFormat(6, 1))}):
        altered = dataclasses.replace(quantise, **change)
        assert graph_hash(small_graph(nodes=(*nodes[:2], altered))) != base


def test_a_stride_of_one_is_left_out_of_files_and_hashes(tmp_path: Path) -> None:
    """Model files and hashes from before strides existed stay what they are."""
    weight = Weights(np.ones((1, 1, 2), np.int64), 2, (0,))
    nodes = [TemporalConv("y", "x", weight, np.zeros(1, np.int64), stride=n) for n in (1, 2)]
    assert "stride" not in describe_node(nodes[0])
    assert describe_node(nodes[1])["stride"] == 2
    assert node_hash(nodes[0]) != node_hash(nodes[1])
    for node in nodes:
        path = tmp_path / "net.fxp"
        save_graph(Graph("g", (Input("x", 1, 1, QFormat(8, 0)), node), ("y",)), path)
        assert load_graph(path).nodes[1].stride == node.stride


def test_an_unsafe_graph_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="conv"):
        save_graph(small_graph(accumulator_bits=8), tmp_path / "g.fxp")
    assert not list(tmp_path.iterdir())


def content(change: Callable[[dict[str, Any]], None]) -> Forgery:
    return lambda header, _: change(header["content"])


def node(index: int, key: str, value: Any) -> Forgery:
    return content(lambda c: c["nodes"][index].__setitem__(key, value))


def drop_field(c: dict[str, Any]) -> None:
    del c["nodes"][1]["x"]


FORGERIES: list[tuple[Forgery, str]] = [
    (node(1, "kind", "Exec"), "node 'conv': unknown kind 'Exec', allowed: Input, Conv, "),
    (node(1, "kind", ["Conv"]), "node 'conv': unknown kind ['Conv']"),
    (node(1, "extra", 1), "node 'conv': the fields must be"),
    (content(drop_field), "node 'conv': the fields must be"),
    (node(1, "x", 3), "node 'conv': `x` must be of type str, got 3"),
    (node(1, "x", "nowhere"), "node `conv`: operand `nowhere` is no earlier node"),
    (node(1, "name", 7), "every node must be an object with a `name`"),
    (node(1, "name", "other"), "node 'other': `weight`: array other.weight is missing"),
    (node(0, "channels", "2"), "node 'input': `channels` must be of type int, got '2'"),
    (node(0, "channels", True), "node 'input': `channels` must be of type int, got True"),
    (node(0, "channels", 2.0), "node 'input': `channels` must be of type int, got 2.0"),
    (node(0, "channels", 2**80), "node 'input': `channels` must be within 2147483648, got"),
    (node(0, "joints", 2**30), "node 'input': a frame must have at most 16777216 words, got 2 x"),
    (node(0, "fmt", None), "node 'input': `fmt`: the fields must be ['frac_bits'"),
    (
        node(0, "fmt", {"word_bits": 99, "frac_bits": 0, "signed": True}),
        "node 'input': `fmt`: `word_bits` must be 1..32, got 99",
    ),
    (
        node(0, "fmt", {"word_bits": 8, "frac_bits": 10**6, "signed": True}),
        "node 'input': `frac_bits` and `shift` must be within 256, got 1000000",
    ),
    (node(1, "weight", {"word_bits": 8, "frac_bits": [1, "2", 3]}), "of type int, got '2'"),
    (node(1, "weight", {"word_bits": 8, "frac_bits": 4}), "`frac_bits` must be a list, got 4"),
    (
        node(1, "weight", {"word_bits": 7, "frac_bits": [4, 5, 6]}),
        "node `conv`: `weight`: -128 does not fit 7 bits",
    ),
    (node(2, "relu", 1), "node 'conv.q': `relu` must be of type bool, got 1"),
    (
        node(2, "cast", {"to": {}, "rounding": "RND", "overflow": "SAT"}),
        "node 'conv.q': `cast`: `to`: the fields must be",
    ),
    (
        node(
            2,
            "cast",
            {
                "to": {"word_bits": 6, "frac_bits": 1, "signed": True},
                "rounding": "UP",
                "overflow": "SAT",
            },
        ),
        "`rounding` must be one of TRN, TRN_ZERO, RND, RND_ZERO, RND_INF, RND_MIN_INF, RND_CONV,",
    ),
    (content(lambda c: c.update(nodes={})), "header: `nodes` must be a list of at most 16384"),
    (content(lambda c: c.update(nodes=[1])), "every node must be an object with a `name`, got 1"),
    (content(lambda c: c.update(meta=[])), "header: `meta` must be an object"),
    (content(lambda c: c.update(name=None)), "header: `name` must be of type str, got None"),
    (content(lambda c: c.update(outputs="conv")), "header: `outputs` must be a list, got 'conv'"),
    (content(lambda c: c.update(outputs=["x"])), "output `x` is no node of graph `small`"),
    (content(lambda c: c.update(accumulator_bits=9)), "node `conv`: the accumulator needs"),
    (content(lambda c: c.update(accumulator_bits=True)), "must be of type int, got True"),
    (content(lambda c: c.update(graph_hash="0")), "`graph_hash` does not match the nodes"),
    (content(lambda c: c.update(more=1)), "header: the keys must be"),
]


@pytest.mark.parametrize(("forgery", "message"), FORGERIES)
def test_contents_that_no_writer_makes(tmp_path: Path, forgery: Forgery, message: str) -> None:
    path = tmp_path / "g.fxp"
    save_graph(small_graph(), path)
    header, members = parts(path)
    forgery(header, members)
    forge(path, header, members)
    assert message in refused(path)


def test_endless_fifos_are_refused(tmp_path: Path) -> None:

    nodes = (Input("input", 2, 3, QFormat(8, 2)), TemporalSum("sum", "input", 2, 2))
    path = tmp_path / "g.fxp"
    save_graph(Graph("g", nodes, ("sum",)), path)
    header, members = parts(path)
    header["content"]["nodes"][1]["dilation"] = 2**30
    forge(path, header, members)
    expected = f"all FIFOs together must have at most {store.MAX_STATE_WORDS} words, got"
    assert f"node 'sum': {expected}" in refused(path, GraphError)
