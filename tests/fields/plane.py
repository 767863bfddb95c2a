"""A user-defined field for tests: a linear map without an explicit gradient, symmetry or kernel."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from nefstudy.fields.field import Parameter, Params
from nefstudy.fields.symmetry import Symmetry


@dataclass(frozen=True)
class Plane:
    """A linear map without an explicit gradient."""

    in_dim: int
    out_dim: int
    gain: float = 1.0

    @property
    def layout(self) -> tuple[Parameter, ...]:
        return (Parameter("kernel", (self.in_dim, self.out_dim)),)

    @property
    def symmetry(self) -> Symmetry:
        return Symmetry((), ())

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"kernel": rng.normal(size=(self.in_dim, self.out_dim)).astype(np.float32)}

    def forward(self, params: Params, coords: Tensor) -> Tensor:
        return coords @ params["kernel"]
