"""Figures of the networks: readable, nothing overlaps, those of the docs show the present data."""

from __future__ import annotations

from dataclasses import fields
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image
from typer.testing import CliRunner

import reports.__main__
from fxp.errors import InputError
from reports.network_layout import block_of
from reports.networks import (
    BLOCKS,
    NetworkFigures,
    draw_network_figures,
    network_figures,
    write_network_figures,
)
from reports.shape_figure import groups
from reports.sheets import DATA_KEY, fingerprint, save_png
from reports.time_figures import draw_running_sum
from reports.time_layout import running_sum

DOCS = Path(__file__).resolve().parents[1] / "docs"
MAX_BYTES = 250_000
MIN_POINTS = 7.0


@pytest.fixture(scope="module")
def data() -> NetworkFigures:
    return network_figures()


@pytest.fixture(scope="module")
def figures(data: NetworkFigures) -> dict[str, Figure]:
    return draw_network_figures(data)


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


def boxes_of(figure: Figure) -> list[tuple[str, float, Bbox]]:
    figure.draw_without_rendering()
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
