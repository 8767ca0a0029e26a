"""The search of binary points: it never loses, and ends where no single move helps."""

from __future__ import annotations

import numpy as np
import pytest

from fxp.calibrate import calibrate
from fxp.errors import FormatError, GraphError
from fxp.lower import lower
from fxp.ptq.search import (
    binary_points,
    divergence_of,
    moved,
    search_formats,
    with_points,
)
from stgcn_ref.qat.teacher import taught
from tests.qat_toys import COARSE, learnt, toy

CLIPS = [toy(1, (40, 30)).clips[i].x for i in range(2)]


def test_points_are_read_and_written() -> None:
    formats = calibrate(learnt(), COARSE)
    points = binary_points(formats)
    assert points.keys() == formats.casts.keys() | formats.weights.keys()
    assert with_points(formats, points) == formats
    other = moved(formats, "block0.conv.weight", 2)
    assert other.weights["block0.conv.weight"][1][0] == points["block0.conv.weight"][0] + 2
    assert moved(other, "block0.conv.weight", -2) == formats
    assert moved(formats, "pool.q", -1).casts["pool.q"].to.frac_bits == points["pool.q"][0] - 1


def test_it_ends_where_no_move_helps() -> None:
    net = learnt()
    wanted = taught(net, CLIPS)
    formats = calibrate(net, COARSE)
    found = search_formats(net, formats, CLIPS, wanted, sweeps=9)
    assert found.before == divergence_of(lower(net, formats), CLIPS, wanted)
    assert found.after == divergence_of(lower(net, found.formats), CLIPS, wanted) < found.before
    assert found.moves > 0
    for key in binary_points(formats):
        if (net.params.get(key, np.zeros(1)) == 1.0).all():
            assert found.formats.weights[key] == formats.weights[key]  # a power of two stays one
            continue
        for step in (1, -1):
            try:
                graph = lower(net, moved(found.formats, key, step))
                assert divergence_of(graph, CLIPS, wanted) >= found.after
            except (FormatError, GraphError):
                continue


def test_it_repairs_a_point_that_is_far_off() -> None:
    net = learnt()
    wanted = taught(net, CLIPS)
    right = calibrate(net, COARSE)
    wrong = moved(right, "pool.q", 2)  # it saturates
    found = search_formats(net, wrong, CLIPS, wanted, sweeps=1)
    assert found.after <= divergence_of(lower(net, right), CLIPS, wanted) < found.before / 2


def test_watched_tensor_by_tensor() -> None:
    told: list[str] = []
    net = learnt()
    formats = calibrate(net, COARSE)
    search_formats(net, formats, CLIPS, taught(net, CLIPS), 1, lambda name, _: told.append(name))
    assert told[0] == "input_norm.scale" and told[-1] == "logits"
    assert len(told) == len(set(told)) == 14


def test_formats_that_cannot_run_are_refused() -> None:
    net = learnt()
    narrow = COARSE.model_copy(update={"accumulator_bits": 9})
    with pytest.raises(GraphError, match="`accumulator_bits` is 9"):
        search_formats(net, calibrate(net, narrow), CLIPS, taught(net, CLIPS))
