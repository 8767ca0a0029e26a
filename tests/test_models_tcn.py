"""The residual TCN: the published strided network in torch's own layers, and the realtime form."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from stgcn_ref.models.tcn import TCN, TCNBlock
from stgcn_ref.models.temporal import TemporalConv, undecimated
from tests.families import check_delay, check_float32_stream, check_stream, reach, settled

torch.set_num_threads(1)


def _tiny(channels: list[int], dilation: list[int], taps: int = 4, seed: int = 0) -> TCN:
    x = torch.randn(2, 3, 60, 6)
    net = settled(lambda: TCN(3, 5, 6, channels, dilation, taps, stem=4), x, seed)
    assert isinstance(net, TCN)
    return net


def _published(net: TCN, x: Tensor, strides: tuple[int, ...]) -> Tensor:
    """Clip logits with strides, layer by layer; Keras pads 3 frames before and 4 after 8 taps."""

    def norm(y: Tensor, by: nn.BatchNorm1d) -> Tensor:
        return F.batch_norm(y, by.running_mean, by.running_var, by.weight, by.bias)

    def conv(y: Tensor, by: TemporalConv, stride: int) -> Tensor:
        before = (by.taps - 1) // 2
        return F.conv1d(F.pad(y, (before, by.taps - 1 - before)), by.weight, by.bias, stride)

    y = x.permute(0, 3, 1, 2).flatten(1, 2)  # (N, V * C, T)
    y = conv(norm(y, net.input_norm), net.stem, 1)
    for block, stride in zip(net.blocks, strides, strict=True):
        assert isinstance(block, TCNBlock)
        main = conv(norm(y, block.norm).relu(), block.tconv, stride)
        y = y[:, :, ::stride]
        if isinstance(block.shortcut, nn.Linear):
            y = F.conv1d(y, block.shortcut.weight[..., None], block.shortcut.bias)
        y = main + y
    return net.classifier(norm(y, net.norm).relu().mean(dim=2))


def test_every_fourth_frame_is_the_published_network() -> None:
    strides = (1, 2, 1, 2, 1)
    net = _tiny([4, 6, 6, 8, 8], list(undecimated(strides)), taps=8)
    x = torch.randn(2, 3, 64, 6)
    with torch.no_grad():
        frames = net(x)[:, :, ::4]
        torch.testing.assert_close(
            frames.mean(dim=2), _published(net, x, strides), rtol=1e-4, atol=1e-5
        )


def test_published_reach() -> None:
    net = TCN(3, 60, 25)
    # stem and four blocks with taps 1 frame apart, three with 2, two with 4: 7 and 4 frames each
    assert net.receptive_field == 1 + 7 * (5 + 2 * 3 + 4 * 2)
    assert net.latency_frames == 4 * (5 + 2 * 3 + 4 * 2)


def test_batch_equals_realtime_in_float32() -> None:
    x = torch.randn(2, 3, 60, 6)
    check_float32_stream(settled(lambda: TCN(3, 5, 6, (16, 32), (1, 2), stem=16), x), x)


@settings(max_examples=20, deadline=None)
@given(
    channels=st.lists(st.integers(1, 6), min_size=2, max_size=2),
    dilation=st.lists(st.integers(1, 4), min_size=2, max_size=2),
    taps=st.integers(1, 8),
    frames=st.integers(1, 40),
    seed=st.integers(0, 1000),
)
def test_batch_equals_realtime(
    channels: list[int], dilation: list[int], taps: int, frames: int, seed: int
) -> None:
    check_stream(_tiny(channels, dilation, taps, seed), torch.randn(2, 3, frames, 6))


def test_delay_and_reach() -> None:
    net = _tiny([4, 6], [1, 2])
    assert (net.latency_frames, net.receptive_field) == (8, 13)
    x = torch.randn(2, 3, 60, 6, generator=torch.Generator().manual_seed(1))
    check_delay(net, x)
    assert reach(net, x, 30) == (26, 38)


def test_accumulators() -> None:
    net = _tiny([4, 6], [1, 2])
    seen: dict[str, Tensor] = {}
    with torch.no_grad():
        logits = net(torch.randn(1, 3, 9, 6), seen.__setitem__)
    blocks = ["block0.norm", "block0.tconv", "block0.add"]
    blocks += ["block1.norm", "block1.tconv", "block1.residual", "block1.add"]
    assert list(seen) == ["input_norm", "stem", *blocks, "norm", "classifier"]
    assert seen["stem"].shape == (1, 4, 9, 1)
    assert torch.equal(seen["classifier"].squeeze(3), logits)
