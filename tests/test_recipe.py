"""Recipes: values out of range and unknown keys are refused in one line; the data is hashable."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fxp.errors import InputError
from fxp.spec import ArchSpec, load_spec, parse_spec
from stgcn_ref.preparation import PreparationSpec, word_bits
from stgcn_ref.recipe import Augmentation, TrainRecipe


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", 0),
        ("batch", 0),
        ("accumulate", 0),
        ("segment", 0),
        ("warmup", -1),
        ("warmup_limit", -1),
        ("lr", 0),
        ("lr_rise", 1.5),
        ("weight_decay", -1e-4),
        ("gradient_limit", 0),
        ("dropout", 1.0),
        ("smoothing", -0.1),
        ("smoothing_limit", 0),
        ("class_balance", 2),
        ("label_smoothing", 1),
        ("ema", 1.0),
        ("metric", "accuracy"),
        ("select_from", -0.5),
        ("patience", 0),
    ],
)
def test_out_of_range(key: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"^r\.yaml: key `{key}`: .*{value}'?$"):
        parse_spec(TrainRecipe, {key: value}, "r.yaml")


def test_unknown_keys_name_what_is_allowed() -> None:
    with pytest.raises(InputError, match=r"key `epoch` is unknown \(allowed here: epochs, batch"):
        parse_spec(TrainRecipe, {"epoch": 3}, "r.yaml")
    with pytest.raises(InputError, match=r"key `augmentation\.turn` is unknown"):
        parse_spec(TrainRecipe, {"augmentation": {"turn": 3}}, "r.yaml")


def test_gains_belong_to_vectors() -> None:
    with pytest.raises(InputError, match="`vector_scale` has 2 entries for 1 `vectors`"):
        parse_spec(TrainRecipe, {"augmentation": {"vectors": 1, "vector_scale": [0, 0.1]}}, "r")


def test_yaml_gives_the_same_value(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text("epochs: 3\naugmentation: {vectors: 2, rotation_deg: 15, vector_scale: [0, 1]}")
    recipe = load_spec(TrainRecipe, file)
    turned = Augmentation(vectors=2, rotation_deg=15.0, vector_scale=(0, 1))
    assert recipe == TrainRecipe(epochs=3, augmentation=turned)
    assert hash(recipe) == hash(TrainRecipe(epochs=3, augmentation=turned))


def test_the_example_files_are_valid_and_fit_each_other() -> None:
    folder = Path(__file__).parents[1] / "examples" / "recipes"
    recipe = load_spec(TrainRecipe, folder / "hugadb.yaml")
    steps = load_spec(PreparationSpec, folder / "hugadb-preparation.yaml")
    arch = load_spec(ArchSpec, folder / "hugadb-network.yaml")
    assert arch.in_channels == 6 + steps.magnitude + 2 * steps.lift
    assert 3 * recipe.augmentation.vectors <= arch.in_channels
    assert word_bits(steps) <= 16


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("rtstgcn", "rtstgcn"),
        ("rtstgcn-layernorm", "rtstgcn"),
        ("stgcn", "costgcn"),
        ("costgcn", "costgcn"),
        ("msgcn", "msgcn"),
        ("tcn", "tcn"),
    ],
)
def test_every_family_has_an_example_that_fits_the_preparation(name: str, family: str) -> None:
    folder = Path(__file__).parents[1] / "examples"
    recipe = load_spec(TrainRecipe, folder / "recipes" / f"hugadb-{name}.yaml")
    arch = load_spec(ArchSpec, folder / "networks" / f"hugadb-{name}.yaml")
    steps = load_spec(PreparationSpec, folder / "recipes" / "hugadb-preparation.yaml")
    assert arch.family == family
    assert arch.in_channels == 6 + steps.magnitude + 2 * steps.lift
    assert 3 * recipe.augmentation.vectors <= arch.in_channels


def test_no_torch_is_loaded() -> None:
    code = "import sys, stgcn_ref.recipe; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
