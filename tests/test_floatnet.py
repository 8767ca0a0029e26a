"""Float networks: what they must hold, and that a file gives back every number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxp.archive import load_arrays, save_arrays
from fxp.errors import InputError
from fxp.floatnet import FloatNet, load_floatnet, save_floatnet, zero_floatnet
from fxp.skeleton import load_skeleton, partitions
from fxp.spec import ArchSpec
from tests.networks import archs, random_floatnet, small_arch


@settings(max_examples=20)
@given(archs(), st.integers(0, 99))
def test_a_file_gives_everything_back(
    tmp_path_factory: pytest.TempPathFactory, arch: ArchSpec, seed: int
) -> None:
    path = tmp_path_factory.mktemp("net") / "net.model"
    net = random_floatnet(arch, seed)
    net = replace(net, meta={**net.meta, "classes": ["a", "b"], "note": {"rate_hz": 20.0}})
    save_floatnet(net, path)
    again = load_floatnet(path)
    assert again.arch == net.arch and again.meta == net.meta
    assert again.params.keys() == net.params.keys()
    for key, value in net.params.items():
        assert np.array_equal(again.params[key], value)
    assert again.observations.keys() == net.observations.keys()
    for name, seen in net.observations.items():
        back = again.observations[name]
        assert (back.lo, back.hi) == (seen.lo, seen.hi)
        assert np.array_equal(back.sample, seen.sample) and back.sample.dtype == np.float32


def broken(**params: np.ndarray | None) -> FloatNet:
    """The small network with some parameters replaced, or removed by None."""
    net = random_floatnet(small_arch(), 0)
    changed = {key.replace("__", "."): value for key, value in params.items()}
    merged = {k: v for k, v in {**net.params, **changed}.items() if v is not None}
    return replace(net, params=merged)


def test_missing_parameter() -> None:
    with pytest.raises(InputError, match=r"parameter `classifier\.bias` is missing \(rtstgcn"):
        broken(classifier__bias=None)


def test_unknown_parameter() -> None:
    with pytest.raises(InputError, match=r"parameter `block9\.bias` is unknown"):
        broken(block9__bias=np.zeros(3))


def test_wrong_shape_or_type() -> None:
    with pytest.raises(InputError, match=r"`classifier\.bias` must be float64 \(5,\), got .* \(6"):
        broken(classifier__bias=np.zeros(6))
    with pytest.raises(InputError, match=r"`classifier\.bias` must be float64 .*, got float32"):
        broken(classifier__bias=np.zeros(5, np.float32))


def test_not_finite() -> None:
    with pytest.raises(InputError, match=r"parameter `classifier\.bias` has a NaN or an infinity"):
        broken(classifier__bias=np.array([0, 0, np.nan, 0, 0]))


def test_fold_must_be_said() -> None:
    with pytest.raises(InputError, match=r"meta `fold` must be 'weights' or 'affine', got None"):
        replace(random_floatnet(small_arch(), 0), meta={})


def test_zero_floatnet() -> None:
    arch = small_arch(family="costgcn", normalisation="column")
    net = zero_floatnet(arch)
    adjacency = partitions(load_skeleton("hugadb"), "spatial", "column")
    for key, value in net.params.items():
        if key.endswith(".adjacency"):
            assert np.array_equal(value, adjacency)
        elif key.endswith(".norm.scale"):
            assert (value == 1).all()
        else:
            assert not value.any()
    assert not zero_floatnet(arch, "affine").params["block0.norm.scale"].any()


def test_foreign_and_altered_files(tmp_path: Path) -> None:
    path = tmp_path / "net.model"
    with pytest.raises(InputError, match=r"net\.model: no such file"):
        load_floatnet(path)
    save_arrays(path, {"kind": "graph"}, {})
    with pytest.raises(InputError, match=r"net\.model: `kind` must be 'floatnet', got 'graph'"):
        load_floatnet(path)

    save_floatnet(random_floatnet(small_arch(), 0), path)
    header, arrays = load_arrays(path)

    def rewritten(**changes: object) -> Path:
        save_arrays(path, {**header, **changes}, arrays)
        return path

    with pytest.raises(InputError, match=r"net\.model: arch: key `classes`: "):
        load_floatnet(rewritten(arch={**header["arch"], "classes": 1}))
    with pytest.raises(InputError, match=r"net\.model: parameter `classifier.weight` must be"):
        load_floatnet(rewritten(arch={**header["arch"], "classes": 6}))
    with pytest.raises(InputError, match=r"net\.model: header: `observations` and `meta` must be"):
        load_floatnet(rewritten(meta=3))
    with pytest.raises(InputError, match=r"net\.model: observations and samples name different"):
        load_floatnet(rewritten(observations={}))
    bad = {name: {"lo": 0.0} for name in header["observations"]}
    with pytest.raises(InputError, match=r"net\.model: an observation needs numbers `lo` and `hi`"):
        load_floatnet(rewritten(observations=bad))
