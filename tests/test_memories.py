from typing import Any

import numpy as np
import pytest

from fxp.errors import InputError
from fxp.ir import Add, Argmax, Conv, Graph, GraphProduct, Input, Requantise, TemporalSum, Weights
from fxp.memories import MAX_LANES, ground_of, memories_of, settings_for
from fxp.qformat import Cast, QFormat
from tests.golden.networks import CASES, make


def graph_of(name: str) -> Graph:
    return make(CASES[name])[0]


@pytest.mark.parametrize(
    ("frames", "expected"), [(1, (0,)), (2, (0, 1)), (3, (0, 1, 2)), (9, (0, 4, 8))]
)
def test_default_snapshots(frames: int, expected: tuple[int, ...]) -> None:
    assert settings_for(graph_of("dilated"), frames).snapshots == expected


def test_taps_come_in_graph_order_with_the_input() -> None:
    graph = graph_of("dilated")
    assert settings_for(graph, 4).taps == tuple(node.name for node in graph.nodes)
    chosen = settings_for(graph, 4, taps=["label", "pool", "label"])
    assert chosen.taps == ("input", "pool", "label")
    assert settings_for(graph, 4, taps=[], snapshots=[]).taps == ("input",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lanes": 0}, f"`lanes` must be 1..{MAX_LANES}, got 0"),
        ({"lanes": True}, f"`lanes` must be 1..{MAX_LANES}, got True"),
        ({"lanes": MAX_LANES + 1}, f"`lanes` must be 1..{MAX_LANES}, got 1025"),
        ({"taps": ["nothing"]}, "`taps`: 'nothing' is no node of graph `dilated`"),
        ({"taps": [3]}, "`taps`: 3 is no node of graph `dilated`"),
        ({"snapshots": [0, 4]}, "`snapshots`: frames must be 0..3, got 4"),
        ({"snapshots": [-1]}, "`snapshots`: frames must be 0..3, got -1"),
        ({"snapshots": [1.0]}, "`snapshots`: frames must be 0..3, got 1.0"),
    ],
)
def test_settings_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        settings_for(graph_of("dilated"), 4, **change)
    assert str(caught.value) == message


def test_widths_of_words() -> None:
    """Stored values have the words of their formats, sums the width their range needs."""
    nodes = (
        Input("input", 2, 1, QFormat(4, 0, False)),
        TemporalSum("sum", "input", 5),  # 4 bits + 3 guard bits, as unsigned as its operand
        Conv("conv", "sum", Weights(np.array([[1, 1]]), 2, (0,)), np.array([0])),  # 0..150
        Requantise("q", "conv", Cast(QFormat(6, 0))),
        Add("add", "q", "q"),
        TemporalSum("sums", "add", 2),  # of accumulators: -128..124
        Requantise("logits", "sums", Cast(QFormat(3, 0))),
        Argmax("label", "input"),
    )
    graph = Graph("g", nodes, ("logits", "label"))
    formats = ground_of(graph, settings_for(graph, 3)).formats
    assert formats == {
        "input": (4, False),
        "sum": (7, False),
        "conv": (9, True),
        "q": (6, True),
        "add": (7, True),
        "sums": (8, True),
        "logits": (3, True),
        "label": (1, False),
    }


def test_a_bias_beyond_its_sum_still_fits() -> None:
    """Operands of 4..7 only: with the bias -40, sums are -24..-12, narrower than the bias."""
    nodes = (
        Input("input", 1, 1, QFormat(2, 0, False)),
        Conv("four", "input", Weights(np.array([[1]]), 2, (0,)), np.array([4])),
        Requantise("four.q", "four", Cast(QFormat(4, 0, False))),
        Conv("conv", "four.q", Weights(np.array([[4]]), 4, (0,)), np.array([-40])),
    )
    graph = Graph("g", nodes, ("conv",))
    ground = ground_of(graph, settings_for(graph, 1))
    assert ground.widths["conv"] == 6
    bias = next(m for m in memories_of(ground) if m.file == "constants/conv.bias.hex")
    assert bias.layout.word_bits == 7


def test_partitions_are_cut_into_words_of_their_own() -> None:
    graph = graph_of("narrow")  # 2 partitions of 3 channels in 2 lanes
    ground = ground_of(graph, settings_for(graph, 5, lanes=2))
    memories = {memory.file: memory for memory in memories_of(ground)}
    assert ground.groups == {"block0.conv.q": 2, "block0.conv": 2}
    for file in ("values/block0.conv.q.hex", "constants/block0.conv.weight.hex"):
        assert memories[file].layout.groups == 2
        assert memories[file].layout.blocks == 4
    assert memories["values/block0.graph.hex"].layout.groups == 1
    assert memories["constants/block0.graph.adjacency.hex"].layout.lanes == 1


def test_files_that_differ_in_case_alone() -> None:
    one = Weights(np.array([[1]]), 2, (0,))
    nodes = (
        Input("input", 1, 1, QFormat(2, 0)),
        Conv("a", "input", one, np.array([0])),
        Conv("A", "input", one, np.array([0])),
    )
    graph = Graph("g", nodes, ("a", "A"))
    with pytest.raises(InputError, match="files of `a` and `A` would differ in case alone"):
        memories_of(ground_of(graph, settings_for(graph, 1)))


def test_an_adjacency_keeps_its_axes() -> None:
    raw = np.arange(8).reshape(2, 2, 2)
    nodes = (
        Input("input", 2, 2, QFormat(4, 1)),
        GraphProduct("graph", "input", Weights(raw, 4, (2, 3))),
    )
    graph = Graph("g", nodes, ("graph",))
    memory = memories_of(ground_of(graph, settings_for(graph, 1, lanes=4)))[0]
    assert memory.layout.axes == ("partition", "source", "target")
    assert (memory.frac_bits, memory.frac_axis) == ((2, 3), "partition")
