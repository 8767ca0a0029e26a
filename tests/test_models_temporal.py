"""Temporal convolution: its definition, torch's convolution, and the realtime form."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from stgcn_ref.models.temporal import TemporalConv, undecimated

torch.set_num_threads(1)


def _naive(conv: TemporalConv, x: Tensor) -> Tensor:
    n, frames, joints, _ = x.shape
    outputs = -(-frames // conv.stride)
    y = conv.bias.expand(n, outputs, joints, -1).clone()
    for t in range(outputs):
        for k in range(conv.taps):
            s = t * conv.stride + conv.lookahead - (conv.taps - 1 - k) * conv.dilation
            if 0 <= s < frames:
                y[:, t] += x[:, s] @ conv.weight[:, :, k].T
    return y


@pytest.mark.parametrize("taps", [1, 2, 3, 4])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_temporal_conv_is_its_definition(
    taps: int, dilation: int, stride: int, frames: int
) -> None:
    x = torch.randn(2, frames, 3, 4, dtype=torch.float64)
    for lookahead in (None, *range((taps - 1) * dilation + 1)):
        conv = TemporalConv(4, 5, taps, dilation, stride, lookahead).double()
        assert conv.span == (taps - 1) * dilation
        assert conv.lookahead == (conv.span // 2 if lookahead is None else lookahead)
        torch.testing.assert_close(conv(x), _naive(conv, x))


@pytest.mark.parametrize("stride", [1, 2])
def test_symmetric_padding_is_torchs(stride: int) -> None:
    conv = TemporalConv(4, 5, taps=9, dilation=2, stride=stride)
    x = torch.randn(2, 20, 3, 4)
    expected = F.conv2d(
        x.permute(0, 3, 1, 2),
        conv.weight[..., None],
        conv.bias,
        stride=(stride, 1),
        padding=(8, 0),
        dilation=(2, 1),
    )
    torch.testing.assert_close(conv(x).permute(0, 3, 1, 2), expected)


@settings(max_examples=40, deadline=None)
@given(
    taps=st.integers(1, 5),
    dilation=st.integers(1, 4),
    share=st.floats(0, 1),
    frames=st.integers(1, 12),
)
def test_realtime_answers_for_every_frame(
    taps: int, dilation: int, share: float, frames: int
) -> None:
    ahead = round(share * (taps - 1) * dilation)
    conv = TemporalConv(2, 3, taps, dilation, lookahead=ahead).double()
    x = torch.randn(2, frames, 1, 2, dtype=torch.float64)
    state = conv.initial_state(2, 1)
    with torch.no_grad():
        assert conv.step(None, state) is None  # nothing has come yet
        answers = [conv.step(x[:, t : t + 1], state) for t in range(frames)]
        answers += [conv.step(None, state) for _ in range(ahead + 2)]
        there = [t for t, y in enumerate(answers) if y is not None]
        assert there == [ahead + t for t in range(frames)]
        live = torch.cat([y for y in answers if y is not None], dim=1)
        torch.testing.assert_close(live, conv(x))


def test_no_frame_after_the_end() -> None:
    conv = TemporalConv(1, 1, taps=5)
    state = conv.initial_state(1, 1)
    frame = torch.ones(1, 1, 1, 1)
    conv.step(frame, state)
    conv.step(None, state)
    with pytest.raises(ValueError, match="a frame follows the end of the clip"):
        conv.step(frame, state)


def test_initial_weights_are_a_convolutions() -> None:
    torch.manual_seed(0)
    conv = TemporalConv(50, 60, taps=3)
    bound = 1 / 150**0.5
    for value in (conv.weight, conv.bias):
        assert 0.9 * bound < value.abs().max() <= bound
        assert value.std().item() == pytest.approx(bound / 3**0.5, rel=0.2)


def test_undecimated_dilations() -> None:
    assert undecimated((1, 1, 2, 1, 3, 1)) == (1, 1, 1, 2, 2, 6)
    assert undecimated((2,)) == (1,)
