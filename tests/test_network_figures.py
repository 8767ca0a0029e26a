"""Figures of the networks: what they show is the toolkit's, and nothing on them overlaps."""

from __future__ import annotations

from dataclasses import fields
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from typer.testing import CliRunner

import reports.__main__
from fxp.errors import InputError
from fxp.outline import outline, parameter_shapes
from fxp.skeleton import adjacency, hop_distances, load_skeleton, partitions, skeleton_names
from fxp.spec import ArchSpec
from reports.network_layout import Network, block_of, leaves_rectified, network
from reports.networks import (
    BLOCKS,
    NetworkFigures,
    draw_network_figures,
    network_figures,
    write_network_figures,
)
from reports.shape_figure import groups
from reports.sheets import DATA_KEY, fingerprint, save_png
from reports.skeleton_layout import CENTRIFUGAL, CENTRIPETAL, ROOT, skeleton_drawing
from reports.time_figures import draw_running_sum
from reports.time_layout import running_sum, span, tree
from stgcn_ref.models.build import build

DOCS = Path(__file__).resolve().parents[1] / "docs"
MAX_BYTES = 250_000
MIN_POINTS = 7.0
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


@pytest.fixture(scope="module")
def data() -> NetworkFigures:
    return network_figures()


@pytest.fixture(scope="module")
def figures(data: NetworkFigures) -> dict[str, Figure]:
    return draw_network_figures(data)


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


@pytest.mark.parametrize("family", ARCHS)
def test_boxes_have_the_shapes_of_the_float_network(family: str) -> None:
    arch, frames = ARCHS[family], 9
    shapes: dict[str, tuple[int, ...]] = {}
    net = build(arch).eval()
    with torch.no_grad():
        net(
            torch.zeros(1, 3, frames, 6), observe=lambda name, x: shapes.update({name: x.shape[1:]})
        )
    whole = network("probe", arch, frames)
    boxes = {box.name: (box.channels, box.frames, box.joints) for box in whole.boxes}
    assert boxes.pop("input") == (3, frames, 6)
    assert boxes == {name: tuple(shape) for name, shape in shapes.items()}
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


def test_equal_layers_share_their_rows(data: NetworkFigures) -> None:
    rtstgcn = data.shapes_batch_realtime.networks[0]
    names = [group.names for group in groups(rtstgcn)]
    assert names == [
        ("input",),
        ("input_norm",),
        ("embedding",),
        ("block0", "block1", "block2"),
        ("block3",),
        ("block4", "block5"),
        ("block6",),
        ("block7", "block8"),
        ("pool",),
        ("classifier",),
    ]


@pytest.mark.parametrize("family", ARCHS)
def test_spans_are_those_of_the_float_network(family: str) -> None:
    net = build(ARCHS[family])
    reach = span("probe", ARCHS[family])
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


def boxes_of(figure: Figure) -> list[tuple[str, float, object]]:
    figure.canvas.draw()
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    return [(text.get_text(), text.get_fontsize(), text.get_window_extent()) for text in texts]


def test_text_is_readable_on_the_page_and_does_not_overlap(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        found = boxes_of(figure)
        assert len(found) > 20
        for text, points, extent in found:
            assert points >= MIN_POINTS, (name, text)
            assert figure.bbox.x0 <= extent.x0 and extent.x1 <= figure.bbox.x1, (name, text)
            assert figure.bbox.y0 <= extent.y0 and extent.y1 <= figure.bbox.y1, (name, text)
        for (one, _, a), (two, _, b) in combinations(found, 2):
            assert not a.overlaps(b), (name, one, two)


def test_the_command_writes_every_figure(tmp_path: Path, data: NetworkFigures) -> None:
    answer = CliRunner().invoke(reports.__main__.app, ["networks", "--out", str(tmp_path / "new")])
    assert answer.exit_code == 0, answer.output
    written = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert written == sorted(f"{field.name}.png" for field in fields(data))
    for name in written:
        with Image.open(tmp_path / "new" / name) as image:
            assert image.text == {DATA_KEY: fingerprint(getattr(data, name[:-4]))}


def test_equal_data_give_equal_files(tmp_path: Path, data: NetworkFigures) -> None:
    for name in ("a.png", "b.png"):
        save_png(draw_running_sum(data.running_sum), tmp_path / name, data.running_sum)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert fingerprint(data.running_sum) != fingerprint(running_sum((1, 2, 3), 2, 1))


def test_figures_of_the_docs_show_the_present_data(data: NetworkFigures) -> None:
    page = (DOCS / "networks.md").read_text(encoding="utf-8")
    for field in fields(data):
        path = DOCS / "figures" / f"{field.name}.png"
        assert f"(figures/{path.name})" in page
        assert path.stat().st_size < MAX_BYTES
        with Image.open(path) as image:
            shown = image.text[DATA_KEY]
        assert shown == fingerprint(getattr(data, field.name)), (
            f"{path.name} is of other data: python -m reports networks --out docs/figures"
        )


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file: cannot be made \(File exists\)"):
        write_network_figures(tmp_path / "file")


def test_the_chosen_blocks_have_an_identity_around_them(data: NetworkFigures) -> None:
    for whole, layer in zip(data.block_stgcn_vs_rtstgcn.networks, BLOCKS, strict=True):
        total = block_of(whole, layer).boxes[-1]
        assert total.kind == "sum"
        assert total.reads[1] == block_of(whole, layer).boxes[0].reads[0]
