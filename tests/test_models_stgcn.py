"""ST-GCN: size as published, persons, frame rate, what it looks at, what an observer sees."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stgcn_ref.models.stgcn import CHANNELS, STGCN, STRIDES, STBlock
from tests.families import graph, settled

torch.set_num_threads(1)


def _tiny(channels: tuple[int, ...] = (4, 6), strides: tuple[int, ...] = (1, 2)) -> STGCN:
    x = torch.randn(3, 2, 40, 6, 2)
    net = settled(lambda: STGCN(2, 5, graph(), channels, strides, taps=3), x)
    assert isinstance(net, STGCN)
    return net


def test_published_size() -> None:
    net = STGCN(3, 400, graph("openpose"))
    parameters = sum(value.numel() for value in net.parameters())
    # 3.1 million in the authors' model zoo, on Kinetics-skeleton
    assert 3.1e6 < parameters < 3.2e6
    inputs = (3, *CHANNELS[:-1])
    by_hand = 2 * 3 * 18 + 257 * 400
    for i, (c_in, c_out, stride) in enumerate(zip(inputs, CHANNELS, STRIDES, strict=True)):
        by_hand += 3 * c_out * (c_in + 1) + c_out * (9 * c_out + 1) + 4 * c_out + 3 * 18 * 18
        if i and (c_in != c_out or stride != 1):
            by_hand += c_out * (c_in + 1) + 2 * c_out
    assert parameters == by_hand


def test_shape_and_frame_rate_through_the_published_blocks() -> None:
    net = STGCN(3, 60, graph("ntu")).eval()
    seen: dict[str, tuple[int, ...]] = {}
    x = torch.randn(2, 3, 32, 25, 2)

    def observe(name: str, y: Tensor) -> None:
        seen[name] = tuple(y.shape)

    with torch.no_grad():
        assert net(x, observe).shape == (2, 60)
    frames = (32, 32, 32, 32, 16, 16, 16, 8, 8, 8)
    for i, (channels, length) in enumerate(zip(CHANNELS, frames, strict=True)):
        assert seen[f"block{i}.tconv"] == (4, channels, length, 25)
        assert (f"block{i}.residual" in seen) == (i in (4, 7))
        assert (f"block{i}.add" in seen) == (i > 0)
    assert seen["pool"] == (2, 256, 8, 1)
    assert seen["clip_pool"] == (2, 256, 1, 1)
    assert seen["classifier"] == (2, 60, 1, 1)


def test_persons_are_averaged() -> None:
    net = _tiny()
    x = torch.randn(3, 2, 11, 6, 2)
    with torch.no_grad():
        both = net(x)
        torch.testing.assert_close(net(x.flip(4)), both)
        alone = (net(x[..., :1]) + net(x[..., 1:])) / 2  # the classifier is linear
        torch.testing.assert_close(alone, both)
        torch.testing.assert_close(net(x[..., [0, 0]]), net(x[..., :1]))


def test_reach_of_the_last_block() -> None:
    net = STGCN(3, 60, graph("ntu"))
    # 4 blocks and the fifth's taps 1 frame apart, 3 blocks' 2, 2 blocks' 4: 8 and 4 frames each
    assert net.receptive_field == 1 + 8 * (5 + 2 * 3 + 4 * 2)
    assert net.latency_frames == 4 * (5 + 2 * 3 + 4 * 2)


@pytest.mark.parametrize("relu_first", [False, True])
def test_where_the_relu_stands(relu_first: bool) -> None:
    x = torch.randn(2, 9, 6, 4)
    block = settled(lambda: STBlock(4, 4, graph(), 3, relu_first=relu_first), x)
    seen: dict[str, Tensor] = {}
    with torch.no_grad():
        y = block(x, seen.__setitem__, "b")
    main, total = seen["b.tconv"], y.permute(0, 3, 1, 2)
    x = x.permute(0, 3, 1, 2)
    assert (main < 0).any() and (seen["b.add"] < 0).any()
    if relu_first:
        assert torch.equal(total, main.relu() + x)
        assert torch.equal(seen["b.add"], total)
    else:
        assert torch.equal(total, (main + x).relu())
        assert torch.equal(seen["b.add"], main + x)


def test_dropout_acts_in_training_only() -> None:
    net = STGCN(2, 5, graph(), (4, 4), (1, 1), taps=3, dropout=0.5)
    x = torch.randn(2, 2, 9, 6, 1)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))
