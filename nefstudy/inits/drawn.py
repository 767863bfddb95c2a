"""Initializations drawn from the field's initial distribution: one draw per signal, or one draw for all signals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField, parameter_count
from nefstudy.seeds import stream


@dataclass(frozen=True)
class RandomInit:
    """A separate draw for each field, determined by the seed, the signal's id and the view's number."""

    shared: ClassVar[bool] = False

    def rows(
        self, field: NeuralField, *, seed: int, ids: Sequence[int] | np.ndarray, view: int
    ) -> Float[Tensor, "F N"]:
        """Return one row of initial parameters per id, each drawn separately."""
        if len(ids) == 0:
            return torch.empty(0, parameter_count(field))
        return torch.from_numpy(np.stack([_draw(field, stream(seed, "start", int(i), view)) for i in ids]))


@dataclass(frozen=True)
class SharedInit:
    """One draw for all fields of a neural dataset, in every view."""

    shared: ClassVar[bool] = True

    def rows(
        self, field: NeuralField, *, seed: int, ids: Sequence[int] | np.ndarray, view: int
    ) -> Float[Tensor, "F N"]:
        """Return one row of initial parameters per id, all equal to the shared draw."""
        del view
        return torch.from_numpy(_draw(field, stream(seed, "start", "shared"))).repeat(len(ids), 1)


def _draw(field: NeuralField, rng: np.random.Generator) -> Float[np.ndarray, " N"]:
    params = field.init(rng)
    declared = {p.name: p.shape for p in field.layout}
    shapes = {name: np.shape(value) for name, value in params.items()}
    if shapes != declared:
        wrong = next(name for name in {**declared, **shapes} if shapes.get(name) != declared.get(name))
        raise BadConfig(
            f"{type(field).__name__}: init draws {wrong} with shape {shapes.get(wrong, 'none')}, layout declares "
            f"{declared.get(wrong, 'none')}; correct one of them"
        )
    return np.concatenate([np.asarray(params[p.name], dtype=np.float32).reshape(-1) for p in field.layout])
