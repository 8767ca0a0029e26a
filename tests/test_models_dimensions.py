"""Dimensions through every network at its published width, on a batch and on a realtime task."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fxp.spec import ArchSpec
from stgcn_ref.models.blocks import Block, ChannelNorm, FrameNorm, GraphConv
from stgcn_ref.models.build import build
from stgcn_ref.models.costgcn import CoSTGCN
from stgcn_ref.models.layernorm import LayerNormRTSTGCN
from stgcn_ref.models.msgcn import MSGCN
from stgcn_ref.models.stgcn import CHANNELS, STGCN
from stgcn_ref.models.tcn import TCN
from stgcn_ref.models.temporal import TemporalConv, stream
from tests.families import graph

torch.set_num_threads(1)

REALTIME = (64, 64, 64, 128, 128, 128, 256, 256, 256)  # of the nine layers on PKU-MMD
LEAVES = (GraphConv, nn.Linear, ChannelNorm, FrameNorm, TemporalConv)
Shapes = dict[str, tuple[int, ...]]


def _rtstgcn() -> nn.Module:
    keys = {"skeleton": "ntu", "in_channels": 3, "embedding": 64, "classes": 60, "window": 9}
    return build(ArchSpec.model_validate(keys | {"channels": REALTIME}))


def _layernorm() -> nn.Module:
    nine = (9,) * 9
    return LayerNormRTSTGCN(3, 64, REALTIME, nine, (1,) * 9, 60, graph("ntu"))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "rtstgcn": (_rtstgcn, REALTIME),
    "rtstgcn-layernorm": (_layernorm, REALTIME),
    "costgcn": (lambda: CoSTGCN(3, 60, graph("ntu"), taps=3), CHANNELS),
    "msgcn": (lambda: MSGCN(3, 60, graph("ntu"), dilations=(1, 2, 4)), (64, 64, 64)),
    "tcn": (lambda: TCN(3, 60, 25, taps=3), REALTIME),
}


def _watch(net: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    """Shapes that the leaf modules give, from now on."""
    seen: list[tuple[str, tuple[int, ...]]] = []
    for name, module in net.named_modules():
        if isinstance(module, LEAVES):
            module.register_forward_hook(
                lambda _, __, y, name=name: seen.append((name, tuple(y.shape)))
            )
    return seen


@pytest.mark.parametrize("name", NETWORKS)
def test_batch_and_realtime_dimensions(name: str) -> None:
    make, channels = NETWORKS[name]
    net = make().eval()
    seen = _watch(net)
    with torch.no_grad():
        assert net(torch.randn(2, 3, 40, 25)).shape == (2, 60, 40)
        batch = list(seen)
        seen.clear()
        # one clip, frame by frame, long enough for every layer to answer
        frames = 2 + net.latency_frames
        assert stream(net, torch.randn(1, 3, frames, 25)).shape == (1, 60, frames)
    assert all(shape[:2] == (2, 40) for _, shape in batch)
    assert all(shape[:2] == (1, 1) for _, shape in seen)
    # a TemporalConv convolves in `step` without being called: everything else is
    called = {n: s[2:] for n, s in batch if "tconv" not in n and n != "stem"}
    assert {n: s[2:] for n, s in seen} == called
    joints = 1 if name == "tcn" else 25
    for i, width in enumerate(channels):
        block = net.blocks[i]
        norm = f"blocks.{i}.norm" if name == "tcn" else f"blocks.{i}.{_last_norm(block)}"
        entering = (64, *channels[:-1])[i] if name == "tcn" else width
        assert dict(batch)[norm][2:] == (joints, entering)
        if isinstance(getattr(block, "gcn", None), GraphConv):
            assert called[f"blocks.{i}.gcn"] == (25, width)
    assert called["classifier"] == (1, 60)
    assert called["input_norm"] == (75,)


def _last_norm(block: nn.Module) -> str:
    return "norm" if isinstance(block, Block) else "tnorm"


def test_clip_dimensions() -> None:
    net = STGCN(3, 60, graph("ntu")).eval()
    seen = _watch(net)
    with torch.no_grad():
        assert net(torch.randn(2, 3, 40, 25, 2)).shape == (2, 60)
    shapes: Shapes = dict(seen)
    frames = (40, 40, 40, 40, 20, 20, 20, 10, 10, 10)
    entering = (40, *frames[:-1])
    for i, width in enumerate(CHANNELS):
        assert shapes[f"blocks.{i}.gcn"] == (4, entering[i], 25, width)
        assert shapes[f"blocks.{i}.tconv"] == (4, frames[i], 25, width)
        assert shapes[f"blocks.{i}.tnorm"] == (4, frames[i], 25, width)
    assert shapes["classifier"] == (2, 1, 1, 60)


def test_any_number_of_persons_clips_and_frames() -> None:
    net = STGCN(3, 60, graph("ntu")).eval()
    for clips, frames, persons in ((1, 1, 1), (3, 5, 2), (1, 9, 5)):
        x: Tensor = torch.randn(clips, 3, frames, 25, persons)
        with torch.no_grad():
            assert net(x).shape == (clips, 60)
