"""The steps of an evaluation: what they measure, what they refuse, what they leave behind."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from dse.axes import load_space
from dse.data import data_hash, load_data
from dse.evaluate import (
    CALIBRATION_CLIPS,
    Context,
    build,
    evaluate_design,
    float_file,
    labels_file,
    make_context,
    network_file,
    price,
    scores,
    train_topology,
)
from dse.metrics import COSTS, REFUSED
from dse.points import Design, Point, expand
from dse.quants import Quant
from fxp.floatnet import load_floatnet
from fxp.oracle import evaluate as define
from fxp.ptq.quantise import quantise
from fxp.simulate import compile_graph, predict
from fxp.spec import QuantSpec, Repair
from fxp.store import graph_hash, load_arrays, load_graph
from hw_model.accelerator import load_accelerator
from stgcn_ref.datasets.clips import Clip, Dataset
from stgcn_ref.metrics import argmax_agreement
from tests.sweeping import COST_SPACE, TRAINED_SPACE, write_space

CLASSES = ("standing", "walking", "up_by_elevator", "down_by_elevator")


def recordings(labels: list[list[int]], hold: int, classes: tuple[str, ...]) -> Dataset:
    """Clips with these labels of original frames; the words do not matter."""
    clips = []
    for index, frames in enumerate(labels):
        steps = len(frames) // hold
        at_steps = np.array(frames[: steps * hold : hold], dtype=np.int64)
        words = np.zeros((steps, 1, 1), dtype=np.int32)
        clips.append(Clip(f"c{index}", 1, words, at_steps, np.array(frames), hold))
    return Dataset("made up", "hugadb", classes, 20.0, tuple(clips), synthetic=True)


def test_predictions_are_held_to_the_original_frames() -> None:
    data = recordings([[0, 0, 0, 1, 1, 1, 1, 0]], 3, CLASSES[:2])
    # two steps cover six frames; the tail of two frames keeps the last prediction
    assert scores(data, [np.array([0, 1])])["frame_accuracy"] == 100 * 7 / 8
    assert scores(data, [np.array([1, 0])])["frame_accuracy"] == 100 * 1 / 8
    assert set(scores(data, [np.array([0, 1])])) == {
        "frame_accuracy",
        "f1_10",
        "f1_25",
        "f1_50",
        "edit",
    }


def test_elevators_also_count_as_standing_where_there_are_any() -> None:
    data = recordings([[0, 0, 2, 2], [3, 3, 1, 1]], 1, CLASSES)
    found = scores(data, [np.array([0, 0, 0, 0]), np.array([0, 0, 1, 0])])
    assert found["frame_accuracy"] == 100 * 3 / 8
    assert found["elevator_frame_accuracy"] == 100 * 7 / 8
    assert found["elevator_f1_10"] == pytest.approx(100 * 2 * 3 / (2 * 3 + 1))
    assert found["elevator_edit"] == pytest.approx((100 + 100 * (1 - 1 / 3)) / 2)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Context, tuple[Point, ...]]:
    """A context in which the first topology of the trained space is trained."""
    folder = tmp_path_factory.mktemp("evaluate")
    for name in ("topologies", "networks"):
        (folder / name).mkdir()
    axes = load_space(write_space(folder, TRAINED_SPACE))
    data = load_data(axes.space, axes.source, None)
    points = expand(axes, data_hash(data))
    context = make_context(folder, folder / "checkpoints", data)
    found = train_topology(context, points[0].design.topology, ["affine", "weights"])
    assert 0 <= found["float_frame_accuracy"] <= 100
    return context, points


def variant(design: Design, **changes: object) -> Design:
    """The same topology with another quantisation."""
    spec = QuantSpec.model_validate(changes)
    name = "-".join(map(str, changes.values()))
    return Design(f"key-{name}", design.topology, Quant(name, spec, name), design.params)


def test_training_leaves_networks_of_both_folds_and_labels(
    place: tuple[Context, tuple[Point, ...]],
) -> None:
    context, points = place
    topology = points[0].design.topology
    for fold in ("weights", "affine"):
        net = load_floatnet(float_file(context.directory, topology.key, fold))  # type: ignore[arg-type]
        assert net.meta["fold"] == fold
        assert (net.meta["synthetic"], net.meta["seed"]) == (True, 0)
        assert net.meta["preparation"]["frames_per_step"] == 3
        assert net.arch == topology.arch
    assert context.data is not None
    _, arrays = load_arrays(labels_file(context.directory, topology.key), "float-labels")
    valid = context.data.scored
    assert [len(arrays[f"clip{i}"]) for i in range(len(valid.clips))] == [
        len(clip.x) for clip in valid.clips
    ]
    (checkpoint,) = (context.directory / "checkpoints").glob("*.ckpt")
    before = checkpoint.stat().st_mtime_ns
    train_topology(context, topology, ["weights"])
    assert checkpoint.stat().st_mtime_ns == before  # found, not trained again


def test_scores_are_those_of_the_definition(place: tuple[Context, tuple[Point, ...]]) -> None:
    context, points = place
    design = points[0].design
    found = evaluate_design(context, design)
    graph = load_graph(network_file(context.directory, design.key))
    assert graph_hash(graph) == found["graph_hash"]
    assert graph.meta["measured"]["edit"] == found["edit"]
    assert context.data is not None
    valid = context.data.scored
    labels = [
        np.array(define(graph, clip.x.astype(np.int64))["label"])[:, 0, 0] for clip in valid.clips
    ]
    by_definition = scores(valid, labels)
    assert {name: found[name] for name in by_definition} == by_definition
    _, floats = load_arrays(labels_file(context.directory, design.topology.key), "float-labels")
    same = [floats[f"clip{i}"] == steps for i, steps in enumerate(labels)]
    agreeing = np.concatenate(same)
    assert found["argmax_agreement"] == 100 * int(agreeing.sum()) / len(agreeing)


def test_wide_integers_agree_with_the_float_network(
    place: tuple[Context, tuple[Point, ...]],
) -> None:
    """On the recordings that calibrated them: others may reach further and saturate."""
    from stgcn_ref.checkpoints import load_checkpoint
    from stgcn_ref.evaluate import predict as predict_float

    context, points = place
    assert context.data is not None
    train = context.data.train
    (checkpoint,) = (context.directory / "checkpoints").glob("*.ckpt")
    floats = predict_float(load_checkpoint(checkpoint), train)
    found = {}
    for bits in (3, 16):
        design = variant(points[0].design, weight_bits=bits, activation_bits=bits)
        plan = compile_graph(build(context, design))
        found[bits] = argmax_agreement([predict(plan, clip.x) for clip in train.clips], floats)
    assert found[16] >= 99
    assert found[3] < found[16]


def test_a_design_that_cannot_be_built_says_why(place: tuple[Context, tuple[Point, ...]]) -> None:
    context, points = place
    narrow = variant(points[0].design, accumulator_bits=12)
    found = evaluate_design(context, narrow)
    assert set(found) == {REFUSED}
    assert "input_norm" in found[REFUSED] and "12" in found[REFUSED]
    assert not network_file(context.directory, narrow.key).exists()
    small = evaluate_design(context, variant(points[0].design, input_bits=8))
    assert "more than the `input_bits` 8 hold" in small[REFUSED]


def test_folds_are_exported_and_built_apart(place: tuple[Context, tuple[Point, ...]]) -> None:
    context, points = place
    graphs = [
        build(context, variant(points[0].design, fold=fold)) for fold in ("weights", "affine")
    ]
    assert graph_hash(graphs[0]) != graph_hash(graphs[1])


def test_a_repaired_design_is_mended_on_training_recordings(
    place: tuple[Context, tuple[Point, ...]],
) -> None:
    context, points = place
    assert context.data is not None
    design = points[0].design
    wanted = Repair(rounding="gptq", bias=True)
    found = build(context, variant(design, weight_bits=4, repair=wanted))
    spec = design.quant.spec.model_copy(update={"weight_bits": 4, "repair": wanted})
    net = load_floatnet(float_file(context.directory, design.topology.key, spec.fold))
    words = [clip.x.astype(np.int64) for clip in context.data.train.clips]
    assert len(words) <= CALIBRATION_CLIPS
    assert graph_hash(found) == graph_hash(quantise(net, spec, words))
    assert graph_hash(found) != graph_hash(build(context, variant(design, weight_bits=4)))


def test_prices_are_of_the_kept_network_and_need_its_speed(
    place: tuple[Context, tuple[Point, ...]],
) -> None:
    context, points = place
    design = points[0].design
    evaluate_design(context, design)
    fast = load_accelerator("zu7ev")
    slow = fast.model_copy(update={"clock_hz": 1000.0})
    small_memory = fast.memory.model_copy(update={"capacity_bits": 64, "stream_buffer_bits": 0})
    small = fast.model_copy(update={"memory": small_memory, "dram": None})
    found = price(context, design, [("fast", fast), ("slow", slow), ("small", small)])
    assert set(found["fast"]) == set(COSTS)
    assert "frames/s are computed, 20 come in" in found["slow"][REFUSED]
    assert REFUSED in found["small"]
    whole = found["fast"]
    parts = ("memory_weights_bits", "memory_state_bits", "memory_activations_bits")
    assert sum(int(whole[name]) for name in parts) == whole["memory_bits"]


def test_cost_alone_needs_no_training_and_counts_the_same_work(
    tmp_path: Path, place: tuple[Context, tuple[Point, ...]]
) -> None:
    context, points = place
    design = points[0].design
    evaluate_design(context, design)
    measured = price(context, design, [("it", load_accelerator("zu7ev"))])["it"]
    space = {**COST_SPACE, "network": TRAINED_SPACE["network"], "quant": TRAINED_SPACE["quant"]}
    bare = expand(load_space(write_space(tmp_path, space)), "")[0].design
    (tmp_path / "networks").mkdir()
    alone = Context(tmp_path, tmp_path, None)
    assert set(evaluate_design(alone, bare)) == {"graph_hash"}
    counted = price(alone, bare, [("it", load_accelerator("zu7ev"))])["it"]
    same = ("macs", "memory_state_bits", "memory_activations_bits", "interval_cycles")
    assert {name: counted[name] for name in same} == {name: measured[name] for name in same}


def test_a_context_keeps_libraries_at_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    make_context(tmp_path, tmp_path, None)
    assert os.environ["OMP_NUM_THREADS"] == "1"
