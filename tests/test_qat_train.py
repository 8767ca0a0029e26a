"""Training of integer networks: they come nearer to the float one, repeat, resume, are deployed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from fxp.accumulators import accumulators, by_layer
from fxp.calibrate import calibrate
from fxp.errors import GraphError, InputError
from fxp.floatnet import FloatNet
from fxp.lower import lower
from fxp.ptq.search import divergence_of
from fxp.ranges import certify
from fxp.simulate import compile_graph, run
from fxp.spec import QuantSpec
from fxp.store import graph_hash
from stgcn_ref.export import export
from stgcn_ref.judge import label_loss
from stgcn_ref.qat.interpreter import evaluate
from stgcn_ref.qat.lesson import divergence
from stgcn_ref.qat.recipe import QatRecipe
from stgcn_ref.qat.run import Run
from stgcn_ref.qat.teacher import taught, teacher_of
from stgcn_ref.qat.train import train_quantised
from stgcn_ref.qat.words import as_clips
from stgcn_ref.scoring import predict_integers
from tests.networks import VARIANTS, clip, random_model, small_arch, small_stgcn
from tests.qat_toys import COARSE, RECIPE, learnt, toy

TRAIN, VALID = toy(1), toy(2)


def trained(recipe: QatRecipe = RECIPE, seed: int = 0, **more: Any) -> Run:
    net = learnt()
    return train_quantised(net, calibrate(net, COARSE), TRAIN, VALID, recipe, seed, **more)


def changed(**over: object) -> QatRecipe:
    return QatRecipe.model_validate(RECIPE.model_dump() | over)


def test_it_answers_more_like_the_float_network() -> None:
    net = learnt()
    clips = [c.x for c in VALID.clips]
    formats = calibrate(net, COARSE)
    done = trained(changed(epochs=8, lr=0.03, ema=0))
    before, after = (
        divergence_of(lower(floats, formats), clips, taught(net, clips))
        for floats in (net, done.floats(done.average.masters))
    )
    assert after < 0.8 * before


def test_what_was_trained_is_what_is_deployed() -> None:
    done = trained(changed(select_from=0.5))
    graph = done.kept("toy")
    certify(graph)
    words = VALID.clips[0].x
    found = evaluate(
        graph, torch.from_numpy(words.transpose(0, 2, 1).copy())[None], done.best.masters
    )
    taps = [node.name for node in graph.nodes]
    simulated, _ = run(compile_graph(graph), words, taps=taps)
    for name in taps:
        assert np.array_equal(as_clips(found[name])[0], simulated[name]), name
    assert graph.name == "toy" and done.history[done.best_epoch].scores == done.best_scores


def test_a_training_that_brings_nothing_keeps_the_network_before_it() -> None:
    ruined = trained(changed(lr=3.0, epochs=2, select_by="divergence"))
    assert ruined.best_epoch == -1 and ruined.best_scores is not None
    clips = [c.x for c in VALID.clips]
    assert ruined.best_merit == -divergence_of(ruined.kept(), clips, taught(learnt(), clips))
    for epoch in ruined.history:
        assert epoch.scores is not None and epoch.scores.f1_50 < ruined.best_scores.f1_50
    net = learnt()
    assert graph_hash(ruined.kept()) == graph_hash(lower(net, calibrate(net, COARSE)))
    by_labels = trained(changed(lr=3.0, epochs=2))
    wanted = [logits.argmax(axis=1) for logits in taught(learnt(), clips)]
    assert by_labels.best_epoch == -1
    found = predict_integers(by_labels.kept(), VALID)
    assert by_labels.best_merit == -label_loss(found, wanted)
    by_scores = trained(changed(lr=3.0, epochs=2, select_by="metric"))
    assert by_scores.best_epoch == -1 and by_scores.best_merit > 0
    last = trained(changed(lr=3.0, epochs=2, select_from=1))
    assert last.best_epoch == 1


def test_same_seed_same_words_and_resumed_runs_too() -> None:
    states: list[dict[str, Any]] = []
    whole = trained(on_epoch=lambda r: states.append(torch_copy(r.state())))
    again = trained()
    resumed = trained(state=states[0])
    other = trained(seed=1)
    for key, value in whole.now.masters.items():
        assert torch.equal(value, again.now.masters[key])
        assert torch.equal(value, resumed.now.masters[key])
    assert whole.history == again.history == resumed.history
    key = "block0.conv.weight"
    assert not torch.equal(whole.best.masters[key], other.best.masters[key])


def torch_copy(state: dict[str, Any]) -> dict[str, Any]:
    """As if saved and loaded."""
    copied: dict[str, Any] = {
        key: torch_copy(value)
        if isinstance(value, dict)
        else value.clone()
        if isinstance(value, torch.Tensor)
        else value
        for key, value in state.items()
    }
    return copied


def test_what_costs_no_multiplier_stays_free() -> None:
    net, done = learnt(), trained()
    for key, value in done.best.masters.items():
        before = net.params[key]
        if key.endswith("norm.scale") and key != "input_norm.scale":
            assert (value.numpy() == 1.0).all() and (before == 1.0).all()
        if key.endswith("adjacency"):
            assert ((value.numpy() != 0) <= (before != 0)).all()
            assert not np.array_equal(value.numpy(), before)


def test_weights_stay_within_their_formats() -> None:
    done = trained(changed(lr=0.3))
    for key, (word_bits, frac_bits) in done.formats.weights.items():
        scaled = done.now.masters[key].detach().numpy() * 2.0 ** frac_bits[0]
        assert scaled.min() >= -(1 << (word_bits - 1))
        assert scaled.max() <= (1 << (word_bits - 1)) - 1


def test_divergence_is_that_of_the_counted_frames() -> None:
    rng = torch.Generator().manual_seed(0)
    logits, wanted = (torch.randn(2, 5, 7, generator=rng) for _ in range(2))
    counted = torch.rand(2, 7, generator=rng) < 0.6
    found = divergence(logits, wanted, counted, 2.0)
    pairs = [(x / 2).log_softmax(dim=1).transpose(1, 2)[counted] for x in (logits, wanted)]
    expected = 4 * F.kl_div(*pairs, log_target=True, reduction="sum")
    assert torch.allclose(found, expected)
    assert divergence(wanted, wanted, counted, 1.0) == 0
    assert divergence(logits, wanted, torch.zeros_like(counted), 1.0) == 0


@pytest.mark.parametrize("distillation", [0.0, 0.5])
def test_labels_teach_too(distillation: float) -> None:
    done = trained(changed(distillation=distillation, epochs=2))
    assert done.best_scores is not None and done.best_scores.frame_accuracy > 60
    assert done.history[1].loss < done.history[0].loss


def test_networks_of_whole_clips_are_refused() -> None:
    arch = small_stgcn(classes=3, persons=1)
    floats = export(random_model(arch), arch, [clip(arch, 40, 0)])
    with pytest.raises(InputError, match=r"gives one label a clip"):
        train_quantised(floats, calibrate(floats, COARSE), TRAIN, VALID, RECIPE, 0)
    with pytest.raises(InputError, match=r"family stgcn: one class for a whole clip"):
        teacher_of(floats)


@pytest.mark.parametrize("family", ["costgcn", "tcn"])
def test_networks_that_look_ahead(family: str) -> None:
    arch = VARIANTS[family].model_copy(update={"classes": 3})
    floats = export(random_model(arch), arch, [clip(arch, 90, 0)])
    formats = calibrate(floats, QuantSpec(weight_bits=4, activation_bits=6))
    recipe = changed(epochs=3, lr=0.02, ema=0, segment=60)
    done = train_quantised(floats, formats, TRAIN, VALID, recipe, 0)
    assert done.history[-1].loss < done.history[0].loss


def test_refused_data_and_rates() -> None:
    arch = small_arch(classes=4)
    floats = export(random_model(arch), arch, [clip(arch, 40, 0)])
    with pytest.raises(InputError, match="`classes` of the network is 4, of the data 3"):
        train_quantised(floats, calibrate(floats, COARSE), TRAIN, VALID, RECIPE, 0)
    with pytest.raises(ValueError, match="dropout"):
        changed(dropout=0.1)
    with pytest.raises(ValueError, match="distillation"):
        changed(distillation=1.1)


def narrower() -> dict[str, int]:
    """A bit or more below what the calibrated toy needs, in layers that weights can narrow."""
    plain = by_layer(accumulators(lower(learnt(), calibrate(learnt(), COARSE))))
    bits = {layer.layer: layer.bits for layer in plain}
    names = {"input_norm": 2, "embedding": 1, "classifier": 1}
    return {name: bits[name] - less for name, less in names.items()}


def exceeding(net: FloatNet, run: Run) -> list[str]:
    """Accumulators that are wider than they may be."""
    found, targets = accumulators(lower(net, run.formats)), narrower()
    return [each.node for each in found if each.bits > targets.get(each.layer, 63)]


def test_the_kept_network_keeps_to_its_accumulators() -> None:
    free, bound = trained(changed(lr=0.1)), trained(changed(lr=0.1, accumulators=narrower()))

    assert exceeding(free.floats(free.best.masters), free)
    for masters in (bound.best.masters, bound.now.masters):
        assert exceeding(bound.floats(masters), bound) == []
    certify(bound.kept())
    assert bound.history[0].loss != free.history[0].loss


def test_averages_are_brought_within_before_they_are_judged() -> None:
    """Means of words that fit need not fit; here they are made not to."""
    recipe = changed(lr=0.1, accumulators=narrower(), ema=0.9999)
    states: list[dict[str, Any]] = []
    trained(recipe, on_epoch=lambda r: states.append(torch_copy(r.state())))
    unbound = {key: torch.from_numpy(3 * value) for key, value in learnt().params.items()}
    far = states[0] | {
        "average": {"masters": unbound, "points": {}},
        "steps": 10**6,
        "best_merit": -1e9,
    }
    bound = trained(recipe, state=far)
    assert exceeding(bound.floats(bound.average.masters), bound)
    assert bound.best_epoch > 0 and exceeding(bound.floats(bound.best.masters), bound) == []


def test_a_training_within_widths_resumes() -> None:
    recipe = changed(accumulators=narrower())
    states: list[dict[str, Any]] = []
    whole = trained(recipe, on_epoch=lambda r: states.append(torch_copy(r.state())))
    resumed = trained(recipe, state=states[0])
    assert graph_hash(whole.kept()) == graph_hash(resumed.kept())


def test_a_width_that_no_weights_reach_is_refused() -> None:
    with pytest.raises(GraphError, match=r"^node `pool`: .* whatever its weights"):
        trained(changed(accumulators={"pool": 10}))
