"""Reports: the numbers behind the figures, labels that do not touch, files that are repeatable."""

from __future__ import annotations

import csv
import json
import random
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.text import Text
from typer.testing import CliRunner

import reports.__main__
from fxp.errors import InputError
from reports.figures import draw_bits, draw_memory, draw_pareto
from reports.labels import Box, place
from reports.summary import summary_lines, write_reports
from reports.tables import (
    MAX_BARS,
    Results,
    bits_panels,
    load_results,
    memory_bars,
    number,
    pareto_panels,
)

QUANT = ["w8a8", "w8a8s12", "w4a8"]
METRICS = {
    "frame_accuracy": {"label": "frame accuracy", "unit": "%"},
    "f1_10": {"label": "F1@10", "unit": "%"},
    "f1_25": {"label": "F1@25", "unit": "%"},
    "f1_50": {"label": "F1@50", "unit": "%"},
    "edit": {"label": "edit score", "unit": "%"},
    "argmax_agreement": {"label": "argmax agreement with float", "unit": "%"},
    "float_frame_accuracy": {"label": "float frame accuracy", "unit": "%"},
    "float_f1_50": {"label": "float F1@50", "unit": "%"},
    "float_edit": {"label": "float edit score", "unit": "%"},
    "float_elevator_frame_accuracy": {"label": "float, elevator merged", "unit": "%"},
    "energy_uj": {"label": "energy per frame", "unit": "µJ"},
    "memory_bits": {"label": "memory", "unit": "bit"},
    "memory_weights_bits": {"label": "memory for weights", "unit": "bit"},
    "memory_state_bits": {"label": "memory for FIFO state", "unit": "bit"},
    "memory_activations_bits": {"label": "memory for activations", "unit": "bit"},
}
DATA = {
    "name": "synthetic-gait",
    "synthetic": True,
    "classes": ["a", "b"],
    "step_rate_hz": 20.0,
    "hash": "d" * 64,
    "train": {"participants": [1, 2], "recordings": 4, "frames": 2400},
    "valid": {"participants": [3], "recordings": 2, "frames": 1200},
}


def record(index: int, front: int | str = "", **over: Any) -> dict[str, Any]:
    """One row of results.csv with made-up but distinct values."""
    window, quant = (3, 9)[index % 2], QUANT[index % 3]
    return {
        "front": front,
        "point": f"{index:064x}",
        "status": "ok",
        "reason": "",
        "design": f"Γ{window} small/2 seed {index % 2}, {quant}, zu7ev",
        "plan": "small",
        "depth": 2,
        "window": window,
        "dilation": 1,
        "seed": index % 2,
        "quant": quant,
        "accelerator": ("zu7ev", "pynq-z2")[index % 2],
        "topology": f"t{index % 2}",
        "network": f"n{index}",
        "frame_accuracy": 70 + index % 7,
        "f1_10": 80.5,
        "f1_25": 75.5,
        "f1_50": 60 + index % 5,
        "edit": 66.25,
        "argmax_agreement": 99.5,
        "float_frame_accuracy": 78 + index % 2,
        "float_f1_50": 65,
        "float_edit": 67,
        "float_elevator_frame_accuracy": 90,
        "energy_uj": 0.5 + index,
        "memory_bits": 40_000 + 900 * index,
        "memory_weights_bits": 10_000 * (index + 1),
        "memory_state_bits": 20_000,
        "memory_activations_bits": 1_000,
        **over,
    }


def directory_of(tmp_path: Path, records: list[dict[str, Any]], **about: Any) -> Path:
    """A results directory as a sweep leaves it."""
    status = [row["status"] for row in records]
    sweep = {
        "name": "probe",
        "source": "probe.yaml",
        "space": {"sampling": {"count": None, "seed": 0}},
        "data": DATA,
        "objectives": {"frame_accuracy": "max", "energy_uj": "min", "memory_bits": "min"},
        "constraints": ["energy_uj <= 9"],
        "metrics": METRICS,
        "quant": QUANT,
        "accelerators": ["zu7ev", "pynq-z2"],
        "grid": len(records),
        "seconds": {"topologies": 12.0, "networks": 3.0, "points": 0.5},
        "versions": {"python": "3.11"},
        "counts": {
            "points": len(records),
            "ok": status.count("ok"),
            "infeasible": status.count("infeasible"),
            "failed": status.count("failed"),
            "missing": 0,
            "front": sum(row["front"] != "" for row in records),
            "topologies": 2,
            "networks": len(records),
        },
        **about,
    }
    (tmp_path / "sweep.json").write_text(json.dumps(sweep))
    with (tmp_path / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(record(0)))
        writer.writeheader()
        writer.writerows(records)
    return tmp_path


def some(tmp_path: Path) -> Results:
    refused = {"status": "infeasible", "reason": "energy_uj <= 9: is 12"}
    broken = {"status": "failed", "reason": "simulation: ValueError", "frame_accuracy": ""}
    rows = [record(0, 2), record(1), record(2, 1), record(3, **refused), record(4, **broken)]
    return load_results(directory_of(tmp_path, rows))


def test_the_front_comes_in_its_order_and_values_are_numbers(tmp_path: Path) -> None:
    results = some(tmp_path)
    assert [row["front"] for row in results.front] == ["1", "2"]
    assert number(results.records[0], "edit") == 66.25
    assert number(results.records[4], "frame_accuracy") is None


def test_panels_hold_every_measured_point(tmp_path: Path) -> None:
    panels = pareto_panels(some(tmp_path))
    assert [(panel.x_label, panel.y_label) for panel in panels] == [
        ("energy per frame (µJ)", "frame accuracy (%)"),
        ("memory (bit)", "frame accuracy (%)"),
    ]
    assert [(dot.x, dot.y, dot.number) for dot in panels[0].dots] == [
        (0.5, 70, 2),
        (1.5, 71, 0),
        (2.5, 72, 1),
        (3.5, 73, 0),
    ]
    assert panels[0].baseline == 79
    assert not panels[0].connected


def test_two_objectives_are_a_line_and_cost_alone_has_no_baseline(tmp_path: Path) -> None:
    rows = [record(index, index + 1) for index in range(3)]
    two = {"objectives": {"frame_accuracy": "max", "energy_uj": "min"}}
    (panel,) = pareto_panels(load_results(directory_of(tmp_path, rows, **two)))
    assert panel.connected
    cost = {"objectives": {"energy_uj": "min", "memory_bits": "min"}, "data": None}
    (panel,) = pareto_panels(load_results(directory_of(tmp_path, rows, **cost)))
    assert (panel.x_label, panel.y_label) == ("energy per frame (µJ)", "memory (bit)")
    assert panel.baseline is None


def test_bits_panels_follow_the_space_and_average_the_networks(tmp_path: Path) -> None:
    (panel,) = bits_panels(some(tmp_path), ["frame_accuracy", "no_such_metric"])
    assert panel.settings == ("float", "w8a8", "w8a8s12", "w4a8")
    # topology t0 has points 0 and 2 (and 4 without a value), t1 has points 1 and 3
    assert panel.lines == ((78, 70, None, 72), (79, 73, 71, None))
    assert panel.mean == (78.5, 71.5, 71, 72)


def test_bars_are_sorted_and_thinned_to_both_ends(tmp_path: Path) -> None:
    rows = [record(index, index + 1) for index in range(60)]
    bars = memory_bars(load_results(directory_of(tmp_path, rows)))
    assert len(bars) == MAX_BARS
    assert bars[0].bits == (10_000, 20_000, 1_000)
    assert bars[-1].bits == (600_000, 20_000, 1_000)
    assert [sum(bar.bits) for bar in bars] == sorted(sum(bar.bits) for bar in bars)
    assert len({bar.label for bar in bars}) == MAX_BARS


@given(
    st.lists(st.tuples(st.floats(0, 200), st.floats(0, 100)), max_size=30),
    st.lists(st.floats(0, 40), min_size=1, max_size=4),
)
def test_labels_touch_neither_points_nor_each_other(
    centres: list[tuple[float, float]], steps: list[float]
) -> None:
    room = Box(100, 50, 110, 60)
    points = [Box(x, y, 3, 3) for x, y in centres]
    offsets = place(points, [(7, 4)] * len(points), room, steps)
    labels = [
        Box(point.x + offset[0], point.y + offset[1], 7, 4)
        for point, offset in zip(points, offsets, strict=True)
        if offset is not None
    ]
    for index, label in enumerate(labels):
        assert label.within(room)
        assert not any(label.overlaps(other) for other in [*points, *labels[:index]])


def test_a_lone_point_has_its_label_above() -> None:
    assert place([Box(0, 0, 3, 3)], [(7, 4)], Box(0, 0, 50, 50), [2]) == [(0, 9)]
    assert place([Box(0, 0, 3, 3)], [(7, 4)], Box(0, 0, 5, 5), [2]) == [None]


def test_drawn_numbers_do_not_overlap(tmp_path: Path) -> None:
    draw = random.Random(3)
    rows = [
        record(i, i + 1, energy_uj=draw.random(), frame_accuracy=70 + draw.random())
        for i in range(40)
    ]
    panels = pareto_panels(load_results(directory_of(tmp_path, rows)))
    figure = draw_pareto(panels, [f"{i} design" for i in range(40)], "probe")
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    for axes in figure.axes:
        frame = axes.get_window_extent(renderer)
        # of the text alone: an annotation's own extent counts its leader line
        boxes = [Text.get_window_extent(text, renderer) for text in axes.texts]
        assert len(boxes) > 10
        for index, box in enumerate(boxes):
            assert frame.x0 - 1 <= box.x0 and box.x1 <= frame.x1 + 1
            assert not any(box.overlaps(other) for other in boxes[:index])


def test_all_text_of_the_figures_lies_on_the_page(tmp_path: Path) -> None:
    results = some(tmp_path)
    key = [row["design"] for row in results.front]
    figures = [
        draw_pareto(pareto_panels(results), key, "a title, synthetic data"),
        draw_bits(bits_panels(results, ["frame_accuracy", "f1_50"]), "a title"),
        draw_memory(memory_bars(results), "a title"),
    ]
    for figure in figures:
        figure.canvas.draw()
        page = figure.bbox
        texts = [text for axes in figure.axes for text in (axes.xaxis.label, axes.yaxis.label)]
        texts += [text for legend in figure.legends for text in legend.get_texts()]
        texts += [label for axes in figure.axes for label in tick_labels(axes)]
        for text in texts:
            if not text.get_text():
                continue
            box = text.get_window_extent()
            assert page.x0 <= box.x0 and box.x1 <= page.x1, text.get_text()
            assert page.y0 <= box.y0 and box.y1 <= page.y1, text.get_text()
        for legend in figure.legends:
            frame = legend.get_window_extent()
            assert not any(axes.get_window_extent().overlaps(frame) for axes in figure.axes)


def tick_labels(axes: Axes) -> list[Text]:
    low, high = sorted(axes.get_xlim())
    return [text for text in axes.get_xticklabels() if low <= text.get_position()[0] <= high]


def test_every_file_is_written_and_equal_results_give_equal_files(tmp_path: Path) -> None:
    some(tmp_path)
    names = {path.name: path.read_bytes() for path in write_reports(tmp_path)}
    assert set(names) == {
        f"{stem}.{kind}"
        for stem in ("pareto", "accuracy_bits", "memory")
        for kind in ("png", "svg")
    } | {"summary.md"}
    for name, content in names.items():
        if name.endswith(".png"):
            assert content.startswith(b"\x89PNG")
        if name.endswith(".svg"):
            ElementTree.fromstring(content)
    assert b"synthetic data" in names["pareto.svg"]
    assert {path.name: path.read_bytes() for path in write_reports(tmp_path)} == names
    assert not list(tmp_path.glob(".*.tmp"))


def test_the_summary_says_what_was_found(tmp_path: Path) -> None:
    text = "\n".join(summary_lines(some(tmp_path)))
    assert "**synthetic** data `synthetic-gait`, 2 classes, 20 network steps a second" in text
    assert "Trained on participants 1, 2: 4 recordings, 2,400 frames" in text
    assert "5 points (2 float networks, 5 integer networks, 2 accelerators): 3 feasible" in text
    assert "| 1 | Γ3 small/2 seed 0, w4a8, zu7ev | 72 | 2.5 | 41,800 |" in text
    assert "| 1 | failed: simulation: ValueError |" in text
    assert "| 1 | infeasible: energy_uj <= 9 |" in text
    assert "| float | 78.50 |" in text
    assert "| w8a8 | 71.50 | 80.50 | 75.50 | 61.50 | 66.25 | 99.50 | +7.00 / +3.50 |" in text
    assert "| Γ3 small/2 | 1 | 78.00 | 65.00 | 67.00 | 90.00 |" in text
    assert "12 s of training" in text and f"`{'d' * 64}`" in text


def test_a_sweep_without_feasible_points_is_reported(tmp_path: Path) -> None:
    rows = [record(i, status="infeasible", reason="does not fit") for i in range(3)]
    directory = directory_of(tmp_path, rows)
    assert {path.name for path in write_reports(directory)} >= {"pareto.png", "summary.md"}
    assert "No point is feasible." in (directory / "summary.md").read_text()
    empty = directory_of(tmp_path / "..", [], data=None, objectives={"energy_uj": "min"})
    assert [path.name for path in write_reports(empty)] == ["summary.md"]


def test_a_name_with_dollar_signs_is_no_formula(tmp_path: Path) -> None:
    directory = directory_of(tmp_path, [record(0, front="1")], name=r"$\frac$")
    assert tmp_path / "pareto.png" in write_reports(directory)
    assert r"$\frac$" in (tmp_path / "pareto.svg").read_text()


def test_a_missing_or_foreign_directory_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no finished sweep \(sweep.json is missing\)"):
        load_results(tmp_path)
    (tmp_path / "sweep.json").write_text("{")
    (tmp_path / "results.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="cannot be read"):
        load_results(tmp_path)
    for foreign in ("[]", "{}"):
        (tmp_path / "sweep.json").write_text(foreign)
        with pytest.raises(InputError, match=r"results.csv or sweep.json is not of a sweep"):
            load_results(tmp_path)


def test_the_command_prints_what_it_wrote(tmp_path: Path) -> None:
    some(tmp_path)
    answer = CliRunner().invoke(reports.__main__.app, ["sweep", str(tmp_path)])
    assert answer.exit_code == 0, answer.output
    assert str(tmp_path / "memory.svg") in answer.output.replace("\n", "")
