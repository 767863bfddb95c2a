"""The protocol of an initialization, which returns the initial parameters of a neural dataset's fields."""

from collections.abc import Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from nefstudy.fields.field import NeuralField


@runtime_checkable
class Init(Protocol):
    """An initialization of fields: a frozen dataclass whose attributes are its parameters.

    Attributes:
        shared: whether all fields of a neural dataset have the same initial parameters.
    """

    shared: ClassVar[bool]

    def rows(
        self, field: NeuralField, *, seed: int, ids: Sequence[int] | np.ndarray, view: int
    ) -> Float[Tensor, "F N"]:
        """Return the initial parameters of the fields of the given signals, one flat float32 row per field.

        A row depends only on the init's parameters, the field, the seed, the signal id and the view.
        """
