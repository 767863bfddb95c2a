"""One step of AdamW or SGD on flat rows; both decouple weight decay from the gradient."""

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
    """Running mean and variance of the gradient; both stay zero with SGD."""

    mean: Float[Tensor, "F N"]
    variance: Float[Tensor, "F N"]


@dataclass(frozen=True, eq=False)
class StepScalars:
    """Values that change from step to step, as tensors, so that one compiled program computes all steps.

    Attributes:
        step_size: learning rate with Adam's first bias correction.
        bias_correction: Adam's second bias correction, a factor of the root variance.
        decay: factor by which weight decay multiplies the parameters.
        count: steps taken before this one.
    """

    step_size: Float[Tensor, ""]
    bias_correction: Float[Tensor, ""]
    decay: Float[Tensor, ""]
    count: Int[Tensor, ""]


def step_size_and_correction(optimizer: OptimizerConfig, step: int) -> tuple[float, float]:
    """Return the step size and bias correction of a step, counted from 0, for a constant learning rate.

    Adam's bias corrections (Kingma & Ba 2015, section 3) as lr / (1 - b1^t) and 1 / sqrt(1 - b2^t).
    """
    if optimizer.name != "adamw":
        return optimizer.lr, 1.0
    return optimizer.lr / (1 - BETAS[0] ** (step + 1)), 1 / sqrt(1 - BETAS[1] ** (step + 1))


def decay_factor(optimizer: OptimizerConfig) -> float:
    """Return the factor by which weight decay multiplies the parameters at each step."""
    return 1 - optimizer.lr * optimizer.weight_decay


def step_scalars(optimizer: OptimizerConfig, step: int) -> StepScalars:
    """Return the scalars of a step, counted from 0."""
    numbers = torch.tensor([*step_size_and_correction(optimizer, step), decay_factor(optimizer)])
    return StepScalars(numbers[0], numbers[1], numbers[2], torch.tensor(step, dtype=torch.int32))


Update = Callable[[Tensor, Tensor, Moments, StepScalars], tuple[Tensor, Moments]]


def adamw(
    rows: Float[Tensor, "F N"], grads: Float[Tensor, "F N"], moments: Moments, scalars: StepScalars
) -> tuple[Float[Tensor, "F N"], Moments]:
    """Return rows and moments after one AdamW step (Loshchilov & Hutter 2019, algorithm 2, constant schedule)."""
    mean = BETAS[0] * moments.mean + (1 - BETAS[0]) * grads
    variance = BETAS[1] * moments.variance + (1 - BETAS[1]) * (grads * grads)
    stride = scalars.step_size * mean / (torch.sqrt(variance) * scalars.bias_correction + EPSILON)
    return rows * scalars.decay - stride, Moments(mean, variance)


def sgd(
    rows: Float[Tensor, "F N"], grads: Float[Tensor, "F N"], moments: Moments, scalars: StepScalars
) -> tuple[Float[Tensor, "F N"], Moments]:
    """Return the rows after one plain gradient step, and the unchanged moments."""
    return rows * scalars.decay - scalars.step_size * grads, moments


OPTIMIZERS: dict[str, Update] = {"adamw": adamw, "sgd": sgd}
