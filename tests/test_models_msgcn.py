"""MS-GCN: batch equals realtime through all stages, delays as stated, order inside a block."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stgcn_ref.models.msgcn import MSGCN
from tests.families import check_delay, check_float32_stream, check_stream, graph, reach, settled

torch.set_num_threads(1)


def _tiny(dilations: list[int], taps: int = 3, refinements: int = 2, seed: int = 0) -> MSGCN:
    x = torch.randn(2, 3, 60, 6)
    net = settled(lambda: MSGCN(3, 5, graph(), 4, dilations, taps, refinements), x, seed)
    assert isinstance(net, MSGCN)
    return net


def test_published_size_and_delay() -> None:
    net = MSGCN(6, 12, graph())
    # four stages of ten layers, each looking 1 + 2 + ... + 512 frames ahead
    assert net.latency_frames == 4 * 1023
    assert net.receptive_field == 1 + 2 * 4 * 1023
    norm, filters, classes = 2 * 64, 64, 12
    block = 3 * filters * (filters + 1) + filters * (3 * filters + 1) + 2 * norm + 3 * 6 * 6
    layer = filters * (3 * filters + 1) + norm
    first = 2 * 36 + filters * (6 + 1) + 10 * block + classes * (filters + 1)
    rest = filters * (classes + 1) + 10 * layer + classes * (filters + 1)
    parameters = sum(value.numel() for value in net.parameters())
    assert parameters == first + 3 * rest == 632_496


def test_batch_equals_realtime_in_float32() -> None:
    x = torch.randn(2, 3, 60, 6)
    check_float32_stream(settled(lambda: MSGCN(3, 5, graph(), 16, (1, 2, 4), refinements=2), x), x)


@settings(max_examples=20, deadline=None)
@given(
    dilations=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    taps=st.sampled_from([1, 3, 5]),
    refinements=st.integers(0, 3),
    frames=st.integers(1, 40),
    seed=st.integers(0, 1000),
)
def test_batch_equals_realtime(
    dilations: list[int], taps: int, refinements: int, frames: int, seed: int
) -> None:
    check_stream(_tiny(dilations, taps, refinements, seed), torch.randn(2, 3, frames, 6))


def test_delay_and_reach() -> None:
    net = _tiny([1, 2, 4], refinements=1)
    assert net.latency_frames == 14
    assert net.receptive_field == 29
    x = torch.randn(2, 3, 60, 6)
    check_delay(net, x)
    assert reach(net, x, 30) == (16, 44)


def test_all_stages() -> None:
    net = _tiny([1, 2])
    x = torch.randn(2, 3, 9, 6)
    with torch.no_grad():
        stages, last = net(x, all_stages=True), net(x)
    assert stages.shape == (3, 2, 5, 9)
    assert torch.equal(stages[-1], last)
    assert not torch.allclose(stages[0], stages[1])


def test_accumulators_and_order() -> None:
    net = _tiny([1, 2])
    seen: dict[str, Tensor] = {}
    with torch.no_grad():
        stages = net(torch.randn(1, 3, 9, 6), seen.__setitem__, all_stages=True)
    inner = ("conv", "graph", "norm", "tconv", "add")
    blocks = [f"block{i}.{part}" for i in (0, 1) for part in inner]
    parts = ("softmax", "embedding", "layer0.tconv", "layer0.add", "layer1.tconv", "layer1.add")
    later = [f"stage{s}.{part}" for s in (1, 2) for part in (*parts, "classifier")]
    assert list(seen) == ["input_norm", "embedding", *blocks, "pool", "classifier", *later]
    for now, before in (("block1", "block0.add"), ("stage1.layer0", "stage1.embedding")):
        main = seen[f"{now}.tconv"]
        assert (main < 0).any() and (seen[f"{now}.add"] < 0).any()
        assert torch.equal(seen[f"{now}.add"], main.relu() + seen[before])
    for s, logits in enumerate(stages[:-1], start=1):
        shares = seen[f"stage{s}.softmax"].squeeze(3)
        torch.testing.assert_close(shares, logits.softmax(dim=1))
        assert torch.equal(seen[f"stage{s}.classifier"].squeeze(3), stages[s])
