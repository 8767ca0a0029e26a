from __future__ import annotations

import numpy as np
import pytest

from fxp.errors import GraphError
from fxp.ir import Add, Conv, Graph, GraphProduct, Input, Node, Requantise, TemporalSum, Weights
from fxp.operations import Aggregate, Join
from fxp.plan import CHUNK_BYTES, MAX_CHUNK_FRAMES, compile_graph
from fxp.qformat import Cast, QFormat

FMT = QFormat(8, 0)


def graph(*nodes: Node, fmt: QFormat = FMT, bits: int = 63) -> Graph:
    return Graph("net", (Input("x", 1, 2, fmt), *nodes), ("y",), accumulator_bits=bits)


@pytest.mark.parametrize(
    ("bias", "dtype"), [(2**31 - 1 - 127, np.int32), (2**31 - 127, np.int64), (-(2**31), np.int64)]
)
def test_values_take_32_bits_exactly_where_their_range_allows(bias: int, dtype: type) -> None:
    weight = Weights(np.array([[1]]), 2, (0,))
    plan = compile_graph(graph(Conv("y", "x", weight, np.array([bias]))))
    assert plan.stages["y"].dtype == dtype
    assert plan.stages["x"].dtype == np.int32


def test_unsigned_words_of_32_bits_take_64() -> None:
    plan = compile_graph(graph(TemporalSum("y", "x", 1), fmt=QFormat(32, 0, signed=False)))
    assert plan.stages["x"].dtype == np.int64


def test_accumulators_are_certified() -> None:
    compile_graph(graph(TemporalSum("y", "x", 4), bits=10))
    with pytest.raises(GraphError, match="node `y`: the accumulator needs 10 bits"):
        compile_graph(graph(TemporalSum("y", "x", 4), bits=9))


def test_values_are_dropped_after_their_last_reader() -> None:
    cast = Cast(QFormat(8, 0))
    plan = compile_graph(
        graph(Requantise("a", "x", cast), Requantise("b", "x", cast), Add("y", "a", "a"))
    )
    assert {name: stage.done for name, stage in plan.stages.items()} == {
        "x": (),
        "a": (),
        "b": ("x",),
        "y": ("a",),
    }


def test_edges_are_the_nonzero_entries_by_target_joint() -> None:
    raw = np.array([[[3, 0], [5, 0]], [[0, 0], [7, 2]]])  # (P, V, W)
    node = GraphProduct("y", "x", Weights(raw, 4, (1, 3)))
    plan = compile_graph(Graph("net", (Input("x", 4, 2, QFormat(8, 0)), node), ("y",)))
    edges = plan.stages["y"].operation
    assert isinstance(edges, Aggregate)
    assert edges.first.tolist() == [0, 3, 4]
    # joint * P * C + partition * C, and the first partition shifted to 3 fractional bits
    found = sorted(zip(edges.source.tolist(), edges.factor.tolist(), strict=True))
    assert found == [(0, 12), (4, 20), (6, 2), (6, 7)]


def test_operands_far_apart_are_aligned_modulo_the_word() -> None:
    """A shift of 64 or more places is possible for an operand that is always zero."""
    zero = Conv("z", "x", Weights(np.array([[0]]), 1, (70,)), np.array([0]))
    fine = Requantise("f", "z", Cast(QFormat(8, 70)))
    coarse = Requantise("c", "z", Cast(QFormat(8, 0)))
    plan = compile_graph(graph(zero, fine, coarse, Add("y", "c", "f")))
    join = plan.stages["y"].operation
    assert isinstance(join, Join)
    assert [factor.tolist() for factor in join.factors] == [[0, 0], [1, 1]]


def test_chunks_are_bounded() -> None:
    small = compile_graph(graph(TemporalSum("y", "x", 1)))
    assert small.chunk_frames == MAX_CHUNK_FRAMES
    weight = Weights(np.zeros((CHUNK_BYTES, 1), np.int64), 2, (0,))
    huge = compile_graph(graph(Conv("y", "x", weight, np.zeros(CHUNK_BYTES, np.int64))))
    assert huge.chunk_frames == 1
