"""Brevitas beside this toolkit: the same network before any quantiser acts, the same widths after.

What needs Brevitas is skipped where it is not installed (extra `brevitas`).
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from benchmarks.beside_brevitas import (
    Trained,
    brevitas_version,
    in_order,
    measured,
    trained_networks,
)
from benchmarks.beside_methods import (
    METHODS,
    Method,
    chosen_methods,
    observed_on,
    quantised_labels,
)
from benchmarks.beside_rows import Row as RowOf
from benchmarks.beside_rows import parse_widths
from dse.evaluate import float_file
from dse.store import Row, Store
from fxp.calibrate import nominal_formats
from fxp.errors import InputError
from fxp.floatnet import FloatNet, save_floatnet
from fxp.ir import Affine, Conv, GraphProduct, Requantise, TemporalConv
from fxp.outline import outline
from fxp.qformat import Rounding
from fxp.spec import ArchSpec, QuantSpec
from stgcn_ref.datasets.clips import Clip, Dataset
from stgcn_ref.export import export
from stgcn_ref.folding import rebuild
from tests.networks import FRAMEWISE, as_read, clip, random_model, small_arch, small_msgcn

# It warns on import, and torch of what Brevitas calls: neither is of this toolkit's making.
pytestmark = pytest.mark.filterwarnings("ignore")

SMALLEST = small_arch(channels=(4,), window=3, dilation=1)
QUANT = QuantSpec(weight_bits=5, activation_bits=7, stream_bits=9)


@pytest.fixture(scope="module")
def ptq() -> ModuleType:
    """The module that needs Brevitas."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("brevitas")
        from benchmarks import brevitas_ptq
    return brevitas_ptq


def clips(arch: ArchSpec, lengths: tuple[int, ...] = (60, 40)) -> list[Clip]:
    made = [clip(arch, frames, seed, f"clip{seed}") for seed, frames in enumerate(lengths)]
    return [one for one in made if isinstance(one, Clip)]


def dataset(arch: ArchSpec) -> Dataset:
    classes = tuple("abcdefgh"[: arch.classes])
    return Dataset("made", arch.skeleton, classes, 20.0, tuple(clips(arch)), synthetic=True)


def floatnet(arch: ArchSpec) -> FloatNet:
    return export(random_model(arch), arch, clips(arch))


def words(arch: ArchSpec) -> list[np.ndarray]:
    return [one.x for one in clips(arch)]


@pytest.mark.parametrize("arch", FRAMEWISE.values(), ids=FRAMEWISE)
def test_without_quantisers_it_is_the_float_network(ptq: ModuleType, arch: ArchSpec) -> None:
    net = floatnet(arch)
    x = as_read(clips(arch)[0].x).float()
    with torch.no_grad():
        wanted = rebuild(net)(x)
        model = ptq.quantised(net, QUANT, words(arch), "stats", repair=False)
        apart = model(x) - wanted
        with ptq.unquantised(model):
            found = model(x)
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    assert apart.abs().max() > 1e-3 * wanted.abs().max()  # and with them it is not


@pytest.mark.parametrize(
    ("arch", "ranges"),
    [(small_arch(), "stats"), (small_msgcn(refinements=1), "stats"), (SMALLEST, "mse")],
    ids=["rtstgcn", "msgcn", "least-error"],
)
def test_wider_words_come_closer(ptq: ModuleType, arch: ArchSpec, ranges: str) -> None:
    net = floatnet(arch)
    x = as_read(clips(arch)[0].x).float()
    errors = []
    with torch.no_grad():
        wanted = rebuild(net)(x)
        for bits in (4, 8, 14):
            quant = QuantSpec(weight_bits=bits, activation_bits=bits)
            model = ptq.quantised(net, quant, words(arch)[:1], ranges, repair=False)
            errors.append(float((model(x) - wanted).abs().mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < errors[0] / 20


@pytest.mark.parametrize("unsigned", [False, True])
def test_tensors_have_the_toolkit_s_widths_and_scales_that_are_powers_of_two(
    ptq: ModuleType, unsigned: bool
) -> None:
    arch = small_msgcn()
    net = floatnet(arch)
    quant = QUANT.model_copy(update={"unsigned_relu": unsigned})
    model = ptq.quantised(net, quant, words(arch), "stats", repair=False)
    formats = nominal_formats(arch, quant)
    checked = 0
    for node in outline(arch).nodes:
        part = dict(model.parts.items()).get(node.name.replace(".", "/"))
        match node:
            case Requantise():
                to = formats.casts[node.name].to
                scale = part.act_quant.scale()
                assert int(part.act_quant.bit_width()) == to.word_bits, node.name
                assert part.act_quant.is_signed == to.signed, node.name
            case Conv() | TemporalConv() | GraphProduct():
                key = "adjacency" if isinstance(node, GraphProduct) else "weight"
                weight = part.quant_weight()
                scale = weight.scale
                assert int(weight.bit_width) == formats.weights[f"{node.name}.{key}"][0]
                if key == "weight":  # the bias stands on the accumulator's grid
                    assert part.bias_quant.is_quant_enabled and part.bias_quant.requires_input_scale
            case Affine():
                if node.name == "input_norm":
                    assert int(part.quant_weight().bit_width) == 12
                else:
                    assert torch.equal(part(), torch.ones_like(part.weight))
                continue
            case _:
                continue
        assert float(scale.log2()) == round(float(scale.log2())), node.name
        checked += 1
    assert checked > 20


def test_repair_moves_weights_and_biases_but_no_adjacency(ptq: ModuleType) -> None:
    arch = small_arch()
    net = floatnet(arch)
    plain, repaired = (
        dict(ptq.quantised(net, QUANT, words(arch), "stats", repair=r).parts.items())
        for r in (False, True)
    )
    for name in ("embedding", "block1/conv", "classifier"):
        assert not torch.equal(plain[name].weight, repaired[name].weight), name
        assert not torch.equal(plain[name].bias, repaired[name].bias), name
    for name in ("block1/graph", "input_norm"):
        assert torch.equal(plain[name](), repaired[name]()), name


def test_every_method_is_measured_at_every_width_once(ptq: ModuleType) -> None:
    assert ptq  # Brevitas is there
    arch = SMALLEST
    data = dataset(arch)
    one = Trained("net", 3, "key", floatnet(arch))
    asked = [parse_widths("14,14"), parse_widths("3,3")]
    done = {("3,3", method.name) for method in METHODS[1:]}
    rows = list(measured(one, (data, data), asked, METHODS, "1,6", done))
    names = [method.name for method in METHODS]
    assert [(row.widths, row.method) for row in rows] == [
        ("float", "float"),
        *(("14,14", name) for name in names),
        ("3,3", names[0]),
    ]
    assert {(row.network, row.seed, row.topology, row.test) for row in rows} == {
        ("net", 3, "key", "1,6")
    }
    assert all(row.agreement > 90 and row.seconds > 0 for row in rows[1:-1])
    assert (rows[0].agreement, rows[0].seconds) == (100.0, 0.0)
    assert rows[-1].agreement < min(row.agreement for row in rows[:-1])


def test_the_integer_network_is_rounded_as_the_method_says() -> None:
    arch = SMALLEST
    data = dataset(arch)
    up, even = (
        quantised_labels(
            floatnet(arch),
            Method("toolkit", "percentile", rounding=rounding),
            parse_widths("3,3"),
            data.clips,
            data,
        )[0]
        for rounding in (Rounding.RND, Rounding.RND_CONV)
    )
    assert any((a != b).any() for a, b in zip(up, even, strict=True))


def test_ranges_are_those_of_the_given_clips_alone() -> None:
    arch = small_arch()
    model, both = random_model(arch), clips(arch)
    found = observed_on(export(model, arch, both), both[1:]).observations
    wanted = export(model, arch, both[1:]).observations
    for name, seen in wanted.items():
        if name != "input":
            reach = max(abs(seen.lo), abs(seen.hi))
            assert abs(found[name].lo - seen.lo) <= 1e-3 * reach, name
            assert abs(found[name].hi - seen.hi) <= 1e-3 * reach, name


def test_without_brevitas_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "brevitas", None)
    with pytest.raises(InputError, match="Brevitas is not installed: `pip install"):
        brevitas_version()


def test_methods_are_chosen_by_name() -> None:
    assert chosen_methods(None) == list(METHODS)
    assert chosen_methods(["toolkit max", "brevitas mse + gptq, bias"]) == [METHODS[3], METHODS[4]]
    assert len({method.name for method in METHODS}) == len(METHODS)
    with pytest.raises(InputError, match="--method 'max': must be one of brevitas percentile, "):
        chosen_methods(["max"])


def test_rows_are_sorted_as_widths_and_methods_are_listed() -> None:
    def row(widths: str, method: str, seed: int = 0) -> RowOf:
        return RowOf("net", seed, "key", "1", widths, method, 1.0, 1.0, 1.0, 1.0)

    sorted_rows = [
        row("float", "float"),
        row("8,8", "brevitas percentile"),
        row("8,8", "toolkit max"),
        row("4,8,12", "brevitas mse"),
        row("7,7", "of another version"),
        row("8,8", "toolkit max", seed=1),
    ]
    assert in_order(sorted_rows[::-1]) == sorted_rows


def sweep_of(directory: Path, name: str = "hugadb") -> Path:
    """A results directory with networks of two seeds, and one without a file."""
    about = {"name": name, "train": {"participants": [5, 7]}}
    with Store(directory, create=True) as store:
        store.set_plan([], {"data": about})
        for seed, model in ((0, "small"), (1, "small"), (0, "lost")):
            params = {"model": model, "seed": seed}
            store.write("topologies", Row(f"{model}{seed}", "", params))
    arch = small_arch()
    for key in ("small0", "small1"):
        path = float_file(directory, key, "weights")
        path.parent.mkdir(exist_ok=True)
        save_floatnet(floatnet(arch), path)
    return directory


def test_networks_of_a_sweep_are_found_by_name_and_seed(tmp_path: Path) -> None:
    found, participants = trained_networks(sweep_of(tmp_path), None, None)
    assert [(one.name, one.seed, one.key) for one in found] == [
        ("small", 0, "small0"),
        ("small", 1, "small1"),
    ]
    assert participants == (5, 7)
    found, _ = trained_networks(tmp_path, ["small"], [1])
    assert [(one.name, one.seed) for one in found] == [("small", 1)]


def test_a_network_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    sweep_of(tmp_path)
    with pytest.raises(InputError, match=r"--network lost: not among .* \(small\)"):
        trained_networks(tmp_path, ["lost"], None)
    with pytest.raises(InputError, match=r"--seed 7: not among .* \(0, 1\)"):
        trained_networks(tmp_path, None, [7])


def test_a_sweep_over_other_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a sweep over HuGaDB recordings is needed"):
        trained_networks(sweep_of(tmp_path, "synthetic"), None, None)
