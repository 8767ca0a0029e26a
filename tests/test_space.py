"""Space files: what they expand to, and one clear line for every mistake."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dse.axes import Constraint, load_space
from dse.data import check_fit, data_hash, load_data
from dse.points import expand
from dse.quants import quant_label
from fxp.errors import InputError
from fxp.spec import QuantSpec

BASE: dict[str, Any] = {
    "data": {
        "kind": "synthetic",
        "generator": {"subjects": 3, "clips_per_subject": 1, "frames_per_clip": 60},
        "train": [1, 2],
        "valid": [3],
    },
    "network": {
        "base": {"skeleton": "hugadb", "in_channels": 6, "embedding": 4, "classes": 8},
        "channels": {"small": [4], "large": [4, 8]},
        "window": [3, 5],
    },
    "training": {"epochs": 1},
    "seeds": [0, 1],
    "quant": {"designs": [{"weight_bits": 8}, {"weight_bits": 4, "stream_bits": 12}]},
    "accelerators": ["pynq-z2", "zu7ev"],
    "objectives": {"frame_accuracy": "max", "energy_uj": "min"},
}
COST = {**BASE, "data": None, "training": None, "objectives": {"energy_uj": "min"}}


def changed(base: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A deep copy with one key set (or removed, with ...)."""
    copy: dict[str, Any] = yaml.safe_load(yaml.safe_dump(base, sort_keys=False))
    *folders, key = path.split(".")
    here = copy
    for folder in folders:
        here = here[folder]
    if value is ...:
        del here[key]
    else:
        here[key] = value
    return copy


def write(tmp_path: Path, content: dict[str, Any]) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_the_grid_is_the_product_of_the_axes(tmp_path: Path) -> None:
    axes = load_space(write(tmp_path, BASE))
    assert axes.name == "space"
    assert axes.size == 4 * 2 * 2 * 2
    assert [network.params["window"] for network in axes.networks] == ["3", "5", "3", "5"]
    assert [network.arch.channels for network in axes.networks] == [(4,), (4,), (4, 8), (4, 8)]
    assert [quant.label for quant in axes.quants] == ["w8a8", "w4a8s12"]
    points = expand(axes, "hash")
    assert len(points) == len({point.key for point in points}) == 32
    assert len({point.design.topology.key for point in points}) == 8
    assert len({point.design.key for point in points}) == 16
    assert points[0].params["seed"] == 0 and points[-1].params["accelerator"] == "zu7ev"


def test_axes_multiply_designs_and_depth_cuts_plans(tmp_path: Path) -> None:
    space = changed(BASE, "quant.axes", {"rounding": ["RND", "TRN"], "calibrator": ["max", "mse"]})
    space = changed(space, "network.channels", {"deep": [4, 8, 8]})
    space = changed(space, "network.depth", [1, 3])
    space = changed(space, "network.window", [[3], 5])
    axes = load_space(write(tmp_path, space))
    assert [quant.label for quant in axes.quants] == [
        "w8a8 max",
        "w8a8",
        "w8a8 TRN max",
        "w8a8 TRN",
        "w4a8s12 max",
        "w4a8s12",
        "w4a8s12 TRN max",
        "w4a8s12 TRN",
    ]
    assert [network.params["depth"] for network in axes.networks] == [1, 1, 3, 3]
    assert axes.networks[2].arch.window == (3, 3, 3)


def test_a_design_may_have_a_name(tmp_path: Path) -> None:
    designs = [{"name": "tiny", "weight_bits": 4, "layers": {"classifier": {"weight_bits": 8}}}, {}]
    space = changed(BASE, "quant.designs", designs)
    assert [q.label for q in load_space(write(tmp_path, space)).quants] == ["tiny", "w8a8"]
    space = changed(space, "quant.axes", {"rounding": ["RND", "TRN"]})
    assert [q.label for q in load_space(write(tmp_path, space)).quants][:2] == [
        "tiny w4a8 classifier:w8",
        "tiny w4a8 TRN classifier:w8",
    ]


def test_a_label_names_what_differs_from_the_base() -> None:
    base = QuantSpec()
    layers = {"classifier": {"weight_bits": 16, "activation_bits": 12}}
    spec = QuantSpec.model_validate({"unsigned_relu": True, "input_bits": 18, "layers": layers})
    assert quant_label(base, base) == "w8a8"
    assert quant_label(spec, base) == "w8a8 input18 unsigned_reluTrue classifier:w16a12"


def test_a_label_names_the_repair() -> None:
    base = QuantSpec()
    mended = {"equalise": True, "search": 2, "rounding": "gptq", "bias": True}
    spec = QuantSpec.model_validate({"weight_bits": 4, "repair": mended})
    assert quant_label(spec, base) == "w4a8 equalise+search2+gptq+bias"
    assert quant_label(base, spec) == "w8a8 plain"
    tried = {"choose": True, "cast_roundings": ["RND", "RND_CONV"]}
    spec = QuantSpec.model_validate({"repair": tried})
    assert quant_label(spec, base) == "w8a8 best+rnd+rnd_conv"


def test_random_sampling_is_seeded_and_without_repetition(tmp_path: Path) -> None:
    def keys(seed: int, count: int = 10) -> list[str]:
        sampling = {"kind": "random", "count": count, "seed": seed}
        axes = load_space(write(tmp_path, changed(BASE, "sampling", sampling)))
        return [point.key for point in expand(axes, "hash")]

    grid = [point.key for point in expand(load_space(write(tmp_path, BASE)), "hash")]
    assert keys(1) == keys(1)
    assert keys(1) != keys(2)
    assert len(set(keys(1))) == 10
    assert set(keys(1)) <= set(grid)
    assert keys(3, count=32) == grid


def test_keys_follow_the_content(tmp_path: Path) -> None:
    def first(content: dict[str, Any], data: str = "hash") -> tuple[str, str, str]:
        point = expand(load_space(write(tmp_path, content)), data)[0]
        return point.design.topology.key, point.design.key, point.key

    topology, network, point = first(BASE)
    assert first(changed(BASE, "objectives", {"edit": "max"})) == (topology, network, point)
    assert first(changed(BASE, "constraints", ["energy_uj <= 1"])) == (topology, network, point)
    other = first(changed(BASE, "accelerators", ["zu7ev"]))
    assert other[:2] == (topology, network) and other[2] != point
    other = first(changed(BASE, "quant", {"base": {"weight_bits": 9}}))
    assert other[0] == topology and other[1] != network
    for key, value in (("training.epochs", 2), ("seeds", [5]), ("network.window", [4])):
        assert first(changed(BASE, key, value))[0] != topology
    assert first(BASE, data="other")[0] != topology


def test_constraints_hold_in_all_four_directions() -> None:
    held = [
        [Constraint("edit", operator, 2.0).holds(value) for value in (1.0, 2.0, 3.0)]  # type: ignore[arg-type]
        for operator in ("<=", ">=", "<", ">")
    ]
    assert held == [
        [True, True, False],
        [False, True, True],
        [True, False, False],
        [False, False, True],
    ]


STGCN = {"family": "stgcn", "skeleton": "hugadb", "in_channels": 6, "classes": 5}
MISTAKES = [
    ("network.windows", [3], "key `network.windows` is unknown"),
    ("colour", "red", "key `colour` is unknown"),
    ("network.base.skeleton", "spider", "unknown skeleton 'spider', allowed: "),
    ("network.base.embeding", 4, "key `embeding` is unknown"),
    ("network.base.window", 3, "key `network.base.window`: give it as `network.window`"),
    ("network.base", STGCN, "family stgcn names whole clips"),
    ("network.window", [3, 0], "greater than or equal to 1, got '0'"),
    ("network.window", [[3, 3]], "`window` needs 1 or 1 entries, got 2"),
    ("network.window", [], "key `network.window`: "),
    ("network.channels", {"small": [0]}, "key `network.channels.small.0`: "),
    ("network.depth", [2], "key `network.depth`: 2 layers of plan `small`, which has 1"),
    ("training.epochs", 0, "key `training.epochs`: "),
    ("training.lerning_rate", 0, "key `training.lerning_rate` is unknown"),
    ("training", None, "`data` and `training` go together"),
    ("data", None, "`data` and `training` go together"),
    ("data.kind", "kinect", "key `data`: "),
    ("data.train", [], "key `data.synthetic.train`: "),
    ("data.preparation", {"frames_per_step": 0}, "frames_per_step`: "),
    ("network.channels", {"small": [5000]}, "less than or equal to 4096, got '5000'"),
    ("network.channels", {"a|b": [4]}, "key `network.channels.a|b.[key]`: "),
    ("name", "a\nb", "key `name`: "),
    ("seeds", [1, 1], "key `seeds`: an entry is there twice"),
    ("seeds", [2**63], "key `seeds.0`: Input should be less than"),
    ("quant.base", {"weight_bits": 1}, "quant.base: key `weight_bits`: "),
    ("quant.designs", [{"weight_bits": 99}], "quant.designs.0: key `weight_bits`: "),
    ("quant.designs", [{"bits": 8}], "quant.designs.0: key `bits` is unknown"),
    ("quant.designs", [{}, {}], "quant.designs.1: the same setting as another one (w8a8)"),
    ("quant.designs", [{"name": "a", "weight_bits": 8}, {}], "the same setting as another one"),
    ("quant.designs", [{"name": "a"}, {"name": "a", "weight_bits": 4}], "second setting named 'a'"),
    ("quant.designs", [{"name": "a b"}], "quant.designs.0: `name` must be up to 24 letters"),
    ("quant.designs", [{"layers": {"blok*": {"weight_bits": 4}}}], "'blok*' matches no layer"),
    ("quant.axes", {"depth": [1]}, "key `quant.axes.depth` is unknown (allowed: weight_bits"),
    ("quant.axes", {"rounding": ["UP"]}, "quant.designs.0 with rounding UP: key `rounding`: "),
    ("quant.axes", {"rounding": []}, "key `quant.axes.rounding`: "),
    ("accelerators", ["abacus"], "key `accelerators.0`: unknown accelerator 'abacus', allowed: "),
    ("accelerators", ["none.yaml"], "key `accelerators.0`: "),
    ("accelerators", ["zu7ev", "zu7ev"], "key `accelerators`: an entry is there twice"),
    ("objectives", {"speed": "max"}, "key `objectives`: unknown metric 'speed' (allowed: frame_"),
    ("objectives", {"edit": "up"}, "key `objectives.edit`: "),
    ("objectives", {}, "key `objectives`: "),
    ("constraints", ["edit over 5"], "key `constraints`: must be `metric <= value`"),
    ("constraints", ["edit >= high"], "key `constraints`: 'high' is not a number"),
    ("constraints", ["edit >= nan"], "key `constraints`: the limit must be a number"),
    ("constraints", ["speed >= 5"], "key `constraints`: unknown metric 'speed'"),
    ("sampling", {"kind": "random"}, "key `sampling.count`: needed for random sampling, only"),
    ("sampling", {"count": 3}, "key `sampling.count`: needed for random sampling, only there"),
    ("sampling", {"kind": "random", "count": 33}, "key `sampling.count`: 33 of 32 points"),
]


@pytest.mark.parametrize(("path", "value", "message"), MISTAKES)
def test_a_mistake_is_one_line_with_file_and_key(
    tmp_path: Path, path: str, value: object, message: str
) -> None:
    file = write(tmp_path, changed(BASE, path, value))
    with pytest.raises(InputError) as caught:
        load_space(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_accuracy_needs_training(tmp_path: Path) -> None:
    assert load_space(write(tmp_path, COST)).size == 16  # no seeds
    with pytest.raises(InputError, match="unknown metric 'edit'"):
        load_space(write(tmp_path, {**COST, "objectives": {"edit": "max"}}))


def test_an_accelerator_file_is_found_from_the_space_file(tmp_path: Path) -> None:
    import hw_model

    preset = Path(hw_model.__file__).parent / "presets" / "zu7ev.yaml"
    text = preset.read_text().replace("name: zu7ev", "name: mine")
    (tmp_path / "mine.yaml").write_text(text)
    axes = load_space(write(tmp_path, {**COST, "accelerators": ["zu7ev", "mine.yaml"]}))
    assert [accelerator.name for accelerator in axes.accelerators] == ["zu7ev", "mine"]
    with pytest.raises(InputError, match=r"accelerators.1`: a second accelerator named 'mine'"):
        load_space(write(tmp_path, {**COST, "accelerators": ["mine.yaml", "./mine.yaml"]}))


DATA_MISTAKES = [
    ("data.train", [1, 3], "participant 3 is in both"),
    ("data.valid", [9], "participant 9 is absent"),
    ("network.base.classes", 5, "key `network.base.classes`: must be 8 for data set"),
    ("network.base.skeleton", "ntu", "key `network.base.skeleton`: must be 'hugadb'"),
    ("network.base.in_channels", 3, "key `network.base.in_channels`: must be 6"),
    ("data.preparation", {"frames_per_step": 4}, "key `quant`: `input_bits` must be at least 18"),
    ("data.preparation", {"frames_per_step": 61, "shift": 6}, "fewer than one step"),
]


@pytest.mark.parametrize(("path", "value", "message"), DATA_MISTAKES)
def test_network_and_data_must_fit(tmp_path: Path, path: str, value: object, message: str) -> None:
    axes = load_space(write(tmp_path, changed(BASE, path, value)))
    with pytest.raises(InputError, match=message) as caught:
        check_fit(axes, load_data(axes.space, axes.source, None))
    assert str(caught.value).startswith(axes.source)


def test_the_data_folder_is_given_where_it_is_read(tmp_path: Path) -> None:
    axes = load_space(write(tmp_path, BASE))
    with pytest.raises(InputError, match="this space reads no recordings"):
        load_data(axes.space, axes.source, tmp_path)
    real = {"kind": "hugadb", "train": [1], "valid": [8]}
    axes = load_space(write(tmp_path, {**BASE, "data": real}))
    assert "elevator_f1_50" in axes.metrics
    with pytest.raises(InputError, match="recordings are needed: give --data FOLDER"):
        load_data(axes.space, axes.source, None)
    with pytest.raises(InputError, match="nowhere"):
        load_data(axes.space, axes.source, tmp_path / "nowhere")


def test_data_are_the_same_every_time(tmp_path: Path) -> None:
    axes = load_space(write(tmp_path, BASE))
    once, again = (load_data(axes.space, axes.source, None) for _ in range(2))
    assert data_hash(once) == data_hash(again) != ""
    assert once is not None
    assert [clip.subject for clip in once.train.clips] == [1, 2]
    assert data_hash(None) == ""


ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("name", "networks", "quants", "seeds"), [("quickstart", 4, 6, 1), ("hugadb", 9, 8, 3)]
)
def test_the_examples_are_spaces(name: str, networks: int, quants: int, seeds: int) -> None:
    axes = load_space(ROOT / "examples" / f"{name}.yaml")
    assert (len(axes.networks), len(axes.quants), len(axes.space.seeds)) == (
        networks,
        quants,
        seeds,
    )


def test_the_space_in_the_documentation_is_one(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "exploration.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "doc.yaml").write_text(example)
    axes = load_space(tmp_path / "doc.yaml")
    check_fit(axes, load_data(axes.space, axes.source, None))
    assert len(expand(axes, "")) == 40


def test_neither_dse_nor_reports_load_torch() -> None:
    modules = "dse.__main__, dse.golden, dse.sweep, reports.summary, reports.__main__"
    code = f"import sys, {modules}; assert 'torch' not in sys.modules, 'torch was loaded'"
    subprocess.run([sys.executable, "-c", code], check=True)


NAMED = {
    **{key: value for key, value in BASE.items() if key != "network"},
    "networks": {
        "wide, causal": {"arch": {**BASE["network"]["base"], "channels": [8], "window": 3}},
        "frame-wise": {"arch": "arch.yaml", "training": "recipe.yaml"},
    },
}
FRAME_WISE = {
    "family": "costgcn",
    "skeleton": "hugadb",
    "in_channels": 6,
    "channels": [4, 8],
    "window": 3,
    "classes": 8,
}


def named(tmp_path: Path, content: dict[str, Any] = NAMED, **arch: Any) -> Path:
    (tmp_path / "arch.yaml").write_text(yaml.safe_dump({**FRAME_WISE, **arch}))
    (tmp_path / "recipe.yaml").write_text("epochs: 7\n")
    return write(tmp_path, content)


def test_named_networks_bring_their_architecture_and_recipe(tmp_path: Path) -> None:
    axes = load_space(named(tmp_path))
    wide, frames = axes.networks
    assert (wide.params["model"], wide.arch.channels, wide.recipe) == (
        "wide, causal",
        (8,),
        axes.space.training,
    )
    assert (frames.arch.family, frames.arch.embedding) == ("costgcn", None)
    assert frames.recipe is not None and frames.recipe.epochs == 7
    points = expand(axes, "")
    assert len(points) == axes.size == 2 * 2 * 2 * 2
    recipes = {point.design.topology.arch.family: point.design.topology.recipe for point in points}
    assert recipes == {"rtstgcn": wide.recipe, "costgcn": frames.recipe}


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("network", BASE["network"], "`network` (swept axes) or `networks` (by name) is needed"),
        ("networks", {}, "`network` (swept axes) or `networks` (by name) is needed"),
        ("networks.frame-wise.arch", "lost.yaml", "lost.yaml: "),
        ("networks.frame-wise.arch", {**FRAME_WISE, "clases": 8}, "key `clases` is unknown"),
        ("networks.frame-wise.training", {"epochs": 0}, "frame-wise.training`: key `epochs`: "),
    ],
)
def test_a_mistake_in_named_networks_is_one_line(
    tmp_path: Path, path: str, value: Any, words: str
) -> None:
    space = named(tmp_path, changed(NAMED, path, value))
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        load_space(space)
    assert str(space.parent) in str(caught.value) and "\n" not in str(caught.value)


def test_networks_of_whole_clips_are_refused_in_a_sweep_over_frames(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="family stgcn names whole clips"):
        load_space(named(tmp_path, family="stgcn"))


def test_every_named_network_must_fit_the_data(tmp_path: Path) -> None:
    space = named(tmp_path, classes=9)
    axes = load_space(space)
    data = load_data(axes.space, axes.source, None)
    with pytest.raises(InputError, match=r"key `networks.frame-wise.classes`: must be 8"):
        check_fit(axes, data)


def test_an_override_holds_where_a_named_network_has_the_layer(tmp_path: Path) -> None:
    designs = [{"layers": {"embedding": {"weight_bits": 12}, "block*": {"weight_bits": 6}}}]
    axes = load_space(named(tmp_path, changed(NAMED, "quant.designs", designs)))
    found = {
        point.design.topology.arch.family: set(point.design.quant.spec.layers)
        for point in expand(axes, "")
    }
    assert found == {"rtstgcn": {"embedding", "block*"}, "costgcn": {"block*"}}
    with pytest.raises(InputError, match="matches no layer"):
        load_space(named(tmp_path, changed(NAMED, "quant.designs", [{"layers": {"blok*": {}}}])))
