"""CoST-GCN: batch equals realtime, delays, the strided network it comes from, its accumulators."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fxp.ir import Requantise
from fxp.outline import outline
from fxp.spec import ArchSpec
from stgcn_ref.models.costgcn import CoSTGCN, continual
from stgcn_ref.models.stgcn import STGCN
from tests.families import check_delay, check_float32_stream, check_stream, graph, reach, settled

torch.set_num_threads(1)


def _tiny(embedding: int | None = None, **over: object) -> CoSTGCN:
    keys: dict[str, object] = {"channels": (4, 4, 6), "taps": (3, 5, 3), "dilation": (1, 2, 3)}
    x = torch.randn(2, 3, 60, 6)
    make = lambda: CoSTGCN(3, 5, graph(), embedding=embedding, **keys | over)  # noqa: E731
    net = settled(make, x)
    assert isinstance(net, CoSTGCN)
    return net


def test_batch_equals_realtime_in_float32() -> None:
    x = torch.randn(2, 3, 60, 6)
    check_float32_stream(settled(lambda: CoSTGCN(3, 5, graph(), (16, 32, 32)), x), x)


@settings(max_examples=15, deadline=None)
@given(
    taps=st.lists(st.integers(1, 9), min_size=3, max_size=3),
    dilation=st.lists(st.integers(1, 4), min_size=3, max_size=3),
    channels=st.lists(st.integers(1, 6), min_size=3, max_size=3),
    embedding=st.none() | st.integers(1, 5),
    strategy=st.sampled_from(["uniform", "distance", "spatial"]),
    frames=st.integers(1, 50),
    seed=st.integers(0, 1000),
)
def test_batch_equals_realtime(
    taps: list[int],
    dilation: list[int],
    channels: list[int],
    embedding: int | None,
    strategy: str,
    frames: int,
    seed: int,
) -> None:
    def make() -> CoSTGCN:
        adjacency = graph("hugadb", strategy)
        return CoSTGCN(3, 5, adjacency, channels, taps, dilation, embedding)

    net = settled(make, torch.randn(2, 3, 60, 6), seed)
    assert isinstance(net, CoSTGCN)
    check_stream(net, torch.randn(2, 3, frames, 6))


def test_delay_and_reach() -> None:
    net = _tiny()
    assert net.latency_frames == 1 + 4 + 3
    assert net.receptive_field == 1 + 2 + 8 + 6
    x = torch.randn(2, 3, 60, 6)
    check_delay(net, x)
    assert reach(net, x, 30) == (22, 38)


def test_the_published_ten_blocks() -> None:
    net = CoSTGCN(3, 60, graph("ntu"))
    assert net.latency_frames == 40
    assert net.receptive_field == 81
    strided = STGCN(3, 60, graph("ntu"))
    sizes = [sum(value.numel() for value in n.parameters()) for n in (net, strided)]
    assert sizes[0] == sizes[1]


def test_a_new_state_forgets_the_last_clip() -> None:
    net = _tiny()
    check_stream(net, torch.randn(1, 3, 20, 6))
    check_stream(net, torch.randn(1, 3, 20, 6))


@pytest.mark.parametrize("frames", [1, 7, 40, 41])
@pytest.mark.parametrize("strides", [(1, 2, 1, 2, 1), (2, 1, 1, 1, 3)])
def test_a_strided_network_frame_by_frame(strides: tuple[int, ...], frames: int) -> None:
    x = torch.randn(2, 3, 41, 6, 2)
    net = settled(lambda: STGCN(3, 5, graph(), (4, 4, 4, 6, 6), strides, taps=3), x)
    assert isinstance(net, STGCN)
    made = continual(net)
    assert (made.receptive_field, made.latency_frames) == (net.receptive_field, net.latency_frames)
    x = x[:, :, :frames]
    apart = torch.tensor(strides).prod()
    with torch.no_grad():
        frame_logits = torch.stack([made(x[..., m])[:, :, ::apart] for m in range(2)])
        torch.testing.assert_close(frame_logits.mean(dim=(0, 3)), net(x), rtol=1e-4, atol=1e-5)
    check_stream(made, x[..., 0])


def test_accumulators_are_those_of_the_integer_network() -> None:
    arch = ArchSpec.model_validate(
        {
            "family": "costgcn",
            "skeleton": "hugadb",
            "in_channels": 3,
            "embedding": 4,
            "channels": (4, 6),
            "window": 3,
            "classes": 5,
        }
    )
    cast = [node.x for node in outline(arch).nodes if isinstance(node, Requantise)]
    net = _tiny(embedding=4, channels=(4, 6), taps=3, dilation=1)
    seen: dict[str, Tensor] = {}
    x = torch.randn(1, 3, 7, 6)
    with torch.no_grad():
        logits = net(x, seen.__setitem__)
    assert set(seen) == set(cast)
    assert seen["block0.conv"].shape == (1, 12, 7, 6)
    assert seen["block1.residual"].shape == seen["block1.add"].shape == (1, 6, 7, 6)
    assert torch.equal(seen["classifier"].squeeze(3), logits)
    total = seen["block1.tconv"] + seen["block1.residual"]
    assert torch.equal(seen["block1.add"], total)


def test_input_statistics_whiten_raw_words() -> None:
    net = CoSTGCN(3, 5, graph(), (4,), 3).eval()
    x = 1000 + 300 * torch.randn(1, 3, 500, 6)
    x[:, 2, :, 3] = 7.0  # a dead channel of one sensor
    net.set_input_statistics(x.mean(dim=(0, 2)), x.var(dim=(0, 2), correction=0))
    seen: dict[str, Tensor] = {}
    net(x, seen.__setitem__)
    y = seen["input_norm"]
    assert y.mean(dim=(0, 2)).abs().max() < 1e-3
    spread = y.std(dim=(0, 2), correction=0)
    assert spread[2, 3] == 0
    spread[2, 3] = 1
    torch.testing.assert_close(spread, torch.ones_like(spread), rtol=1e-3, atol=1e-3)
