"""The contract of an initialization."""

from collections.abc import Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from nefstudy.fields.field import NeuralField


@runtime_checkable
class Init(Protocol):
    """Code that initializes fields; a frozen dataclass whose fields are its parameters.

    Attributes:
        shared: whether all fields of a neural dataset have the same initial parameters.
    """

    shared: ClassVar[bool]

    def rows(
        self, field: NeuralField, *, seed: int, ids: Sequence[int] | np.ndarray, view: int
    ) -> Float[Tensor, "F N"]:
        """Return the flat initial rows of the fields of these signal ids, float32.

        A row depends on nothing but the init's parameters, the field, the seed, the id and the view.
        """
