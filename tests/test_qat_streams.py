"""The search of residual streams: which casts are one stream, and that they move together."""

from __future__ import annotations

import numpy as np
import pytest

from fxp.calibrate import Formats, calibrate
from fxp.floatnet import FloatNet
from fxp.ir import Graph, Requantise
from fxp.lower import lower
from fxp.ptq.search import binary_points, search_streams, streams
from fxp.spec import ArchSpec, QuantSpec
from stgcn_ref.datasets.clips import spread
from stgcn_ref.export import export
from stgcn_ref.judge import label_judge, others
from stgcn_ref.qat.beginning import STREAM_CLIPS, begin
from stgcn_ref.qat.recipe import QatRecipe
from tests.networks import (
    random_floatnet,
    random_model,
    small_arch,
    small_msgcn,
    small_tcn,
)
from tests.qat_toys import COARSE, RECIPE, learnt, toy

TRAIN = toy(1)


@pytest.mark.parametrize(
    ("arch", "expected"),
    [
        (small_arch(), ["block0.add.q", "block1.add.q block1.add.stream block2.add.q"]),
        (
            small_msgcn(channels=(4, 4, 4), dilation=1),
            [
                "block0.add.q block0.add.stream block1.add.q block1.add.stream block2.add.q",
                *(
                    " ".join(f"stage{s}.layer{i}.add.{kind}" for i, kind in layers)
                    for s in (1, 2)
                    for layers in [((0, "q"), (0, "stream"), (1, "q"), (1, "stream"), (2, "q"))]
                ),
            ],
        ),
        (small_tcn(), ["block0.add.q block0.add.stream", "block1.add.stream block2.add.stream"]),
    ],
    ids=["rtstgcn", "msgcn", "tcn"],
)
def test_streams(arch: ArchSpec, expected: list[str]) -> None:
    assert [" ".join(names) for names in streams(random_floatnet(arch, 0))] == expected


def small() -> tuple[FloatNet, Formats]:
    arch = small_msgcn()
    net = export(random_model(arch), arch, TRAIN.clips)
    return net, calibrate(net, QuantSpec(stream_bits=10))


def points_in(graph: Graph) -> dict[str, int]:
    return {n.name: n.cast.to.frac_bits for n in graph.nodes if isinstance(n, Requantise)}


@pytest.mark.parametrize("by", [-2, 0, 3])
def test_a_stream_moves_as_one_as_long_as_the_loss_falls(by: int) -> None:
    net, formats = small()
    start = binary_points(formats)
    tried = []

    def loss(graph: Graph) -> float:
        points = points_in(graph)
        tried.append({key: points[key] - start[key][0] for key in points})
        one = abs(points["stage1.layer0.add.q"] - start["stage1.layer0.add.q"][0] - by)
        return one + 2 * abs(points["block1.add.q"] - start["block1.add.q"][0])

    found = search_streams(net, formats, loss, sweeps=3)
    assert (found.before, found.after, found.moves) == (abs(by), 0, abs(by))
    ends = binary_points(found.formats)
    stage1 = set(streams(net)[1])
    for key, point in start.items():
        assert ends[key] == tuple(f + by * (key in stage1) for f in point), key
    for change in tried:
        for names in streams(net):
            assert len({change[name] for name in names}) == 1


def test_it_begins_by_the_labels_of_recordings_that_were_not_calibrated_on() -> None:
    net, calibration = learnt(), TRAIN.clips[:1]
    found = {
        sweeps: begin(net, COARSE, TRAIN, calibration, recipe(sweeps)).prepared for sweeps in (0, 2)
    }
    unseen = spread(others(TRAIN.clips, calibration), STREAM_CLIPS)
    judge = label_judge(net, COARSE.input_bits, unseen)
    loss = {k: judge(lower(each.net, each.formats)) for k, each in found.items()}
    assert found[0].formats == calibrate(net, COARSE)
    searched = search_streams(net, found[0].formats, judge, 2)
    assert found[2].formats == searched.formats and loss[2] == searched.after <= loss[0]
    assert all(np.array_equal(found[2].net.params[k], v) for k, v in net.params.items())


def recipe(sweeps: int) -> QatRecipe:
    return QatRecipe.model_validate(RECIPE.model_dump() | {"search_streams": sweeps})
