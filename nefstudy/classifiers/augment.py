"""Augmentation of the rows of a training batch.

There are three kinds. `permute`, `flip` and `turn` draw an element of the field's symmetry group, which leaves the
function unchanged. `rotate`, `scale` and `shift` move the function exactly, f_new(x) = f(g^-1 x), through the weights
that multiply the coordinates. `noise`, `dropout` and `quantile` perturb the weights and with them the function.

A classifier that reads differences from the training mean gets rows with that mean next to each
(`WeightClassifier.framed`). Symmetries and motions move both: units are compared with the mean of the same units, and
the difference of short fits, which is far smaller than the motion of the weights themselves, keeps its size. A
perturbation is an error of the field alone, so that the difference contains it.
"""

from math import radians

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.config import AugmentConfig
from nefstudy.fields.actions import act, random_element, warp
from nefstudy.fields.field import NeuralField, parameter_count


def augment(
    config: AugmentConfig, field: NeuralField, rows: Float[Tensor, "F Q"], *, rng: np.random.Generator
) -> Float[Tensor, "F Q"]:
    """Augment each row, and the mean next to it if there is one, with changes that are drawn independently."""
    if config == AugmentConfig():
        return rows
    rows, *mean = torch.split(rows, parameter_count(field), dim=1)
    if config.rotate or config.scale or config.shift:
        matrix, offset = _inverse_motion(config, len(rows), field.in_dim, rng)
        motion = {"matrix": matrix.to(rows), "offset": offset.to(rows)}
        rows, *mean = [warp(field, each, **motion) for each in (rows, *mean)]
    if config.permute or config.flip or config.turn:
        element = random_element(field, len(rows), rng=rng, permute=config.permute, flip=config.flip, turn=config.turn)
        rows, *mean = [act(field, each, element) for each in (rows, *mean)]
    if config.noise or config.dropout or config.quantile:
        rows = _perturb(config, field, rows, rng)
    return torch.cat([rows, *mean], dim=1)


def _inverse_motion(
    config: AugmentConfig, count: int, dims: int, rng: np.random.Generator
) -> tuple[Float[Tensor, "F D D"], Float[Tensor, "F D"]]:
    """Return the matrix and offset of g^-1 for g(x) = s R x + t: R^T / s and -R^T t / s."""
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
    """Perturb the weights: add noise relative to each tensor's root mean square; zero out random and small weights."""
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
