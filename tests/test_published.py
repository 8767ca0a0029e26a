"""Published checkpoints: every network computes what its authors' does, every tensor counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fxp.errors import InputError
from stgcn_ref.models.layernorm import BatchStatisticsRTSTGCN, LayerNormRTSTGCN
from stgcn_ref.models.msgcn import MSGCN
from stgcn_ref.models.rtstgcn import RTSTGCN
from stgcn_ref.models.stgcn import STGCN
from stgcn_ref.models.temporal import stream
from stgcn_ref.published import assemble, load
from stgcn_ref.published_tensors import Tensors
from tests.families import graph
from tests.published_states import (
    State,
    msgcn_reference,
    msgcn_state,
    rtstgcn_reference,
    rtstgcn_state,
    stgcn_reference,
    stgcn_state,
)

torch.set_num_threads(1)

WINDOW, DILATIONS = (3, 4, 2), (1, 2, 1)

# family and keywords, with a state dict of it
CASES: dict[str, tuple[Callable[[], State], str, dict[str, Any]]] = {
    "stgcn": (lambda: stgcn_state(graph(), (4, 4, 6), (1, 1, 2)), "stgcn", {}),
    "msgcn": (lambda: msgcn_state(graph(), 2, 2), "msgcn", {}),
    "rtstgcn-layer": (
        lambda: rtstgcn_state(graph(), (4, 4, 6), DILATIONS),
        "rtstgcn",
        {"window": WINDOW, "dilations": DILATIONS},
    ),
    "rtstgcn-batch": (
        lambda: rtstgcn_state(graph(), (4, 4, 6), DILATIONS, "batch"),
        "rtstgcn",
        {"window": WINDOW, "dilations": DILATIONS},
    ),
    "rtstgcn-batch-alone": (
        lambda: rtstgcn_state(graph(), (4, 4, 6), DILATIONS, "batch alone"),
        "rtstgcn",
        {"window": WINDOW, "dilations": DILATIONS},
    ),
}


def _save(state: Any, folder: Path) -> Path:
    path = folder / "net.pt"
    torch.save(state, path)
    return path


def _close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("skeleton", ["hugadb", "lara"])
@pytest.mark.parametrize(
    ("channels", "strides"),
    [((4,), (1,)), ((4, 4, 6), (1, 1, 2)), ((4, 6, 6, 8), (1, 1, 2, 2)), ((4, 4), (2, 2))],
)
def test_stgcn_is_the_authors(
    channels: tuple[int, ...], strides: tuple[int, ...], skeleton: str, tmp_path: Path
) -> None:
    state = stgcn_state(graph(skeleton), channels, strides)
    keys = {} if strides == (1, 1, 2) else {"strides": strides}
    net = load(_save(state, tmp_path), "stgcn", skeleton, **keys)
    assert isinstance(net, STGCN) and not net.training
    x = torch.randn(2, 3, 17, graph(skeleton).shape[-1], 2)
    with torch.no_grad():
        found = net(x)
    assert found.shape == (2, 5)
    _close(found, stgcn_reference(state, x, strides))


@pytest.mark.parametrize(("depth", "refinements"), [(1, 0), (3, 1), (2, 3)])
def test_msgcn_is_the_authors(depth: int, refinements: int, tmp_path: Path) -> None:
    state = msgcn_state(graph(), depth, refinements)
    net = load(_save(state, tmp_path), "msgcn", "hugadb")
    assert isinstance(net, MSGCN) and not net.training
    x = torch.randn(2, 3, 17, 6)
    dilations = [2**i for i in range(depth)]
    with torch.no_grad():
        found, last = net(x, all_stages=True), net(x)
    assert torch.equal(found[-1], last)
    _close(found, msgcn_reference(state, x, dilations, refinements + 1))


def test_msgcn_with_other_dilations(tmp_path: Path) -> None:
    state = msgcn_state(graph(), 2, 1)
    net = load(_save(state, tmp_path), "msgcn", dilations=(3, 2))
    x = torch.randn(2, 3, 17, 6)
    with torch.no_grad():
        _close(net(x), msgcn_reference(state, x, (3, 2), 2)[-1])


@pytest.mark.parametrize(
    ("norm", "kind"),
    [("layer", LayerNormRTSTGCN), ("batch", RTSTGCN), ("batch alone", BatchStatisticsRTSTGCN)],
)
def test_rtstgcn_is_its_definition(norm: str, kind: type[RTSTGCN], tmp_path: Path) -> None:
    state = rtstgcn_state(graph(), (4, 4, 6), DILATIONS, norm)
    net = load(_save(state, tmp_path), "rtstgcn", window=WINDOW, dilations=DILATIONS)
    assert type(net) is kind and not net.training
    x = torch.randn(2, 3, 17, 6)
    with torch.no_grad():
        found = net(x)
        assert found.shape == (2, 5, 17)
        _close(found, rtstgcn_reference(state, x, WINDOW, DILATIONS))
        if kind is not BatchStatisticsRTSTGCN:
            _close(stream(net, x), found)


def test_rtstgcn_with_one_window_and_no_residuals(tmp_path: Path) -> None:
    state = rtstgcn_state(graph(), (4, 4), (1, 1))
    path = _save(state, tmp_path)
    x = torch.randn(1, 3, 9, 6)
    with torch.no_grad():
        plain = load(path, "rtstgcn", window=9, dilations=1)
        _close(plain(x), rtstgcn_reference(state, x, (9, 9), (1, 1)))
        flags = (False, True)
        without = load(path, "rtstgcn", window=9, dilations=1, residual=flags)(x)
    assert not torch.allclose(without, plain(x), atol=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_a_missing_tensor_is_named(case: str) -> None:
    make, family, keys = CASES[case]
    whole = make()
    for name in whole:
        state = {key: value for key, value in whole.items() if key != name}
        if name.endswith("num_batches_tracked"):
            assemble(Tensors("net.pt", state), family, **keys)  # older torch did not store it
        else:
            with pytest.raises(InputError, match=f"net.pt: .*`{name}`.* missing"):
                assemble(Tensors("net.pt", state), family, **keys)


@pytest.mark.parametrize("case", CASES)
def test_a_misshapen_tensor_is_named(case: str) -> None:
    make, family, keys = CASES[case]
    whole = make()
    for name, value in whole.items():
        changed = [torch.cat([value, value.narrow(i, 0, 1)], i) for i in range(value.ndim)]
        changed += [value.repeat_interleave(2, dim=0), value[:0]] if value.ndim else []
        for other in (*changed, value[None]):
            with pytest.raises(InputError, match=f"net.pt: .*`{name}`"):
                assemble(Tensors("net.pt", whole | {name: other}), family, **keys)


@pytest.mark.parametrize("case", CASES)
def test_an_extra_tensor_is_named(case: str) -> None:
    make, family, keys = CASES[case]
    whole = make()
    for name in ("extra", "fcn.weight.more", "st_gcn.0.aggregate.A"):
        tensors = Tensors("net.pt", whole | {name: torch.zeros(3)})
        with pytest.raises(InputError, match=rf"net.pt: tensor `{name}` \(3,\) is extra"):
            assemble(tensors, family, **keys)


@pytest.mark.parametrize("case", CASES)
def test_values_must_be_finite_floats(case: str) -> None:
    make, family, keys = CASES[case]
    whole = make()
    for name, value in whole.items():
        if not value.is_floating_point():
            continue
        broken = value.clone()
        broken.view(-1)[-1] = float("nan")
        with pytest.raises(InputError, match=f"`{name}` has values that are not finite"):
            assemble(Tensors("net.pt", whole | {name: broken}), family, **keys)
        with pytest.raises(InputError, match=f"`{name}` must be float"):
            assemble(Tensors("net.pt", whole | {name: value.long()}), family, **keys)


def test_a_variance_is_not_negative(tmp_path: Path) -> None:
    state = msgcn_state(graph(), 1, 0)
    state["stream.data_bn.running_var"][3] = -1e-3
    with pytest.raises(InputError, match=r"`stream.data_bn.running_var` has negative values"):
        load(_save(state, tmp_path), "msgcn")


def test_a_layer_number_out_of_reach_costs_nothing(tmp_path: Path) -> None:
    state = msgcn_state(graph(), 1, 0) | {"stages.99999999999.conv_out.weight": torch.zeros(1)}
    with pytest.raises(InputError, match=r"`stages.0.conv_1x1.weight` is missing"):
        load(_save(state, tmp_path), "msgcn")


def test_without_edge_importance(tmp_path: Path) -> None:
    full = stgcn_state(graph(), (4, 6), (1, 2))
    bare = {name: value for name, value in full.items() if "edge" not in name}
    ones = {name: torch.ones_like(value) for name, value in full.items() if "edge" in name}
    x = torch.randn(1, 3, 9, 6, 1)
    net = load(_save(bare, tmp_path), "stgcn", importance=False)
    _close(net(x), stgcn_reference(full | ones, x, (1, 2)))
    with pytest.raises(InputError, match=r"`edge_importance.0` .*is extra"):
        load(_save(full, tmp_path), "stgcn", importance=False)


def test_nested_and_parallel_state_dicts(tmp_path: Path) -> None:
    state = stgcn_state(graph(), (4, 6), (1, 2))
    x = torch.randn(1, 3, 9, 6, 1)
    expected = load(_save(state, tmp_path), "stgcn")(x)
    wrapped = {f"module.{name}": value for name, value in state.items()}
    nested = {"epoch": 3, "model_state_dict": wrapped, "loss": 0.5}
    assert torch.equal(load(_save(nested, tmp_path), "stgcn")(x), expected)


def test_the_random_generator_is_left_alone(tmp_path: Path) -> None:
    path = _save(msgcn_state(graph(), 1, 0), tmp_path)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load(path, "msgcn")
    assert torch.equal(torch.rand(4), expected)


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("code from a file",))


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        ([torch.zeros(1)], "a state dict is needed, got list"),
        ({}, "a state dict is needed, got dict"),
        ({"A": 3}, "key 'A': a tensor is needed, got int"),
        ({"A": _Code()}, "refused: it holds something else than tensors"),
    ],
)
def test_only_state_dicts_are_read(
    data: Any, rule: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=f"net.pt: {rule}"):
        load(_save(data, tmp_path), "stgcn")
    assert capsys.readouterr().out == ""


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.pt: no such file"):
        load(tmp_path / "none.pt", "stgcn")
    path = _save(stgcn_state(graph(), (4,), (1,)), tmp_path)
    whole = path.read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2], whole[:100]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"net.pt: (not a torch file|refused)"):
            load(path, "stgcn")


@pytest.mark.parametrize(
    ("family", "keys", "rule"),
    [
        ("gcn", {}, "`family` must be one of stgcn, msgcn, rtstgcn, got 'gcn'"),
        ("stgcn", {"window": 9}, r"keyword `window` is none of family stgcn \(strides"),
        ("stgcn", {"strides": (1, 2)}, "`strides` needs 1 or 3 entries, one a layer, got 2"),
        ("stgcn", {"strides": (1, 1, 0)}, "`strides` must be positive integers, got 0"),
        ("stgcn", {"skeleton": "horse"}, "unknown skeleton 'horse'"),
        ("stgcn", {"skeleton": "lara"}, "tensor `A` has 6 joints, skeleton lara 19"),
    ],
)
def test_wrong_keywords(family: str, keys: dict[str, Any], rule: str, tmp_path: Path) -> None:
    path = _save(stgcn_state(graph(), (4, 4, 6), (1, 1, 2)), tmp_path)
    with pytest.raises(InputError, match=rule):
        load(path, family, **keys)


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ({}, r"net.pt: `window` is needed: no tensor tells it \(or give `config`\)"),
        ({"window": 9}, "`dilations` is needed"),
        ({"window": (9, 9), "dilations": 1}, "`window` needs 1 or 3 entries"),
        ({"window": 2.5, "dilations": 1}, "`window` must be positive integers, got 2.5"),
        ({"window": 9, "dilations": DILATIONS, "residual": (1,)}, "`residual` needs 3 flags"),
        ({"window": 9, "dilations": 1}, r"`st_gcn.1.residual.0.weight` .* is extra: .*dilations"),
        ({"window": 9, "dilations": (2, 2, 1)}, "`st_gcn.0.residual.0.weight` is missing"),
    ],
)
def test_what_tensors_do_not_tell(keys: dict[str, Any], rule: str, tmp_path: Path) -> None:
    path = _save(rtstgcn_state(graph(), (4, 4, 6), DILATIONS), tmp_path)
    with pytest.raises(InputError, match=rule):
        load(path, "rtstgcn", **keys)


def _config(path: Path, **over: Any) -> Path:
    part = {
        "importance": True,
        "kernel": 3,
        "out_ch": [4, 4, 6],
        "stride": [1, 2, 1],
        "residual": [1, 1, 1],
    }
    network = part | over
    path.write_text(json.dumps({"arch": {"strategy": "spatial", "rt-st-gcn": network}}))
    return path


def test_config_files(tmp_path: Path) -> None:
    state = rtstgcn_state(graph(), (4, 4, 6), DILATIONS)
    path, x = _save(state, tmp_path), torch.randn(1, 3, 17, 6)
    config = _config(tmp_path / "config.json")
    with torch.no_grad():
        expected = rtstgcn_reference(state, x, (3, 3, 3), DILATIONS)
        _close(load(path, "rtstgcn", config=config)(x), expected)
        # older files: stages around every value, and the network in `model`
        staged = {"kernel": [3], "out_ch": [[4, 4, 6]], "stride": [[1, 2, 1]]}
        staged |= {"residual": [[1, 1, 1]], "importance": True}
        config.write_text(json.dumps({"model": staged}))
        _close(load(path, "rtstgcn", config=config)(x), expected)
        keyword = load(path, "rtstgcn", config=config, window=(3, 1, 3))(x)
        _close(keyword, rtstgcn_reference(state, x, (3, 1, 3), DILATIONS))


def test_config_without_residual_and_importance(tmp_path: Path) -> None:
    state = rtstgcn_state(graph(), (4, 4), (1, 1))
    bare = {name: value for name, value in state.items() if "edge" not in name}
    config = _config(
        tmp_path / "c.json", out_ch=[4, 4], stride=[1, 1], residual=[0, 1], importance=False
    )
    x = torch.randn(1, 3, 9, 6)
    found = load(_save(bare, tmp_path), "rtstgcn", config=config)
    flags = {"window": 3, "dilations": 1, "residual": (False, True), "importance": False}
    assert torch.equal(found(x), load(_save(bare, tmp_path), "rtstgcn", **flags)(x))


def test_wrong_configs(tmp_path: Path) -> None:
    path = _save(rtstgcn_state(graph(), (4, 4, 6), DILATIONS), tmp_path)
    config = _config(tmp_path / "c.json", out_ch=[4, 4, 8])
    with pytest.raises(InputError, match=r"c.json: key `out_ch`: \[4, 4, 8\], but .* \[4, 4, 6\]"):
        load(path, "rtstgcn", config=config)
    config = _config(tmp_path / "c.json", kernel="nine")
    with pytest.raises(InputError, match="`window` "):
        load(path, "rtstgcn", config=config)
    for text, rule in (("{}", "key `kernel` .* missing"), ("[", "not readable"), ("3", "missing")):
        config.write_text(text)
        with pytest.raises(InputError, match=f"c.json: {rule}" if text == "[" else rule):
            load(path, "rtstgcn", config=config)
