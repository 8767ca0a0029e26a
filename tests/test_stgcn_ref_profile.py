"""`python -m stgcn_ref profile`, on synthetic recordings."""

from __future__ import annotations

from pathlib import Path

import pytest

from fxp.calibrate import calibrate
from fxp.lower import lower
from fxp.profile_files import load_profile
from fxp.spec import QuantSpec
from fxp.store import save_graph
from stgcn_ref.checkpoints import save_checkpoint
from stgcn_ref.datasets.synthetic import generate_synthetic
from stgcn_ref.export import export
from stgcn_ref.preparation import PreparationSpec, prepare
from tests.networks import random_model, small_arch
from tests.test_stgcn_ref_cli import _call

ARCH = small_arch(classes=8)
STEPS = PreparationSpec(frames_per_step=6)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """An integer network with its preparation, and the checkpoint it comes from."""
    folder, model = tmp_path_factory.mktemp("made"), random_model(ARCH)
    ds = prepare(generate_synthetic(), STEPS)
    about = {"preparation": STEPS.model_dump(mode="json")}
    net = export(model, ARCH, ds.clips[:1], about)
    save_graph(lower(net, calibrate(net, QuantSpec(input_bits=19))), folder / "net.fxp")
    save_checkpoint(model, ARCH, folder / "net.ckpt", {"data": {"train": about}})
    return str(folder / "net.fxp"), str(folder / "net.ckpt")


def test_recordings_are_prepared_as_the_network_says(
    made: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    net, checkpoint = made
    out = tmp_path / "p.json"
    options = ("--reference", checkpoint, "--clips", "2", "--out", str(out))
    sensitivity = ("--sensitivity", "4", "--sensitivity-clips", "1")
    code, text, _ = _call(monkeypatch, capsys, "profile", net, *options, *sensitivity)
    assert code == 0
    found, changes = load_profile(out)
    clips = prepare(generate_synthetic(), STEPS).clips
    assert found.frames == len(clips[0].x) + len(clips[len(clips) // 2].x)
    assert (found.data, found.synthetic, found.clips) == ("synthetic-gait", True, 2)
    assert found.reference == "the float network"
    assert {change.frames for change in changes} == {len(clips[0].x)}
    assert f"clips 2, frames {found.frames}" in text
    weights = {tensor.name: tensor.relative_error for tensor in found.constants}
    assert 0 < (weights["embedding.weight"] or 0) < 0.02  # 8 bits of the same numbers
    assert found.label_agreement is not None


def test_wrong_networks(
    made: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    net, checkpoint = made
    code, _, err = _call(monkeypatch, capsys, "profile", checkpoint)
    assert (code, "a float network; profiles are of integer networks" in err) == (2, True)
    code, _, err = _call(monkeypatch, capsys, "profile", net, "--reference", net)
    assert (code, "an integer network; the reference is a trained one" in err) == (2, True)
