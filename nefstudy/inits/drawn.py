"""Initializations that draw from the field's own law: one draw per signal, or one for all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.fields.field import NeuralField, parameter_count
from nefstudy.seeds import stream


@dataclass(frozen=True)
class Random:
    """Every field has its own draw, by seed, signal id and view."""

    shared: ClassVar[bool] = False

    def rows(
        self, field: NeuralField, *, seed: int, ids: Sequence[int] | np.ndarray, view: int
    ) -> Float[Tensor, "F N"]:
        """Return one draw per id."""
        if len(ids) == 0:
            return torch.empty(0, parameter_count(field))
        return torch.from_numpy(np.stack([_draw(field, stream(seed, "start", int(i), view)) for i in ids]))


@dataclass(frozen=True)
class Shared:
    """All fields of a neural dataset start at one draw, which every view shares."""

    shared: ClassVar[bool] = True

    def rows(
        self, field: NeuralField, *, seed: int, ids: Sequence[int] | np.ndarray, view: int
    ) -> Float[Tensor, "F N"]:
        """Return the one draw once per id."""
        del view
        return torch.from_numpy(_draw(field, stream(seed, "start", "shared"))).repeat(len(ids), 1)


def _draw(field: NeuralField, rng: np.random.Generator) -> Float[np.ndarray, " N"]:
    params = field.init(rng)
    return np.concatenate([np.asarray(params[p.name], dtype=np.float32).reshape(-1) for p in field.layout])
