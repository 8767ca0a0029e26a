"""RT-ST-GCN as published (github.com/maximyudayev/Realtime-ST-GCN): its tensors and its configs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fxp.errors import InputError
from stgcn_ref.models.blocks import Block, ChannelNorm, FrameNorm, NoResidual, give_residual
from stgcn_ref.models.layernorm import BatchStatisticsRTSTGCN, LayerNormRTSTGCN
from stgcn_ref.models.rtstgcn import RTSTGCN
from stgcn_ref.published_tensors import Tensors, per_layer

_NORMS = ("bn_relu.0", "residual.1")


@dataclass(frozen=True)
class _Told:
    """What the tensors of a network do not tell; one entry a layer but for `importance`."""

    window: tuple[int, ...]
    dilations: tuple[int, ...]
    residual: tuple[bool, ...]
    importance: bool


def rtstgcn(tensors: Tensors, graph: Tensor, **hyper: Any) -> RTSTGCN:
    """The network of all tensors of a checkpoint; graph (P, V, V), keywords as in `load`.

    Raises:
        InputError: as `stgcn_ref.published.load`, or `window` or `dilations` is not given.
    """
    depth = max(tensors.count("st_gcn."), 1)
    outputs = [_outputs(tensors, i, depth) for i in range(depth)]
    told = _told(tensors.source, outputs, **hyper)
    embedding = tensors.size(("fcn_in.weight", 0), ("fcn_in.bias", 0), ("st_gcn.0.conv.weight", 1))
    classes = tensors.size(("fcn_out.weight", 0), ("fcn_out.bias", 0))
    make, norm_in = _norms(tensors)
    in_channels = _in_channels(tensors, norm_in, graph.shape[-1])
    net = make(in_channels, embedding, outputs, told.window, told.dilations, classes, graph)
    state = _norm(tensors, "input_norm", norm_in, net.input_norm, net.joints)
    state |= tensors.linear("embedding", "fcn_in", embedding, in_channels, 2)
    for i, block in enumerate(net.blocks):
        assert isinstance(block, Block)
        if not told.residual[i]:
            block.residual = NoResidual()
        elif block.residual is None and block.dilation != 1:  # as the published code does
            give_residual(block)
        state |= _block(tensors, i, block, graph, (embedding, *outputs)[i], told.importance)
    state |= tensors.linear("classifier", "fcn_out", classes, outputs[-1], 2)
    tensors.finish(
        "no part of an RT-ST-GCN with these dilations and residuals (a residual is a convolution "
        "where a layer's channels change or its dilation is not 1)"
    )
    net.load_state_dict(state)
    return net


def _outputs(tensors: Tensors, index: int, depth: int) -> int:
    """Output channels of layer `index`: what its norms have and what reads it."""
    name = f"st_gcn.{index}"
    norms = [f"{name}.{part}.{key}" for part in _NORMS for key in ("weight", "bias")]
    reader = f"st_gcn.{index + 1}.conv.weight" if index + 1 < depth else "fcn_out.weight"
    return tensors.size(*((norm, 0) for norm in norms), (reader, 1))


def _in_channels(tensors: Tensors, norm_in: str, joints: int) -> int:
    """Input channels, from the input norm: `(C, 1, V)`, or `(V * C,)`."""
    places = [(f"{norm_in}.{key}", 0) for key in ("weight", "bias")]
    if tensors.axes(f"{norm_in}.weight") == 3:
        return tensors.size(*places, ("fcn_in.weight", 1))
    return tensors.size(*places, per=joints)


def _block(
    tensors: Tensors, index: int, block: Block, graph: Tensor, inputs: int, importance: bool
) -> dict[str, Tensor]:
    """Tensors of layer `index` by the names of `Block`."""
    own, name = f"blocks.{index}", f"st_gcn.{index}"
    outputs, joints = block.gcn.out_channels, block.gcn.joints
    state = tensors.linear(f"{own}.gcn.conv", f"{name}.conv", len(graph) * outputs, inputs, 2)
    state[f"{own}.gcn.adjacency"] = graph
    edges = tensors.importance(f"{name}.edge_importance", graph, importance)
    state[f"{own}.gcn.importance"] = edges
    state |= _norm(tensors, f"{own}.norm", f"{name}.bn_relu.0", block.norm, joints)
    if isinstance(block.residual, nn.Sequential):
        conv = f"{name}.residual.0"
        # published without a bias
        state |= tensors.linear(f"{own}.residual.0", conv, outputs, inputs, 2, bias=False)
        own, name = f"{own}.residual.1", f"{name}.residual.1"
        state |= _norm(tensors, own, name, block.residual[1], joints)
    return state


def _norms(tensors: Tensors) -> tuple[type[RTSTGCN], str]:
    """The network with the norms that the tensors are of, and the name of the input norm."""
    wrapped = any(name.startswith("norm_in.norm.") for name in tensors.names())
    if not wrapped and tensors.axes("norm_in.weight") == 3:
        return LayerNormRTSTGCN, "norm_in"
    tracked = any(name.endswith((".running_mean", ".running_var")) for name in tensors.names())
    return RTSTGCN if tracked else BatchStatisticsRTSTGCN, "norm_in.norm" if wrapped else "norm_in"


def _norm(tensors: Tensors, own: str, name: str, norm: nn.Module, joints: int) -> dict[str, Tensor]:
    """A norm's tensors: LayerNorm `(C, 1, V)`, BatchNorm `(C,)` or `(V * C,)`."""
    tensors.agree(f"{name}.weight", f"{name}.bias")
    if isinstance(norm, FrameNorm):
        channels = norm.weight.numel() // joints
        return {
            # (C, 1, V) -> (V, C), or flat at the input
            f"{own}.{key}": tensors.take(f"{name}.{key}", channels, 1, joints)
            .squeeze(1)
            .T.reshape(norm.weight.shape)
            for key in ("weight", "bias")
        }
    assert isinstance(norm, ChannelNorm)
    if norm.track_running_stats:
        return tensors.batch_norm(own, name, norm.num_features)
    keys = ("weight", "bias")
    return {f"{own}.{key}": tensors.take(f"{name}.{key}", norm.num_features) for key in keys}


def _told(
    source: str,
    outputs: Sequence[int],
    window: Sequence[int] | int | None = None,
    dilations: Sequence[int] | int | None = None,
    residual: Sequence[bool] | None = None,
    importance: bool | None = None,
    config: Path | str | None = None,
) -> _Told:
    """Keywords over the config's values over what is usual.

    Raises:
        InputError: neither tells window or dilations, or one has not one entry a layer.
    """
    depth = len(outputs)
    told: dict[str, Any] = {"residual": (True,) * depth, "importance": True}
    told |= {} if config is None else _read_config(Path(config), outputs)
    given = {
        "window": window,
        "dilations": dilations,
        "residual": residual,
        "importance": importance,
    }
    told |= {key: value for key, value in given.items() if value is not None}
    for key in ("window", "dilations"):
        if key not in told:
            raise InputError(f"{source}: `{key}` is needed: no tensor tells it (or give `config`)")
        told[key] = per_layer(source, key, told[key], depth)
    told["residual"] = tuple(bool(flag) for flag in told["residual"])
    if len(told["residual"]) != depth:
        count = len(told["residual"])
        raise InputError(f"{source}: `residual` needs {depth} flags, one a layer, got {count}")
    return _Told(**told)


def _read_config(path: Path, outputs: Sequence[int]) -> dict[str, Any]:
    """Window, dilations, residual and importance of a JSON config of the published repository.

    Its newer files have them in `arch` / `rt-st-gcn`, its older ones in `arch` or `model`, there
    with a list of stages around every value; only one stage is read.

    Raises:
        InputError: unreadable, a key is missing, or its channels are not the tensors'.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({error.__class__.__name__})") from None
    part = data if isinstance(data, dict) else {}
    for key in ("arch", "model", "rt-st-gcn"):
        part = part[key] if isinstance(part.get(key), dict) else part
    names = {"window": "kernel", "dilations": "stride", "residual": "residual"}
    for key in (*names.values(), "importance", "out_ch"):
        if key not in part:
            raise InputError(f"{path}: key `{key}` of the network is missing")
    channels = _one_stage(part["out_ch"])
    if channels != list(outputs):
        raise InputError(
            f"{path}: key `out_ch`: {channels}, but the checkpoint has {list(outputs)}"
        )
    told = {own: _one_stage(part[key]) for own, key in names.items()}
    return told | {"importance": bool(part["importance"])}


def _one_stage(value: Any) -> Any:
    """A value without the list of stages around it: `[[1, 2]]` is `[1, 2]`, `[9]` is 9."""
    nested = isinstance(value, list) and len(value) == 1
    return value[0] if nested else value
