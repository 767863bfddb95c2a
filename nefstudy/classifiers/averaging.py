"""The running mean of a network's weights: a smoother network than any one step of training leaves."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)

_EARLY = 10.0  # steps after which the mean has forgotten the untrained start, whatever its decay


def averaged_copy(network: M) -> M:
    """A copy of the network to hold the mean, with no gradients of its own."""
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def average(mean: nn.Module, network: nn.Module, *, decay: float, step: int) -> None:
    """Move the mean, weights and batch statistics alike, a little towards the network after step 0, 1, ...

    A weight of age a counts decay^a; early on less of the past is kept, (1 + step) / (10 + step), for the
    untrained start is no average of anything.
    """
    keep = min(decay, (1.0 + step) / (_EARLY + step))
    torch._foreach_lerp_(_numbers(mean), _numbers(network), 1.0 - keep)  # torch's own optimizers use it


def _numbers(network: nn.Module) -> list[Tensor]:
    return [value for value in network.state_dict().values() if value.is_floating_point()]
