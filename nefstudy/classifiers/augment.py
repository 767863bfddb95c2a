"""Augmentation of weights: what is done to the rows of a training batch before a reader sees them.

Three kinds. `permute`, `flip` and `turn` draw an element of the field's symmetry group: the function is
unchanged. `rotate`, `scale` and `shift` move the function, f_new(x) = f(g^-1 x), exactly, through the
weights that meet the coordinates. `noise`, `dropout` and `quantile` perturb weights and the function.
"""

from math import radians

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.config import AugmentConfig
from nefstudy.fields.actions import act, random_element, warp
from nefstudy.fields.field import NeuralField


def augment(
    config: AugmentConfig, field: NeuralField, rows: Float[Tensor, "F N"], *, rng: np.random.Generator
) -> Float[Tensor, "F N"]:
    """A batch of rows, each changed by draws of its own."""
    if config.rotate or config.scale or config.shift:
        matrix, offset = _inverse_motion(config, len(rows), field.in_dim, rng)
        rows = warp(field, rows, matrix=matrix.to(rows), offset=offset.to(rows))
    if config.permute or config.flip or config.turn:
        element = random_element(field, len(rows), rng=rng, permute=config.permute, flip=config.flip, turn=config.turn)
        rows = act(field, rows, element)
    if config.noise or config.dropout or config.quantile:
        rows = _perturb(config, field, rows, rng)
    return rows


def _inverse_motion(
    config: AugmentConfig, count: int, dims: int, rng: np.random.Generator
) -> tuple[Float[Tensor, "F D D"], Float[Tensor, "F D"]]:
    """Matrix and offset of g^-1 for g(x) = s R x + t: R^T / s and -R^T t / s."""
    turn = rng.uniform(-1, 1, (count, dims, dims)) * radians(config.rotate)
    upper = np.triu(turn, k=1)
    inverse_rotation = torch.matrix_exp(torch.from_numpy(upper - upper.swapaxes(1, 2)))
    size = torch.from_numpy(np.exp(rng.uniform(-1, 1, (count, 1, 1)) * np.log1p(config.scale)))
    shift = torch.from_numpy(rng.uniform(-1, 1, (count, dims, 1)) * config.shift)
    matrix = inverse_rotation / size
    return matrix, -(matrix @ shift).squeeze(2)


def _perturb(
    config: AugmentConfig, field: NeuralField, rows: Float[Tensor, "F N"], rng: np.random.Generator
) -> Float[Tensor, "F N"]:
    """Noise relative to each parameter tensor's size, weights set to zero at random or because they are small."""
    pieces = []
    for piece in torch.split(rows, [parameter.size for parameter in field.layout], dim=1):
        changed = piece
        if config.noise:
            size = piece.square().mean(dim=1, keepdim=True).sqrt()
            changed = changed + config.noise * size * torch.from_numpy(rng.standard_normal(piece.shape)).to(rows)
        if config.dropout:
            changed = changed * torch.from_numpy(rng.random(piece.shape) >= config.dropout).to(rows)
        if config.quantile:
            level = torch.from_numpy(rng.uniform(0, config.quantile, (len(rows), 1))).to(rows)
            rank = piece.abs().argsort(dim=1).argsort(dim=1).to(rows)
            changed = changed * (rank + 1 > level * piece.shape[1]).to(rows)
        pieces.append(changed)
    return torch.cat(pieces, dim=1)
