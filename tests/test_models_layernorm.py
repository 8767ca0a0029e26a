"""RT-ST-GCN with the published norms: LayerNorm per frame, BatchNorm per batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fxp.errors import InputError
from stgcn_ref.models.blocks import FrameNorm, NoResidual, give_residual
from stgcn_ref.models.layernorm import BatchStatisticsRTSTGCN, LayerNormRTSTGCN
from stgcn_ref.models.rtstgcn import RTSTGCN
from tests.families import check_float32_stream, check_stream, graph, reach, settled

torch.set_num_threads(1)


def _tiny(kind: type[RTSTGCN], seed: int = 0, **over: Any) -> RTSTGCN:
    keys: dict[str, Any] = {"channels": (4, 4, 6), "window": (3, 4, 2), "dilation": (1, 2, 3)}
    x = torch.randn(2, 3, 30, 6)
    net = settled(lambda: kind(3, 4, classes=5, adjacency=graph(), **keys | over), x, seed)
    assert isinstance(net, RTSTGCN)
    return net


def test_frame_norm_by_hand() -> None:
    norm = FrameNorm((2, 2))
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        norm.bias.copy_(torch.tensor([[0.0, 1.0], [2.0, 3.0]]))
    # deviations -3, -1, 1, 3; sum of squares 20 over 4 - 1 features
    y = norm(torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]]]))
    unit = (20 / 3 + 1e-5) ** -0.5
    expected = torch.tensor([[-3 * unit, 1 - 2 * unit], [2 + 3 * unit, 3 + 12 * unit]])
    torch.testing.assert_close(y[0, 0], expected)


@pytest.mark.parametrize("features", [(3, 4), (12,), (1, 2)])
def test_frame_norm_is_torchs_with_another_variance(features: tuple[int, ...]) -> None:
    x = 5 + 3 * torch.randn(2, 7, *features, dtype=torch.float64)
    count = torch.tensor(features).prod().item()
    norm = FrameNorm(features).double()
    # a biased variance (1 - 1/n) of ours, so an eps as much smaller
    theirs = torch.nn.functional.layer_norm(x, features, eps=norm.eps * (count - 1) / count)
    torch.testing.assert_close(norm(x), theirs * ((count - 1) / count) ** 0.5)


def test_a_single_feature_has_no_variance() -> None:
    with pytest.raises(InputError, match="at least two features are needed, got 1"):
        FrameNorm((1, 1))


def test_batch_equals_realtime_in_float32() -> None:
    x = torch.randn(2, 3, 60, 6)
    check_float32_stream(
        settled(lambda: LayerNormRTSTGCN(3, 16, (16, 32), (9, 9), (1, 2), 5, graph()), x), x
    )


@settings(max_examples=15, deadline=None)
@given(
    window=st.lists(st.integers(1, 8), min_size=3, max_size=3),
    dilation=st.lists(st.integers(1, 4), min_size=3, max_size=3),
    channels=st.lists(st.integers(1, 6), min_size=3, max_size=3),
    frames=st.integers(1, 30),
    seed=st.integers(0, 1000),
)
def test_batch_equals_realtime(
    window: list[int], dilation: list[int], channels: list[int], frames: int, seed: int
) -> None:
    net = _tiny(LayerNormRTSTGCN, seed, channels=channels, window=window, dilation=dilation)
    assert net.latency_frames == 0
    check_stream(net, torch.randn(2, 3, frames, 6))


def test_layer_norms_everywhere_and_the_past_only() -> None:
    net = _tiny(LayerNormRTSTGCN)
    kinds = [type(m).__name__ for m in net.modules() if "Norm" in type(m).__name__]
    assert kinds == ["LayerNormRTSTGCN"] + 5 * ["FrameNorm"]
    x = torch.randn(1, 3, 30, 6)
    assert reach(net, x, 25) == (25 - net.receptive_field + 1, 25)
    net.set_input_statistics(torch.ones(3, 6), torch.ones(3, 6))
    assert torch.equal(net(x), net(x))


def test_batch_statistics_normalise_whole_batches() -> None:
    net = _tiny(BatchStatisticsRTSTGCN)
    x = torch.randn(2, 3, 20, 6)
    seen: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        batch = net(100 + 50 * x, seen.__setitem__)
        torch.testing.assert_close(net(x), batch, rtol=1e-3, atol=1e-3)  # scale is forgotten
        assert not torch.allclose(net(x[:1]), batch[:1], atol=1e-2)
    weight = net.input_norm.weight.view(6, 3).T
    spread = seen["input_norm"].std(dim=(0, 2), correction=0)
    torch.testing.assert_close(spread, weight, rtol=1e-3, atol=1e-3)


def test_batch_statistics_have_no_realtime_form() -> None:
    with pytest.raises(InputError, match=r"no running statistics .* no realtime form"):
        _tiny(BatchStatisticsRTSTGCN).stream_state()


def test_residual_of_a_dilated_layer() -> None:
    net = _tiny(LayerNormRTSTGCN, channels=(4, 4, 4))
    block = net.blocks[1]
    assert block.residual is None
    give_residual(block)
    conv, norm = block.residual
    assert isinstance(norm, FrameNorm) and norm is not block.norm
    x = torch.randn(2, 3, 9, 6)
    seen: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        net(x, seen.__setitem__)
        before = seen["block0.add"].relu().permute(0, 2, 3, 1)
        expected = conv(before)
    torch.testing.assert_close(seen["block1.residual"], expected.permute(0, 3, 1, 2))
    torch.testing.assert_close(seen["block1.residual_norm"], norm(expected).permute(0, 3, 1, 2))
    check_stream(net, x)


def test_a_layer_without_residual() -> None:
    net = _tiny(LayerNormRTSTGCN)
    net.blocks[2].residual = NoResidual()
    x = torch.randn(2, 3, 9, 6)
    seen: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        net(x, seen.__setitem__)
        before = seen["block1.add"].relu().permute(0, 2, 3, 1)
        y = net.blocks[2](before, {}.setdefault)
    assert "block2.add" not in seen and "block2.residual" not in seen
    assert torch.equal(y.permute(0, 3, 1, 2), seen["block2.norm"].relu())
    check_stream(net, x)
