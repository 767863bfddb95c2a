"""One optimiser step on flat rows; weight decay is decoupled from the gradient in both optimisers."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.config import OptimiserConfig

BETAS = (0.9, 0.999)
EPSILON = 1e-8


@dataclass(frozen=True, eq=False)
class Moments:
    """Running mean and variance of the gradient; SGD leaves them at zero."""

    mean: Float[Tensor, "F N"]
    variance: Float[Tensor, "F N"]


Update = Callable[
    [OptimiserConfig, Tensor, Tensor, Moments, Tensor],
    tuple[Tensor, Moments],
]


def schedule(step: int, optimiser: OptimiserConfig) -> tuple[float, float]:
    """The two scalars of a step, counted from 0, that change: step size, and scale of the root variance.

    Adam's bias corrections (Kingma & Ba 2015, section 3), folded as lr / (1 - b1^t) and 1 / sqrt(1 - b2^t).
    """
    count = step + 1
    return optimiser.lr / (1 - BETAS[0] ** count), 1 / sqrt(1 - BETAS[1] ** count)


def adamw(
    optimiser: OptimiserConfig,
    rows: Float[Tensor, "F N"],
    grads: Float[Tensor, "F N"],
    moments: Moments,
    scalars: Float[Tensor, "2"],
) -> tuple[Float[Tensor, "F N"], Moments]:
    """Rows and moments after one AdamW step (Loshchilov & Hutter 2019, algorithm 2, constant schedule)."""
    mean = BETAS[0] * moments.mean + (1 - BETAS[0]) * grads
    variance = BETAS[1] * moments.variance + (1 - BETAS[1]) * (grads * grads)
    kept = rows * (1 - optimiser.lr * optimiser.weight_decay)
    return kept - scalars[0] * mean / (torch.sqrt(variance) * scalars[1] + EPSILON), Moments(mean, variance)


def sgd(
    optimiser: OptimiserConfig,
    rows: Float[Tensor, "F N"],
    grads: Float[Tensor, "F N"],
    moments: Moments,
    scalars: Float[Tensor, "2"],
) -> tuple[Float[Tensor, "F N"], Moments]:
    """Rows after one plain gradient step; the moments as they were."""
    del scalars
    return rows * (1 - optimiser.lr * optimiser.weight_decay) - optimiser.lr * grads, moments


OPTIMISERS: dict[str, Update] = {"adamw": adamw, "sgd": sgd}
