"""Initial parameters of fields: drawn per (seed, signal id, view), or one set shared by all."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.fields.field import NeuralField
from nefstudy.seeds import stream

Start = Literal["random", "shared"]


def start_rows(
    field: NeuralField, *, start: Start, seed: int, ids: Sequence[int] | np.ndarray, view: int
) -> Float[Tensor, "F N"]:
    """Flat initial rows of the fields of the given signal ids, float32."""
    return STARTS[start](field, seed, [int(i) for i in ids], view)


def _random(field: NeuralField, seed: int, ids: list[int], view: int) -> Float[Tensor, "F N"]:
    rows = [_row(field, stream(seed, "start", i, view)) for i in ids]
    return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, sum(p.size for p in field.layout))


def _shared(field: NeuralField, seed: int, ids: list[int], view: int) -> Float[Tensor, "F N"]:
    del view  # the one start serves every view
    return torch.from_numpy(_row(field, stream(seed, "start", "shared"))).repeat(len(ids), 1)


STARTS: dict[Start, Callable[[NeuralField, int, list[int], int], Tensor]] = {"random": _random, "shared": _shared}


def _row(field: NeuralField, rng: np.random.Generator) -> Float[np.ndarray, " N"]:
    params = field.start(rng)
    return np.concatenate([np.asarray(params[p.name], dtype=np.float32).reshape(-1) for p in field.layout])
