"""What an architecture may say, by family, and what follows from it."""

from __future__ import annotations

import pytest

from fxp.errors import InputError
from fxp.spec import ArchSpec, parse_spec
from tests.networks import VARIANTS, small_arch, small_msgcn, small_stgcn, small_tcn

RULES = (
    (small_msgcn, {"channels": (4, 8)}, "`channels` of family msgcn must be 4 in all layers"),
    (small_msgcn, {"window": (3, 5)}, "`window` of family msgcn must be 3 in all layers"),
    (small_tcn, {"window": (3, 5, 3)}, "`window` of family tcn must be 3 in all layers"),
    (small_stgcn, {"window": (3, 3, 3, 5)}, "`window` of family stgcn must be 3 in all layers"),
    (small_stgcn, {"dilation": 2}, "`dilation` of family stgcn must be 1"),
    (small_stgcn, {"embedding": 4}, "`embedding`: family stgcn has none"),
    (small_stgcn, {"persons": 65}, "less than or equal to 64"),
    (small_stgcn, {"residual": "none"}, "`residual` is of families rtstgcn and costgcn, not of st"),
    (
        small_tcn,
        {"residual": ("conv", "auto", "auto")},
        "`residual` is of families rtstgcn and cos",
    ),
    (small_arch, {"residual": "identity"}, "Input should be 'auto', 'conv' or 'none'"),
    (small_arch, {"residual": ("auto", "conv")}, "`residual` needs 1 or 3 entries, got 2"),
    (small_arch, {"stride": 2}, "`stride` is of family stgcn alone, not of rtstgcn"),
    (small_arch, {"persons": 2}, "`persons` is of family stgcn alone, not of rtstgcn"),
    (small_arch, {"refinements": 1}, "`refinements` is of family msgcn alone, not of rtstgcn"),
    (small_arch, {"refinements": -1}, "greater than or equal to 0"),
    (small_arch, {"embedding": None}, "`embedding` is needed in family rtstgcn"),
    (small_tcn, {"embedding": None}, "`embedding` is needed in family tcn"),
    (small_arch, {"family": "costgcn", "norm": "layer"}, "`norm` is of family rtstgcn alone"),
)


@pytest.mark.parametrize(("make", "over", "message"), RULES)
def test_rules_of_a_family(make: object, over: dict[str, object], message: str) -> None:
    data = make().model_dump() | over  # type: ignore[operator]
    with pytest.raises(InputError) as caught:
        parse_spec(ArchSpec, data, "net.yaml")
    line = str(caught.value)
    assert line.startswith("net.yaml: key `") and message in line and "\n" not in line


def test_one_entry_stands_for_all_layers() -> None:
    assert small_msgcn(window=(3, 3)) == small_msgcn()
    arch = small_stgcn(stride=2)
    assert (arch.stride, arch.residual) == ((2,) * 4, ("auto",) * 4)


def test_residuals() -> None:
    found = {name: arch.residuals for name, arch in VARIANTS.items()}
    assert found["rtstgcn"] == ("identity", "conv", "identity")
    assert found["rtstgcn-residuals"] == ("conv", "none", "conv")
    assert found["costgcn-published"] == ("none", "conv", "identity")  # 6 of 6 input channels
    assert found["costgcn-continual"] == ("none", "conv", "identity")
    assert found["stgcn"] == ("none", "conv", "conv", "conv")  # strides too
    assert found["tcn"] == ("identity", "conv", "identity")
    assert small_arch(family="costgcn", embedding=None, residual="conv").residuals[0] == "conv"


def test_an_architecture_survives_its_own_dump() -> None:
    for arch in VARIANTS.values():
        assert ArchSpec.model_validate(arch.model_dump(mode="json")) == arch
