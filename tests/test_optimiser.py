"""The learning rate's path, and which parameters decay."""

from __future__ import annotations

import math

import pytest
from torch import nn

from fxp.spec import ArchSpec
from stgcn_ref.models.build import build
from stgcn_ref.models.temporal import TemporalConv
from stgcn_ref.optimiser import learning_rate, parameter_groups
from stgcn_ref.recipe import TrainRecipe
from tests.training import AHEAD, ARCH, CLIP_ARCH, LAYER_NORM, changed


@pytest.mark.parametrize("arch", [ARCH, LAYER_NORM, CLIP_ARCH, *AHEAD.values()])
def test_convolutions_decay_and_nothing_else(arch: ArchSpec) -> None:
    net = build(arch)
    decayed, other = parameter_groups(net, 0.1)
    assert (decayed["weight_decay"], other["weight_decay"]) == (0.1, 0.0)
    names = {id(value): name for name, value in net.named_parameters()}
    found = {names[id(value)] for value in decayed["params"]}
    modules = dict(net.named_modules())
    wanted = {
        f"{name}.weight"
        for name, module in modules.items()
        if isinstance(module, nn.Linear | TemporalConv)
    }
    assert found == wanted
    assert {names[id(value)] for value in other["params"]} == set(names.values()) - wanted
    assert any(name.endswith("norm.weight") for name in set(names.values()) - wanted)


def test_learning_rate_rises_and_falls() -> None:
    recipe = TrainRecipe(lr=1.0, lr_rise=0.1)
    assert learning_rate(recipe, 0.05) == pytest.approx(0.5)
    assert learning_rate(recipe, 0.1) == pytest.approx(1.0)
    assert learning_rate(recipe, 0.55) == pytest.approx(0.5)
    assert learning_rate(recipe, 1.0) == pytest.approx(0.0, abs=1e-12)
    assert math.isclose(learning_rate(changed(recipe, lr_rise=0.0), 0.0), 1.0)
