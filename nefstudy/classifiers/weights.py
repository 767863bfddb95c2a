"""Fitted parameters as data: one flat row per field, its label and its split."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nefstudy.errors import BadConfig, FitDiverged
from nefstudy.fields.field import NeuralField, parameter_count
from nefstudy.signals.signal import SPLITS, Split


@dataclass(frozen=True, eq=False)
class WeightData:
    """Rows of one rung of one neural dataset, ready to classify. N fields, P parameters each.

    Attributes:
        parameters: flat rows in the field's layout order.
        labels: class index, 0 .. classes - 1.
        split: 0 train, 1 validation, 2 test.
        signals: identity of the signal behind each row; rows that share one are views of it.
    """

    field: NeuralField
    parameters: Float[Tensor, "N P"]
    labels: Int[Tensor, " N"]
    split: Int[Tensor, " N"]
    classes: int
    signals: Int[Tensor, " N"] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, split: Split) -> Int[Tensor, " n"]:
        """Indices of the fields in one split."""
        return torch.nonzero(self.split == SPLITS[split]).flatten()

    def select(self, rows: Int[Tensor, " n"]) -> "WeightData":
        """The given fields only, in that order."""
        signals = None if self.signals is None else self.signals[rows]
        return replace(
            self,
            parameters=self.parameters[rows],
            labels=self.labels[rows],
            split=self.split[rows],
            signals=signals,
        )

    def finite(self) -> tuple["WeightData", int]:
        """The fields without NaN or infinity, and how many were left out."""
        kept = torch.nonzero(torch.isfinite(self.parameters).all(dim=1)).flatten()
        return self.select(kept), len(self) - len(kept)

    def check(self) -> None:
        """Raise unless a classifier can be trained, selected and tested on these rows."""
        expected = parameter_count(self.field)
        if self.parameters.shape[1] != expected:
            raise BadConfig(
                f"rows of {self.parameters.shape[1]} parameters, but {self.field} has {expected}; "
                "read them with the field of their own manifest"
            )
        broken = int((~torch.isfinite(self.parameters).all(dim=1)).sum())
        if broken:
            raise FitDiverged(f"{broken} of {len(self)} fields are not finite; leave them out with WeightData.finite()")
        for name in SPLITS:
            if not len(self.rows(name)):
                raise FitDiverged(f"no field is left in the {name} split; lower the learning rate or take more signals")
        present = torch.bincount(self.labels[self.rows("train")], minlength=self.classes)
        missing = torch.nonzero(present == 0).flatten().tolist()
        if missing:
            raise FitDiverged(
                f"classes {missing} of {self.classes} have no field in the training split; "
                "lower the learning rate or take more signals"
            )
