"""Training: networks learn, runs repeat, resume and stop; predictions are those of clips alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fxp.errors import InputError
from fxp.spec import ArchSpec
from stgcn_ref.datasets.clips import held
from stgcn_ref.evaluate import evaluate, predict
from stgcn_ref.metrics import score
from stgcn_ref.models.build import build
from stgcn_ref.recipe import Augmentation
from stgcn_ref.train import Run, train
from tests.training import ARCH, RECIPE, changed, cloned, same, toy

torch.set_num_threads(1)


def test_training_learns_and_reports() -> None:
    seen: list[tuple[int, int]] = []
    epochs: list[int] = []
    run = train(
        ARCH,
        toy(1),
        toy(2),
        changed(RECIPE, epochs=12),
        seed=0,
        on_step=lambda step, steps: seen.append((step, steps)),
        on_epoch=lambda r: epochs.append(r.done),
    )
    assert run.best_scores.frame_accuracy > 90
    assert epochs == list(range(1, 13))
    assert seen[0] == (1, seen[0][1]) and all(step <= steps for step, steps in seen)
    net = run.kept()
    assert not net.training
    assert evaluate(net, toy(2)) == run.best_scores
    mean = np.concatenate([c.x for c in toy(1).clips]).mean(axis=0)  # (C, V)
    np.testing.assert_allclose(
        net.input_norm.running_mean.numpy().reshape(6, 6),
        mean.T,
        rtol=1e-5,  # type: ignore[union-attr]
    )


def test_the_same_seed_gives_the_same_weights_and_another_one_others() -> None:
    def trained(seed: int) -> dict[str, torch.Tensor]:
        return train(ARCH, toy(1), toy(2), RECIPE, seed).kept().state_dict()

    first = trained(0)
    torch.manual_seed(99)
    assert same(first, trained(0))
    assert not same(first, trained(1))


@pytest.mark.parametrize("stop", [1, 2])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_resumed_training_ends_as_an_undisturbed_one(stop: int, ema: float) -> None:
    recipe = changed(RECIPE, ema=ema)
    data = toy(1), toy(2)

    states = []

    def kill(run: Run) -> None:
        states.append({key: cloned(value) for key, value in run.state().items()})
        if run.done == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(ARCH, *data, recipe, seed=3, on_epoch=kill)
    resumed = train(ARCH, *data, recipe, seed=3, state=states[-1])
    whole = train(ARCH, *data, recipe, seed=3)
    assert resumed.history == whole.history
    assert same(resumed.kept().state_dict(), whole.kept().state_dict())


def test_training_stops_once_nothing_gets_better() -> None:
    recipe = changed(RECIPE, epochs=60, patience=3, metric="frame_accuracy")
    run = train(ARCH, toy(1), toy(2), recipe, seed=0)
    assert run.done < 60
    assert run.done == run.best_epoch + 1 + 3
    accuracies = [e.scores.frame_accuracy for e in run.history if e.scores is not None]
    assert accuracies.index(max(accuracies)) == run.best_epoch


def test_validation_starts_where_the_recipe_says() -> None:
    run = train(ARCH, toy(1), toy(2), changed(RECIPE, epochs=4, select_from=0.75), seed=0)
    assert [e.scores is None for e in run.history] == [True, True, False, False]
    assert run.best_epoch in (2, 3)


def test_predictions_are_those_of_every_clip_alone() -> None:
    ds = toy(4, lengths=(30, 200, 1, 77), hold=3)
    torch.manual_seed(0)
    net = build(ARCH)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    found = predict(net, ds)
    assert net.training and same(before, net.state_dict())
    net.eval()
    for clip, labels in zip(ds.clips, found, strict=True):
        state = net.stream_state()
        frames = torch.from_numpy(clip.x).float()
        with torch.no_grad():
            alone = [int(net.step(frame[None], state).argmax()) for frame in frames]
        assert labels.tolist() == alone
    expected = score(
        [held(c, y) for c, y in zip(ds.clips, found, strict=True)],
        [c.frame_labels for c in ds.clips],
    )
    assert evaluate(net, ds) == expected


def test_thread_count_is_left_alone() -> None:
    torch.set_num_threads(2)
    try:
        train(ARCH, toy(1), toy(2), changed(RECIPE, epochs=1), seed=0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"classes": 4}, "`classes` of the network is 4, of the data 3"),
        ({"in_channels": 5}, "`in_channels` of the network is 5, of the data 6"),
        ({"skeleton": "ntu"}, "`skeleton` of the network is ntu, of the data hugadb"),
    ],
)
def test_network_and_data_must_fit(over: dict[str, object], message: str) -> None:
    arch = ArchSpec.model_validate(ARCH.model_dump() | over)
    with pytest.raises(InputError, match=message):
        train(arch, toy(1), toy(2), RECIPE, seed=0)


def test_turned_vectors_must_exist() -> None:
    recipe = changed(RECIPE, augmentation=Augmentation(vectors=3, rotation_deg=5))
    with pytest.raises(InputError, match="`vectors`: 3 triples need 9 channels, the data has 6"):
        train(ARCH, toy(1), toy(2), recipe, seed=0)


def test_divergence_is_named() -> None:
    with pytest.raises(InputError, match=r"loss is (nan|inf) in epoch \d: lower `lr`"):
        train(ARCH, toy(1), toy(2), changed(RECIPE, lr=1e30), seed=0)
