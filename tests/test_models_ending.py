"""Clips of several lengths in one batch give what each gives alone."""

from __future__ import annotations

import pytest
import torch

from stgcn_ref.models.build import build
from stgcn_ref.models.ending import ending
from stgcn_ref.models.temporal import TemporalConv
from tests.families import settled
from tests.training import AHEAD

LENGTHS = (40, 23, 31, 1)


@pytest.mark.parametrize("name", AHEAD)
def test_a_clip_in_a_batch_is_as_alone(name: str) -> None:
    torch.manual_seed(3)
    x = 50 * torch.randn(len(LENGTHS), 6, max(LENGTHS), 6, dtype=torch.float64)
    net = settled(lambda: build(AHEAD[name]).double(), x)
    for row, length in zip(x, LENGTHS, strict=True):
        row[:, length:] = row[:, length - 1 : length]  # padding as in training: the last frame held
    lengths = torch.tensor(LENGTHS)
    with torch.no_grad():
        with ending(net, lengths, x.shape[2]):
            inside = net(x)
        outside = net(x)
        alone = [net(x[n : n + 1, :, :length])[0] for n, length in enumerate(LENGTHS)]
    for n, length in enumerate(LENGTHS):
        torch.testing.assert_close(inside[n, :, :length], alone[n], rtol=1e-12, atol=1e-12)
    # and that is not so by itself
    assert (outside[1, :, : LENGTHS[1]] - alone[1]).abs().max() > 1e-3
    torch.testing.assert_close(outside[0], alone[0])


def test_gradients_stop_at_the_end() -> None:
    torch.manual_seed(0)
    conv = TemporalConv(2, 2, 5)
    x = torch.randn(2, 9, 1, 2, requires_grad=True)
    with ending(conv, torch.tensor([9, 4]), 9):
        conv(x)[1, 3].sum().backward()
    assert x.grad is not None
    touched = x.grad.abs().sum(dim=(2, 3)) > 0
    assert touched.tolist() == [[False] * 9, [False, True, True, True, *[False] * 5]]


def test_hooks_are_gone_afterwards() -> None:
    conv = TemporalConv(2, 2, 3)
    x = torch.randn(2, 9, 1, 2)
    with pytest.raises(ZeroDivisionError), ending(conv, torch.tensor([9, 4]), 9):
        raise ZeroDivisionError
    assert not conv._forward_pre_hooks
    full = torch.tensor([9, 9])
    with ending(conv, full, 9):
        assert not conv._forward_pre_hooks  # nothing to do, nothing to pay
        conv(x)
