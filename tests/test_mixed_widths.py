"""Parts, designs and the widths that other commands read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.mixed.recipe import MixRecipe
from dse.mixed.widths import (
    FIELDS,
    Part,
    as_layers,
    changed,
    design_name,
    parts_of,
    spec_of,
    uniform_designs,
    widest,
)
from fxp.errors import InputError
from fxp.spec import LayerBits, QuantSpec, parse_spec
from tests.networks import VARIANTS, small_arch

RECIPE = MixRecipe.model_validate({"budget": {"divergence": 0.1}})
BASE = QuantSpec(adjacency_bits=8)
ARCH = small_arch()


def test_parts_are_what_a_layer_has() -> None:
    found = {str(part) for part in parts_of(ARCH, BASE, RECIPE)}
    assert {"embedding.weights", "block0.weights", "classifier.weights"} <= found
    assert {"input_norm.operands", "block2.stream", "pool.operands"} <= found
    assert "input_norm.weights" not in found  # its constants have bits of their own
    assert "classifier.operands" not in found and "label.weights" not in found


def test_an_adjacency_of_its_own_width_is_no_choice_but_one_of_the_weights_is() -> None:
    arch = small_arch(residual="none", channels=(4,), window=(2,), dilation=(1,))
    for base in (BASE, QuantSpec()):
        assert Part("block0", "weights") in parts_of(arch, base, RECIPE)


def test_what_the_base_states_is_no_choice_and_stays() -> None:
    base = BASE.model_copy(update={"layers": {"block*": LayerBits(weight_bits=7)}})
    parts = parts_of(ARCH, base, RECIPE)
    assert not [part for part in parts if part.layer.startswith("block") and part[1] == "weights"]
    assert Part("block0", "stream") in parts and Part("embedding", "weights") in parts
    design = changed(widest(parts, RECIPE), (Part("block0", "stream"), 6))
    spec = spec_of(base, design)
    assert spec.bits("block0") == (7, 8, 6) and spec.bits("block1") == (7, 8, 12)
    assert spec.bits("embedding")[0] == 8


def test_an_entry_of_the_base_is_joined_with_the_design_of_its_layer() -> None:
    base = BASE.model_copy(update={"layers": {"block1": LayerBits(weight_bits=7)}})
    parts = parts_of(ARCH, base, RECIPE)
    assert Part("block1", "stream") in parts and Part("block1", "weights") not in parts
    design = changed(widest(parts, RECIPE), (Part("block1", "operands"), 5))
    assert spec_of(base, design).bits("block1") == (7, 5, 12)


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from(sorted(VARIANTS)))
def test_a_spec_gives_every_part_its_width(data: st.DataObject, key: str) -> None:
    parts = parts_of(VARIANTS[key], BASE, RECIPE)
    design = {part: data.draw(st.sampled_from([4, 6, 8])) for part in parts}
    spec = spec_of(BASE, design)
    places = {"weights": 0, "operands": 1, "stream": 2}
    for part, width in design.items():
        assert spec.bits(part.layer)[places[part.kind]] == width
    again = parse_spec(QuantSpec, spec.model_dump(mode="json", exclude_none=True), "again")
    assert again == spec
    assert spec.adjacency_bits == 8 and set(FIELDS) == set(places)


def test_uniform_designs_need_no_entries_by_layer() -> None:
    parts = parts_of(ARCH, BASE, RECIPE)
    designs = uniform_designs(parts, RECIPE, frozenset({"weights", "operands", "stream"}))
    assert len({design_name(design) for design in designs}) == len(designs)
    # streams no narrower than operands: of 5 x 7 pairs those of (7, 6), (8, 6), (8, 7) are none
    assert len(designs) == 7 * (5 * 7 - 3)
    for design in designs:
        assert spec_of(BASE, design).layers == {}
    alone = uniform_designs(parts, RECIPE, frozenset({"weights"}))
    assert len(alone) == 7
    assert all(bits["block0"]["stream"] == 12 for bits in map(as_layers, alone))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"budget": {}}, "`divergence` or `agreement` is needed"),
        ({"budget": {"divergence": 0}}, "greater than 0"),
        ({"budget": {"agreement": 100}}, "less than 100"),
        ({"cost": {"speed": 1}}, "unknown cost 'speed', allowed: energy_uj"),
        ({"cost": {"utilisation": 1}}, "unknown cost 'utilisation'"),
        ({"cost": {}}, "at least 1"),
        ({"weights": [1, 4]}, "greater than or equal to 2"),
        ({"weights": []}, "at least 1"),
        ({"beyond": 0.5}, "greater than or equal to 1"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(keys: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_spec(MixRecipe, {"budget": {"divergence": 0.1}} | keys, "mix.yaml")


def test_widths_are_sorted_and_each_there_once() -> None:
    given = {"budget": {"agreement": 99.0}, "weights": [8, 4, 4]}
    assert MixRecipe.model_validate(given).weights == (4, 8)
