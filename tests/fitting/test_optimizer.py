"""Tests that the optimizers agree with those of torch."""

import pytest
import torch

from nefstudy.config import OptimizerConfig
from nefstudy.fitting.optimizer import OPTIMIZERS, Moments, step_scalars

GRADS = torch.randn(30, 3, 50, generator=torch.Generator().manual_seed(0))
START = torch.randn(3, 50, generator=torch.Generator().manual_seed(1))


def ours(config: OptimizerConfig, steps: int = 30) -> torch.Tensor:
    rows, moments = START.clone(), Moments(torch.zeros_like(START), torch.zeros_like(START))
    for step in range(steps):
        rows, moments = OPTIMIZERS[config.name](rows, GRADS[step], moments, step_scalars(config, step))
    return rows


def theirs(optimizer: torch.optim.Optimizer, leaf: torch.Tensor, *, decay: float = 0.0) -> torch.Tensor:
    for step in range(30):
        leaf.grad = GRADS[step].clone()
        with torch.no_grad():
            leaf.mul_(1 - decay)
        optimizer.step()
    return leaf.detach()


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_adamw_is_torchs(weight_decay: float) -> None:
    """Thirty steps of AdamW agree with torch.optim.AdamW."""
    leaf = START.clone().requires_grad_()
    expected = theirs(torch.optim.AdamW([leaf], lr=0.01, weight_decay=weight_decay), leaf)
    torch.testing.assert_close(ours(OptimizerConfig(lr=0.01, weight_decay=weight_decay)), expected)


def test_adamw_without_decay_is_adam() -> None:
    """AdamW without weight decay equals Adam. With decoupled decay, it differs from Adam with L2 regularization."""
    leaf = START.clone().requires_grad_()
    expected = theirs(torch.optim.Adam([leaf], lr=0.01), leaf)
    torch.testing.assert_close(ours(OptimizerConfig(lr=0.01)), expected)
    coupled = START.clone().requires_grad_()
    l2 = theirs(torch.optim.Adam([coupled], lr=0.01, weight_decay=0.3), coupled)
    assert not torch.allclose(ours(OptimizerConfig(lr=0.01, weight_decay=0.3)), l2, atol=1e-3)


def test_sgd_decays_beside_the_gradient() -> None:
    """SGD multiplies the weights by 1 - lr x weight_decay before each step."""
    leaf = START.clone().requires_grad_()
    expected = theirs(torch.optim.SGD([leaf], lr=0.01), leaf, decay=0.01 * 0.3)
    torch.testing.assert_close(ours(OptimizerConfig(name="sgd", lr=0.01, weight_decay=0.3)), expected)
