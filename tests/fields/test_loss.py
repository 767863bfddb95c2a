"""Laws of the losses."""

import pytest
import torch

from nefstudy.fields.loss import LOSSES, LossName, bce_with_logits


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_autograds(name: LossName) -> None:
    """The written gradient of the summed losses is autograd's."""
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(3, 7, 2, generator=generator, dtype=torch.float64).requires_grad_()
    targets = torch.rand(3, 7, 2, generator=generator, dtype=torch.float64)
    losses, gradient = LOSSES[name](outputs, targets)
    torch.testing.assert_close(torch.autograd.grad(losses.sum(), outputs)[0], gradient.detach())


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_belongs_to_its_field(name: LossName) -> None:
    """Changing one field's outputs changes its own loss and gradient only, to the bit."""
    generator = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(3, 7, 2, generator=generator), torch.rand(3, 7, 2, generator=generator)
    losses, gradient = LOSSES[name](outputs, targets)
    outputs[1] += 1
    after, other = LOSSES[name](outputs, targets)
    assert torch.equal(after[[0, 2]], losses[[0, 2]])
    assert torch.equal(other[[0, 2]], gradient[[0, 2]])
    assert after[1] != losses[1]


def test_no_logit_overflows() -> None:
    """Cross-entropy of logits of any size is finite, and right at both ends."""
    logits = torch.tensor([[[-1e30], [1e30], [0.0]]])
    losses, gradient = bce_with_logits(logits, torch.tensor([[[0.0], [1.0], [1.0]]]))
    torch.testing.assert_close(losses, torch.tensor([0.6931472 / 3]))
    assert torch.isfinite(gradient).all()
