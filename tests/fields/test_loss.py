"""Tests of the losses and their gradients."""

from typing import get_args

import pytest
import torch

from nefstudy.fields.loss import LOSSES, bce_with_logits
from nefstudy.signals.signal import LossName


def test_every_loss_that_a_kind_may_have_is_written() -> None:
    """There is an implementation for each loss name and for no other name."""
    assert set(LOSSES) == set(get_args(LossName))


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_autograds(name: LossName) -> None:
    """The explicit gradient of the summed losses equals the one from autograd."""
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(3, 7, 2, generator=generator, dtype=torch.float64).requires_grad_()
    targets = torch.rand(3, 7, 2, generator=generator, dtype=torch.float64)
    losses, gradient = LOSSES[name](outputs, targets)
    torch.testing.assert_close(torch.autograd.grad(losses.sum(), outputs)[0], gradient.detach())


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_belongs_to_its_field(name: LossName) -> None:
    """Changing one field's outputs does not change any other field's loss or gradient."""
    generator = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(3, 7, 2, generator=generator), torch.rand(3, 7, 2, generator=generator)
    losses, gradient = LOSSES[name](outputs, targets)
    outputs[1] += 1
    after, other = LOSSES[name](outputs, targets)
    assert torch.equal(after[[0, 2]], losses[[0, 2]])
    assert torch.equal(other[[0, 2]], gradient[[0, 2]])
    assert after[1] != losses[1]


def test_no_logit_overflows() -> None:
    """The cross-entropy is finite for any logit, and correct at both extremes."""
    logits = torch.tensor([[[-1e30], [1e30], [0.0]]])
    losses, gradient = bce_with_logits(logits, torch.tensor([[[0.0], [1.0], [1.0]]]))
    torch.testing.assert_close(losses, torch.tensor([0.6931472 / 3]))
    assert torch.isfinite(gradient).all()
