"""Float networks: batch equals realtime, observers see every accumulator, sums are exact."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fxp.floatnet import FloatNet
from fxp.ir import lookaheads
from fxp.outline import outline
from fxp.spec import ArchSpec
from stgcn_ref.folding import folded_parameters
from stgcn_ref.models.blocks import ChannelNorm, GraphConv
from stgcn_ref.models.build import build
from stgcn_ref.models.rtstgcn import RTSTGCN
from stgcn_ref.models.window import window_sum
from tests.networks import small_arch, small_msgcn

torch.set_num_threads(1)


def _arch(**over: object) -> ArchSpec:
    base: dict[str, object] = {
        "skeleton": "hugadb",
        "in_channels": 6,
        "embedding": 4,
        "channels": (4, 8),
        "window": 3,
        "dilation": 1,
        "classes": 5,
    }
    return ArchSpec.model_validate(base | over)


def _network(arch: ArchSpec, seed: int = 0) -> RTSTGCN:
    """A random network, its norms' statistics taken from noise, ready for inference."""
    torch.manual_seed(seed)
    net = build(arch)
    assert isinstance(net, RTSTGCN)
    with torch.no_grad():
        for name, value in net.named_parameters():
            if name.endswith(("importance", "norm.weight", "residual.1.weight")):
                value.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                value.uniform_(-0.5, 0.5)
        for module in net.modules():
            if isinstance(module, ChannelNorm):
                module.momentum = 1.0
        net(torch.randn(2, arch.in_channels, 100, net.joints))
    return net.eval()


def _stream(net: RTSTGCN, x: Tensor) -> Tensor:
    state = net.stream_state(x.shape[0])
    with torch.no_grad():
        return torch.stack([net.step(x[:, :, t], state) for t in range(x.shape[2])], dim=2)


def _naive_sum(x: Tensor, window: int, dilation: int) -> Tensor:
    out = torch.zeros_like(x)
    for t in range(x.shape[1]):
        for k in range(window):
            if t - k * dilation >= 0:
                out[:, t] += x[:, t - k * dilation]
    return out


@pytest.mark.parametrize("window", range(1, 18))
@pytest.mark.parametrize("dilation", [1, 2, 3, 5])
@pytest.mark.parametrize("frames", [1, 4, 40])
def test_window_sum_is_its_definition(window: int, dilation: int, frames: int) -> None:
    # Small integers are exact in float, so any order of summation gives the same words.
    x = torch.randint(-9, 9, (2, frames, 3)).float()
    assert torch.equal(window_sum(x, window, dilation), _naive_sum(x, window, dilation))


@pytest.mark.parametrize(("window", "dilation"), [(1, 1), (3, 1), (6, 2), (7, 3), (30, 1)])
def test_window_sum_gradient(window: int, dilation: int) -> None:
    x = torch.randn(2, 12, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: window_sum(v, window, dilation), (x,))


@settings(max_examples=25, deadline=None)
@given(
    window=st.lists(st.integers(1, 12), min_size=3, max_size=3),
    dilation=st.lists(st.integers(1, 6), min_size=3, max_size=3),
    channels=st.lists(st.integers(1, 6), min_size=3, max_size=3),
    partition=st.sampled_from(["uniform", "distance", "spatial"]),
    skeleton=st.sampled_from(["hugadb", "lara"]),
    frames=st.integers(1, 40),
    seed=st.integers(0, 1000),
)
def test_batch_equals_realtime(
    window: list[int],
    dilation: list[int],
    channels: list[int],
    partition: str,
    skeleton: str,
    frames: int,
    seed: int,
) -> None:
    arch = _arch(
        skeleton=skeleton,
        partition=partition,
        channels=channels,
        window=window,
        dilation=dilation,
    )
    net = _network(arch, seed)
    x = torch.randn(2, arch.in_channels, frames, net.joints)
    with torch.no_grad():
        batch = net(x)
    assert batch.shape == (2, arch.classes, frames)
    torch.testing.assert_close(_stream(net, x), batch, rtol=1e-5, atol=1e-5)


def test_realtime_does_not_drift() -> None:
    net = _network(_arch(window=(9, 5), dilation=(1, 3)))
    x = 30 * torch.randn(1, 6, 3000, net.joints)
    with torch.no_grad():
        batch = net(x)
    late = (_stream(net, x) - batch)[:, :, -500:].abs().max()
    assert late < 1e-5 * batch.abs().max()


def test_a_new_state_forgets_the_last_clip() -> None:
    net = _network(_arch())
    x = torch.randn(1, 6, 20, net.joints)
    first = _stream(net, x)
    assert torch.equal(_stream(net, x), first)
    state = net.stream_state()
    with torch.no_grad():
        carried = [net.step(x[:, :, t % 20], state) for t in range(21)][-1]
    assert not torch.allclose(carried, first[:, :, 0], atol=1e-4)


def test_the_future_changes_nothing_and_the_receptive_field_is_exact() -> None:
    net = _network(_arch(window=(3, 4), dilation=(2, 3)))
    assert net.receptive_field == 1 + 2 * 2 + 3 * 3
    x = torch.randn(1, 6, 40, net.joints)
    x.requires_grad_()
    net(x)[0, :, 30].sum().backward()
    assert x.grad is not None
    touched = x.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert touched.max() == 30
    assert touched.min() >= 30 - net.receptive_field + 1


@pytest.mark.parametrize("partition", ["uniform", "spatial"])
def test_observed_accumulators(partition: str) -> None:
    net = _network(_arch(partition=partition, channels=(4, 8)))
    seen: dict[str, Tensor] = {}
    x = torch.randn(2, 6, 7, net.joints)
    with torch.no_grad():
        watched = net(x, observe=seen.__setitem__)
        torch.testing.assert_close(watched, net(x), rtol=1e-5, atol=1e-5)
    p = net.blocks[0].gcn.partitions
    shapes = {
        "input_norm": (6, 7, 6),
        "embedding": (4, 7, 6),
        "block0.conv": (p * 4, 7, 6),
        "block0.graph": (4, 7, 6),
        "block0.sum": (4, 7, 6),
        "block0.norm": (4, 7, 6),
        "block0.add": (4, 7, 6),
        "block1.conv": (p * 8, 7, 6),
        "block1.graph": (8, 7, 6),
        "block1.sum": (8, 7, 6),
        "block1.norm": (8, 7, 6),
        "block1.residual": (8, 7, 6),
        "block1.add": (8, 7, 6),
        "pool": (8, 7, 1),
        "classifier": (5, 7, 1),
    }
    assert list(seen) == list(shapes)
    assert {name: tuple(v.shape) for name, v in seen.items()} == {
        name: (2, *shape) for name, shape in shapes.items()
    }
    assert torch.equal(seen["classifier"].squeeze(3), watched)
    assert (seen["block0.norm"] < 0).any()
    block = net.blocks[0]
    torch.testing.assert_close(
        seen["block0.add"], torch.relu(seen["block0.norm"]) + seen["embedding"]
    )
    graph = torch.einsum(
        "npctv,pvw->nctw", seen["block0.conv"].unflatten(1, (p, 4)), block.gcn.graph()
    )
    torch.testing.assert_close(seen["block0.graph"], graph, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("importance", [1.0, 0.3])
def test_graph_conv_is_its_definition(importance: float) -> None:
    gcn = GraphConv(3, 5, torch.rand(2, 4, 4))
    with torch.no_grad():
        gcn.importance.fill_(importance)
    x = torch.randn(1, 6, 4, 3)
    weight, bias = gcn.conv.weight.view(2, 5, 3), gcn.conv.bias.view(2, 5)
    inner = torch.einsum("poi,ntvi->ntpvo", weight, x) + bias[:, None]
    expected = torch.einsum("ntpvo,pvw->ntwo", inner, gcn.adjacency * importance)
    torch.testing.assert_close(gcn(x), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gcn(x, lambda *_: None), expected, rtol=1e-5, atol=1e-5)


def test_input_statistics_whiten_raw_words() -> None:
    net = build(_arch()).eval()
    x = 1000 + 300 * torch.randn(1, 6, 500, net.joints)
    x[:, 2, :, 3] = 7.0  # a dead channel of one sensor
    net.set_input_statistics(x.mean(dim=(0, 2)), x.var(dim=(0, 2), correction=0))
    seen: dict[str, Tensor] = {}
    net(x, observe=seen.__setitem__)
    y = seen["input_norm"]
    assert y.mean(dim=(0, 2)).abs().max() < 1e-3
    spread = y.std(dim=(0, 2), correction=0)
    spread[2, 3] += 1
    torch.testing.assert_close(spread, torch.ones_like(spread), rtol=1e-3, atol=1e-3)


def test_words_of_any_integer_type_are_taken() -> None:
    net = _network(_arch())
    x = torch.randint(-5, 5, (1, 6, 9, net.joints))
    assert torch.equal(net(x), net(x.float()))


def test_every_family_is_built_as_its_outline_says() -> None:
    for arch in (small_arch(), small_arch(family="costgcn"), small_msgcn()):
        net = build(arch, dropout=0.1)
        assert net.training and net.receptive_field > 1
        assert net.latency_frames == max(lookaheads(outline(arch)).values())
        assert FloatNet(arch, folded_parameters(net, "weights"), meta={"fold": "weights"})
