"""Batch statistics over all processes: a batch that is divided among a group of workers counts as one batch."""

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

_MOMENTUM = 0.1  # torch's default for running statistics


def world_size() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the rank of this process among the processes that train together."""
    return dist.get_rank() if world_size() > 1 else 0


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(_context: object, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: object, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def sum_across(value: Tensor) -> Tensor:
    """Return the sum of `value` over all processes, differentiably, or `value` itself if there is only one process."""
    return value if world_size() == 1 else _Sum.apply(value)  # type: ignore[no-untyped-call]  # torch leaves apply untyped


class BatchNorm(nn.Module):
    """Normalization of each channel over the batch of all processes (Ioffe & Szegedy 2015).

    A batch of one is normalized with the running statistics, because its own statistics would erase it.
    """

    def __init__(self, channels: int, *, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.gain = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.mean: Tensor
        self.variance: Tensor
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, values: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
        """Normalize with the batch's statistics in training and with the running statistics in evaluation."""
        mean, variance = self._batch(values) if self.training else (self.mean, self.variance)
        return (values - mean) * torch.rsqrt(variance + self.epsilon) * self.gain + self.shift

    def _batch(self, values: Float[Tensor, "B C"]) -> tuple[Tensor, Tensor]:
        count = sum_across(values.new_tensor(float(len(values))))
        if count < 2:
            return self.mean, self.variance
        mean = sum_across(values.sum(dim=0)) / count
        variance = sum_across((values - mean).square().sum(dim=0)) / count
        with torch.no_grad():
            self.mean.lerp_(mean, _MOMENTUM)
            self.variance.lerp_(variance * (count / (count - 1)), _MOMENTUM)
        return mean, variance


def add_gradients(module: nn.Module) -> None:
    """Replace every gradient by its sum over all processes."""
    if world_size() == 1:
        return
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    for gradient, total in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(total.reshape(gradient.shape))
