"""Dimensions through every network at its published width, on a batch and on a realtime task."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fxp.ir import Requantise, TemporalSum
from fxp.outline import outline
from fxp.simulate import compile_graph, finish, initial_state, run, step
from fxp.spec import ArchSpec, QuantSpec
from fxp.validate import describe
from hw_model.blueprint import blueprint
from stgcn_ref.models.blocks import Block, ChannelNorm, FrameNorm, GraphConv
from stgcn_ref.models.build import build
from stgcn_ref.models.stgcn import CHANNELS, STRIDES
from stgcn_ref.models.tcn import STRIDES as TCN_STRIDES
from stgcn_ref.models.temporal import TemporalConv, stream, undecimated

torch.set_num_threads(1)

REALTIME = (64, 64, 64, 128, 128, 128, 256, 256, 256)  # of the nine layers on PKU-MMD
LEAVES = (GraphConv, nn.Linear, ChannelNorm, FrameNorm, TemporalConv)
Shapes = dict[str, tuple[int, ...]]


def _arch(**keys: object) -> ArchSpec:
    whole = {"skeleton": "ntu", "in_channels": 3, "classes": 60, "channels": REALTIME, "window": 9}
    return ArchSpec.model_validate(whole | keys)


FRAMEWISE = {
    "rtstgcn": _arch(embedding=64),
    "rtstgcn-layernorm": _arch(embedding=64, norm="layer"),
    "costgcn": _arch(family="costgcn", embedding=64, window=3, dilation=2),
    "costgcn-published": _arch(family="costgcn", channels=CHANNELS, window=3),
    "msgcn": _arch(
        family="msgcn",
        embedding=64,
        channels=(64,) * 3,
        window=3,
        dilation=(1, 2, 4),
        refinements=1,
    ),
}
FRAMEWISE["tcn"] = _arch(family="tcn", embedding=64, window=3, dilation=undecimated(TCN_STRIDES))
STGCN = _arch(family="stgcn", channels=CHANNELS, stride=STRIDES, persons=2)


def _watch(net: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    """Shapes that the leaf modules give, from now on."""
    seen: list[tuple[str, tuple[int, ...]]] = []
    for name, module in net.named_modules():
        if isinstance(module, LEAVES):
            module.register_forward_hook(
                lambda _, __, y, name=name: seen.append((name, tuple(y.shape)))
            )
    return seen


@pytest.mark.parametrize("name", FRAMEWISE)
def test_batch_and_realtime_dimensions(name: str) -> None:
    channels = FRAMEWISE[name].channels
    net = build(FRAMEWISE[name]).eval()
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
    net = build(STGCN).eval()
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
    net = build(STGCN).eval()
    for clips, frames, persons in ((1, 1, 1), (3, 5, 2), (1, 9, 5)):
        x: Tensor = torch.randn(clips, 3, frames, 25, persons)
        with torch.no_grad():
            assert net(x).shape == (clips, 60)


def _observed(arch: ArchSpec, clips: int, frames: int) -> Shapes:
    """(N, C, T, V) of every accumulator of the float network, and of its words and logits."""
    shapes: Shapes = {}

    def observe(name: str, y: Tensor) -> None:
        shapes[name] = tuple(y.shape)

    persons = (arch.persons,) if arch.family == "stgcn" else ()
    x = torch.randn(clips, 3, frames, 25, *persons)
    with torch.no_grad():
        shapes["logits"] = tuple(build(arch).eval()(x, observe).shape)
    return shapes


@pytest.mark.parametrize("name", [*FRAMEWISE, "stgcn"])
def test_float_and_integer_accumulators(name: str) -> None:
    """The float network observes what the integer network has: in number, shape and frame rate."""
    arch = FRAMEWISE.get(name, STGCN)
    clips, frames = 2, 21
    seen, about = _observed(arch, clips, frames), describe(outline(arch))
    assert (about["input"].channels, about["input"].joints) == (3, 25 * arch.persons)
    last = (clips, 60) if arch.family == "stgcn" else (clips, 60, frames)
    assert seen.pop("logits") == last
    accumulators = {
        *(node.x for node in outline(arch).nodes if isinstance(node, Requantise)),
        *(node.name for node in outline(arch).nodes if isinstance(node, TemporalSum)),
    }
    assert seen.keys() == accumulators
    for accumulator, (rows, channels, length, joints) in seen.items():
        value = about[accumulator]
        assert channels == value.channels, accumulator
        assert rows * joints == clips * value.joints, accumulator  # persons are rows, or joints
        assert length == (-(-frames // value.period) if value.period else 1), accumulator
    assert about["label"].channels == about["label"].joints == 1


@pytest.mark.parametrize("name", [*FRAMEWISE, "stgcn"])
def test_integer_dimensions_in_batch_and_in_realtime(name: str) -> None:
    arch = FRAMEWISE.get(name, STGCN)
    graph, frames = blueprint(arch, QuantSpec()), 9
    about, plan = describe(graph), compile_graph(graph)
    taps = list(about)
    x = np.zeros((frames, 3, 25 * arch.persons), np.int64)
    batch, _ = run(plan, x, taps=taps)
    state, steps = initial_state(plan), []
    for frame in x:
        steps.append({key: value[None] for key, value in step(plan, frame, state, taps).items()})
    steps.append(finish(plan, state, taps))
    for key, value in about.items():
        whole = (-(-frames // value.period) if value.period else 1, value.channels, value.joints)
        assert batch[key].shape == whole, key
        pieces = [answers[key] for answers in steps if key in answers]
        assert sum(len(piece) for piece in pieces) == whole[0], key
        assert all(piece.shape[1:] == whole[1:] for piece in pieces), key
