"""One optimizer step on flat rows; weight decay is decoupled from the gradient in both optimizers."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nefstudy.config import OptimizerConfig

BETAS = (0.9, 0.999)
EPSILON = 1e-8


@dataclass(frozen=True, eq=False)
class Moments:
    """Running mean and variance of the gradient; SGD leaves them at zero."""

    mean: Float[Tensor, "F N"]
    variance: Float[Tensor, "F N"]


@dataclass(frozen=True, eq=False)
class Pace:
    """What changes from step to step, as tensors, so that one compiled step serves all.

    Attributes:
        size: step size, Adam's first bias correction folded in.
        spread: factor of the root variance, Adam's second bias correction.
        kept: what weight decay leaves of the parameters.
        count: steps taken before this one.
    """

    size: Float[Tensor, ""]
    spread: Float[Tensor, ""]
    kept: Float[Tensor, ""]
    count: Int[Tensor, ""]


def size_and_spread(optimizer: OptimizerConfig, step: int) -> tuple[float, float]:
    """Step size and factor of the root variance of a step, counted from 0, at a constant learning rate.

    Adam's bias corrections (Kingma & Ba 2015, section 3) as lr / (1 - b1^t) and 1 / sqrt(1 - b2^t).
    """
    if optimizer.name != "adamw":
        return optimizer.lr, 1.0
    return optimizer.lr / (1 - BETAS[0] ** (step + 1)), 1 / sqrt(1 - BETAS[1] ** (step + 1))


def share_kept(optimizer: OptimizerConfig) -> float:
    """What weight decay leaves of the parameters at each step."""
    return 1 - optimizer.lr * optimizer.weight_decay


def pace(optimizer: OptimizerConfig, step: int) -> Pace:
    """The pace of a step, counted from 0."""
    numbers = torch.tensor([*size_and_spread(optimizer, step), share_kept(optimizer)])
    return Pace(numbers[0], numbers[1], numbers[2], torch.tensor(step, dtype=torch.int32))


Update = Callable[[Tensor, Tensor, Moments, Pace], tuple[Tensor, Moments]]


def adamw(
    rows: Float[Tensor, "F N"], grads: Float[Tensor, "F N"], moments: Moments, now: Pace
) -> tuple[Float[Tensor, "F N"], Moments]:
    """Rows and moments after one AdamW step (Loshchilov & Hutter 2019, algorithm 2, constant schedule)."""
    mean = BETAS[0] * moments.mean + (1 - BETAS[0]) * grads
    variance = BETAS[1] * moments.variance + (1 - BETAS[1]) * (grads * grads)
    stride = now.size * mean / (torch.sqrt(variance) * now.spread + EPSILON)
    return rows * now.kept - stride, Moments(mean, variance)


def sgd(
    rows: Float[Tensor, "F N"], grads: Float[Tensor, "F N"], moments: Moments, now: Pace
) -> tuple[Float[Tensor, "F N"], Moments]:
    """Rows after one plain gradient step; the moments as they were."""
    return rows * now.kept - now.size * grads, moments


OPTIMIZERS: dict[str, Update] = {"adamw": adamw, "sgd": sgd}
