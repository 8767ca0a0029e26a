"""What the figures of the networks show: joints, boxes, reaches and sums are the toolkit's."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fxp.outline import outline, parameter_shapes
from fxp.skeleton import adjacency, hop_distances, load_skeleton, partitions, skeleton_names
from fxp.spec import ArchSpec
from reports.network_layout import Network, block_of, leaves_rectified, network
from reports.skeleton_layout import CENTRIFUGAL, CENTRIPETAL, ROOT, skeleton_drawing
from reports.time_layout import running_sum, span, tree
from stgcn_ref.models.build import build

SMALL = {
    "skeleton": "hugadb",
    "in_channels": 3,
    "embedding": 8,
    "channels": (8, 8, 12),
    "window": (5, 3, 3),
    "classes": 4,
}
ARCHS = {
    "rtstgcn": ArchSpec(**SMALL, dilation=(1, 2, 3)),
    "costgcn": ArchSpec(**SMALL, family="costgcn", dilation=(1, 2, 3)),
    "msgcn": ArchSpec(
        **SMALL | {"channels": (8, 8), "window": (3,)},
        family="msgcn",
        dilation=(1, 2),
        refinements=2,
    ),
}
CLIPS = ArchSpec(
    family="stgcn",
    skeleton="hugadb",
    in_channels=3,
    channels=(8, 12, 12, 16),
    window=5,
    stride=(1, 2, 1, 2),
    classes=4,
)


@pytest.mark.parametrize("name", skeleton_names())
def test_joints_stand_at_their_hops_and_apart(name: str) -> None:
    skeleton = load_skeleton(name)
    drawing = skeleton_drawing(name, skeleton.center)
    hops = hop_distances(skeleton)[skeleton.center]
    assert [joint.hops for joint in drawing.joints] == hops.tolist()
    assert drawing.edges == skeleton.edges
    for a, b in combinations(drawing.joints, 2):
        assert a.hops != b.hops or abs(a.x - b.x) >= 0.5, (a.name, b.name)


@pytest.mark.parametrize("name", skeleton_names())
def test_parts_and_matrices_are_those_of_the_graph(name: str) -> None:
    skeleton = load_skeleton(name)
    hops = hop_distances(skeleton)[skeleton.center]
    near = adjacency(skeleton).astype(bool)
    for chosen in range(len(hops)):
        drawing = skeleton_drawing(name, chosen)
        for v, joint in enumerate(drawing.joints):
            if v == chosen:
                assert joint.part == ROOT
            elif not near[v, chosen]:
                assert joint.part == ""
            else:
                assert joint.part == (CENTRIPETAL if hops[v] <= hops[chosen] else CENTRIFUGAL)
    for matrix in drawing.matrices:
        exact = partitions(skeleton, "spatial", matrix.normalisation)[matrix.p]
        np.testing.assert_allclose(matrix.values, exact, atol=5e-4)
        assert np.count_nonzero(matrix.values) == np.count_nonzero(exact)
        for v, w in np.argwhere(exact):
            if hops[v] != hops[w]:
                assert matrix.sources == (CENTRIPETAL if hops[v] < hops[w] else CENTRIFUGAL)


@pytest.mark.parametrize("arch", [*ARCHS.values(), CLIPS], ids=lambda arch: arch.family)
def test_boxes_have_the_shapes_of_the_float_network(arch: ArchSpec) -> None:
    frames = 11
    shapes: dict[str, tuple[int, ...]] = {}

    def show(name: str, x: torch.Tensor) -> None:
        shapes[name] = tuple(x.shape[1:])  # (C, T, V)

    x = torch.zeros(1, 3, frames, 6, 1) if arch is CLIPS else torch.zeros(1, 3, frames, 6)
    net = build(arch).eval()
    with torch.no_grad():
        net(x, observe=show)
    whole = network("probe", arch, frames)
    boxes = {box.name: (box.channels, box.frames, box.joints) for box in whole.boxes}
    assert boxes.pop("input") == (3, frames, 6)
    assert boxes == shapes
    assert whole.latency == net.latency_frames


@pytest.mark.parametrize("family", ARCHS)
def test_boxes_have_the_weights_and_operands_of_the_graph(family: str) -> None:
    graph = outline(ARCHS[family])
    whole = network("probe", ARCHS[family], 9)
    shapes = parameter_shapes(graph)
    names = {box.name for box in whole.boxes}
    for box in whole.boxes:
        own = [shapes.get(f"{box.name}.{field}") for field in ("weight", "adjacency", "scale")]
        assert [box.weights] == ([shape for shape in own if shape] or [()])
        assert set(box.reads) <= names


def kept(whole: Network, name: str) -> list[tuple[str, int]]:
    (box,) = (box for box in whole.boxes if box.name == name)
    return [(memory.kind, memory.slots) for memory in box.memories]


def test_state_is_that_of_the_docs_formulas() -> None:
    whole = network("probe", ARCHS["rtstgcn"], 9)
    assert kept(whole, "block1.sum") == [("FIFO", 3 * 2), ("accumulator", 2)]
    assert kept(whole, "block1.add") == []
    whole = network("probe", ARCHS["costgcn"], 9)
    assert kept(whole, "block1.tconv") == [("FIFO", 2 * 2 + 1)]
    assert kept(whole, "block1.add") == [("delay line", 2)]
    assert sum(slots for box in whole.boxes for _, slots in kept(whole, box.name)) == (
        (5 + 5 + 7) + (2 + 2 + 3)
    )


def test_relus_stand_where_the_families_have_them() -> None:
    def rectified(family: str) -> list[tuple[str, tuple[bool, ...]]]:
        boxes = block_of(network("probe", ARCHS[family], 9), "block1").boxes
        return [(box.name.partition(".")[2], box.rectified) for box in boxes[1:]]

    assert rectified("rtstgcn")[1:] == [
        ("sum", (False,)),
        ("norm", (False,)),
        ("add", (True, True)),
    ]
    assert rectified("costgcn")[1:] == [
        ("norm", (False,)),
        ("tconv", (True,)),
        ("add", (False, True)),
    ]
    assert rectified("msgcn")[1:] == [
        ("norm", (False,)),
        ("tconv", (True,)),
        ("add", (True, False)),
    ]
    ends = [leaves_rectified(network("probe", arch, 9), "block1") for arch in ARCHS.values()]
    assert ends == [True, True, False]


@pytest.mark.parametrize("arch", [*ARCHS.values(), CLIPS], ids=lambda arch: arch.family)
def test_spans_are_those_of_the_float_network(arch: ArchSpec) -> None:
    net = build(arch)
    reach = span("probe", arch)
    assert reach.layers == len(reach.taps) == len(arch.channels) * (1 + arch.refinements)
    assert reach.future == net.latency_frames
    assert reach.past + 1 + reach.future == net.receptive_field


@pytest.mark.parametrize("family", ARCHS)
def test_trees_are_what_a_change_of_one_input_frame_reaches(family: str) -> None:
    torch.manual_seed(5)
    arch = ARCHS[family]
    net = build(arch).eval().double()
    for parameter in (
        net.parameters()
    ):  # positive, so that no ReLU hides a path, and small: no softmax saturates
        parameter.data = 0.2 * parameter.data.abs()
    drawn = tree("probe", arch)
    frames = drawn.levels[-1].frames
    at = drawn.span.past + 2
    x = torch.rand(1, 3, at + drawn.span.future + 3, 6, dtype=torch.float64, requires_grad=True)
    net(x)[0, :, at].sum().backward()
    reached = torch.nonzero(x.grad.abs().sum(dim=(0, 1, 3))).ravel() - at
    assert tuple(reached.tolist()) == frames
    assert (-frames[0], frames[-1]) == (drawn.span.past, drawn.span.future)


@given(
    st.lists(st.integers(-99, 99), min_size=2, max_size=14),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_the_running_sum_is_the_sum_of_its_window(
    values: list[int], window: int, dilation: int
) -> None:
    data = running_sum(tuple(values), window, dilation)
    for t, total in enumerate(data.sums):
        assert total == sum(values[s] for s in range(t, t - window * dilation, -dilation) if s >= 0)
    for state, seen in ((data.before, data.frame), (data.after, data.frame + 1)):
        assert state.position == seen % (window * dilation)
        newest = range(max(0, seen - window * dilation), seen)
        assert sorted(frame for frame in state.frames if frame >= 0) == list(newest)
        for frame, value in zip(state.frames, state.fifo, strict=True):
            assert value == (values[frame] if frame >= 0 else 0)
        for phase, total in enumerate(state.accumulators):
            assert total == sum(values[s] for s in newest if s % dilation == phase)
    assert data.after.accumulators[data.phase] == data.sums[-1]
