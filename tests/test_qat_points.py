"""Learnt binary points: their gradient, their rounding, and the integers that are trained."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fxp.calibrate import Formats, calibrate
from fxp.floatnet import FloatNet
from fxp.ir import IntArray
from fxp.lower import lower
from fxp.ptq.search import binary_points, divergence_of, moved, with_points
from fxp.qformat import Cast, QFormat
from fxp.simulate import compile_graph, run
from fxp.spec import QuantSpec
from fxp.store import graph_hash
from stgcn_ref.qat import train
from stgcn_ref.qat.casts import cast, constant
from stgcn_ref.qat.interpreter import evaluate
from stgcn_ref.qat.lesson import Learner, Lesson, batch_loss
from stgcn_ref.qat.points import formats_at, keep_near, points_of
from stgcn_ref.qat.recipe import QatRecipe
from stgcn_ref.qat.run import Run
from stgcn_ref.qat.teacher import taught
from stgcn_ref.qat.train import train_quantised
from stgcn_ref.qat.words import as_clips
from tests.qat_toys import COARSE, RECIPE, learnt, toy

TRAIN, VALID = toy(1), toy(2)
LEARNT = {"lr": 0.02}


def changed(**over: object) -> QatRecipe:
    return QatRecipe.model_validate(RECIPE.model_dump() | {"learn_binary_points": LEARNT} | over)


def trained(recipe: QatRecipe, formats: Formats | None = None, **more: Any) -> Run:
    net = learnt()
    return train_quantised(net, formats or calibrate(net, COARSE), TRAIN, VALID, recipe, 0, **more)


def point_gradient(x: list[float], bits: int, frac_bits: int, relu: bool) -> list[float]:
    """What each number alone gives, by the cast."""
    found = []
    for number in x:
        point = torch.tensor([float(frac_bits)], dtype=torch.float64, requires_grad=True)
        value = torch.tensor([number], dtype=torch.float64, requires_grad=True)
        to = Cast(QFormat(bits, frac_bits))
        cast(value, to, relu, point).sum().backward()  # type: ignore[no-untyped-call]
        assert point.grad is not None
        found.append(float(point.grad))
    return found


def test_gradient_of_a_cast_is_that_of_the_paper() -> None:
    # words -4 .. 3, so -2 .. 1.5 in halves
    x = [-9.0, -2.25, -1.1, -0.25, 0.0, 0.3, 1.6, 1.75, 8.0]
    y = [-2.0, -2.0, -1.0, 0.0, 0.0, 0.5, 1.5, 1.5, 1.5]
    rounded = [False, True, True, True, True, True, True, False, False]  # -2.25 is a tie
    expected = [
        -math.log(2) * (q - (r if inside else 0))
        for r, q, inside in zip(x, y, rounded, strict=True)
    ]
    assert point_gradient(x, 3, 1, relu=False) == pytest.approx(expected, abs=1e-15)
    above = [e if r > 0 else 0.0 for r, e in zip(x, expected, strict=True)]
    assert point_gradient(x, 3, 1, relu=True) == pytest.approx(above, abs=1e-15)


def test_gradient_of_a_constant_goes_to_its_own_channel() -> None:
    x = torch.tensor([[0.3, 9.0], [0.3, -0.2], [0.0, 0.0]], dtype=torch.float64)
    points = torch.tensor([0.0, 2.0, 1.0], dtype=torch.float64, requires_grad=True)
    constant(x, (0, 2, 1), 3, points).sum().backward()  # type: ignore[no-untyped-call]
    rows = [-(0.0 - 0.3) - 3.0, -(0.25 - 0.3) - (-0.25 + 0.2), 0.0]
    assert points.grad is not None
    assert points.grad.tolist() == pytest.approx([math.log(2) * row for row in rows], abs=1e-15)
    whole = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    constant(x, (1,), 3, whole).sum().backward()  # type: ignore[no-untyped-call]
    assert whole.grad is not None and whole.grad.shape == (1,)


@pytest.mark.parametrize(("start", "wanted"), [(0, 3), (6, 3)])
def test_a_point_finds_its_numbers(start: int, wanted: int) -> None:
    """Numbers up to two in four bits: two fractional ones make the least error."""
    x = torch.linspace(-1, 1, 999, dtype=torch.float64)
    point = torch.tensor([float(start)], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([point], lr=0.1)
    for _ in range(150):
        optimiser.zero_grad()
        to = Cast(QFormat(4, math.floor(point.item() + 0.5)))
        (cast(x, to, False, point) - x).square().mean().backward()
        optimiser.step()
    assert math.floor(point.item() + 0.5) == wanted


def test_points_are_rounded_and_kept_near() -> None:
    net = learnt()
    formats = calibrate(net, COARSE)
    points = points_of(net, formats)
    assert formats_at(formats, points) == formats == formats_at(formats, {})
    units = {key for key in formats.weights if (net.params[key] == 1.0).all()}
    assert units and points.keys() == binary_points(formats).keys() - units
    keys = ("block0.conv.q", "block0.conv.weight")
    for off, by in ((0.499, 0), (0.5, 1), (-0.5, 0), (-0.501, -1), (2.7, 3)):
        given = {key: points[key].detach() + off for key in keys}
        expected = moved(moved(formats, keys[0], by), keys[1], by)
        assert formats_at(formats, given) == expected
        keep_near(given, formats, 1.5)
        for key in keys:
            start = points[key].detach()
            assert torch.equal(given[key], start + min(max(off, -1.5), 1.5))


def frames(x: IntArray) -> torch.Tensor:
    return torch.from_numpy(x.transpose(0, 2, 1).copy())[None]


def check_words(net: FloatNet, formats: Formats, learner: Learner, x: IntArray) -> None:
    """Every value of what is trained against the simulator on what it would be lowered to."""
    params = {key: value.detach().numpy().copy() for key, value in learner.masters.items()}
    graph = lower(FloatNet(net.arch, params, {}, net.meta), formats_at(formats, learner.points))
    taps = [node.name for node in graph.nodes]
    assert taps == [node.name for node in learner.graph.nodes]
    expected, _ = run(compile_graph(graph), x, taps=taps)
    found = evaluate(learner.graph, frames(x), learner.masters, points=learner.points)
    for name in taps:
        assert np.array_equal(as_clips(found[name])[0], expected[name]), name


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_every_step_is_the_integer_network_also_where_points_moved(
    granularity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = learnt()
    quant = COARSE.model_dump() | {"weight_granularity": granularity}
    formats = calibrate(net, QuantSpec.model_validate(quant))
    changes = set()

    def checked(lesson: Lesson, learner: Learner, *rest: Any) -> torch.Tensor:
        check_words(net, formats, learner, VALID.clips[0].x[:40].astype(np.int64))
        found = formats_at(formats, learner.points)
        casts = sum(found.casts[name] != one for name, one in formats.casts.items())
        weights = sum(found.weights[key] != one for key, one in formats.weights.items())
        changes.add((casts, weights))
        return batch_loss(lesson, learner, *rest)

    monkeypatch.setattr(train, "batch_loss", checked)
    done = trained(changed(learn_binary_points={"lr": 0.3}, epochs=4, select_from=1), formats)
    assert len(changes) > 3 and max(casts for casts, _ in changes) > 2
    assert max(weights for _, weights in changes) > 2
    learner = Learner(done.kept(), done.best.masters, done.best.points)
    check_words(net, formats, learner, VALID.clips[0].x.astype(np.int64))
    assert done.formats_of(done.best) != formats


def test_wrong_points_are_learnt_back() -> None:
    net = learnt()
    start = calibrate(net, COARSE)
    wrong = {
        key: tuple(f + (2 if key in start.casts else -2) for f in point)
        for key, point in binary_points(start).items()
        if key in points_of(net, start) and "input_norm" not in key and key != "logits"
    }
    formats = with_points(start, binary_points(start) | wrong)
    clips = [c.x for c in VALID.clips]
    found = {}
    for name, learn in (("still", None), ("learnt", {"lr": 0.2, "until": 1})):
        recipe = changed(learn_binary_points=learn, epochs=8, lr=0.01, ema=0.5, select_from=1)
        graph = trained(recipe, formats).kept()
        found[name] = divergence_of(graph, clips, taught(net, clips))
    assert found["learnt"] < 0.8 * found["still"]


def test_points_repeat_and_resume() -> None:
    recipe = changed(learn_binary_points={"lr": 0.1})
    states: list[dict[str, Any]] = []
    whole = trained(recipe, on_epoch=lambda r: states.append(deepcopy(r.state())))
    resumed = trained(recipe, state=states[0])
    for key, value in whole.now.points.items():
        assert torch.equal(value, resumed.now.points[key])
    assert graph_hash(whole.kept()) == graph_hash(resumed.kept())
    start = points_of(learnt(), calibrate(learnt(), COARSE))
    assert any(not torch.equal(value, start[key]) for key, value in whole.now.points.items())


def test_points_stay_after_their_share_of_the_training() -> None:
    seen: list[list[float]] = []

    def look(run: Run) -> None:
        seen.append([float(value.detach().sum()) for value in run.now.points.values()])

    trained(changed(learn_binary_points={"lr": 0.1, "until": 0.5}, epochs=4), on_epoch=look)
    assert seen[0] != seen[1] == seen[2] == seen[3]


def test_points_and_widths_of_accumulators_are_refused_together() -> None:
    with pytest.raises(ValidationError, match="`learn_binary_points` does not go with"):
        changed(accumulators={"*": 16})
    with pytest.raises(ValidationError, match="learn_binary_points"):
        changed(learn_binary_points={"lr": 0})
