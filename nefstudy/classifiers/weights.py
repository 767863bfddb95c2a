"""Fitted parameters as a data set: each field's flat row, label and split."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from nefstudy.errors import BadConfig, FitDiverged
from nefstudy.fields.field import NeuralField, parameter_count
from nefstudy.signals.signal import SPLITS, Split


@dataclass(frozen=True, eq=False)
class WeightData:
    """The rows of one rung of a neural dataset: N fields of P parameters each.

    Attributes:
        parameters: flat rows in the field's layout order.
        labels: class index, 0 .. classes - 1.
        split: 0 train, 1 validation, 2 test.
        signals: id of each row's signal; rows with the same id are views of one signal.
        shared: whether all fields of an architecture have the same initial parameters.
        has_test: whether the signals have a test split; without one, a classifier is trained and selected, not tested.
        architectures: the fields of rows of several architectures. Each row then holds the index of its architecture,
            its parameters and zeros, and `field` is the deepest architecture.
    """

    field: NeuralField
    parameters: Float[Tensor, "N P"]
    labels: Int[Tensor, " N"]
    split: Int[Tensor, " N"]
    classes: int
    signals: Int[Tensor, " N"] | None = None
    shared: bool = False
    has_test: bool = True
    architectures: tuple[NeuralField, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, split: Split) -> Int[Tensor, " n"]:
        """Return the indices of the fields in one split."""
        return torch.nonzero(self.split == SPLITS[split]).flatten()

    def select(self, rows: Int[Tensor, " n"]) -> "WeightData":
        """Return only the given fields, in the given order."""
        signals = None if self.signals is None else self.signals[rows]
        return replace(
            self,
            parameters=self.parameters[rows],
            labels=self.labels[rows],
            split=self.split[rows],
            signals=signals,
        )

    def finite(self) -> tuple["WeightData", int]:
        """Return the fields without NaN or infinity, and the number of excluded fields."""
        kept = torch.nonzero(torch.isfinite(self.parameters).all(dim=1)).flatten()
        return self.select(kept), len(self) - len(kept)

    def check(self) -> None:
        """Raise an error unless a classifier can be trained, selected and, with `has_test`, tested on these rows."""
        expected = (
            1 + max(map(parameter_count, self.architectures)) if self.architectures else parameter_count(self.field)
        )
        if self.parameters.shape[1] != expected:
            raise BadConfig(
                f"rows of {self.parameters.shape[1]} parameters: {self.field} has {expected}; "
                "use the field of the rows' manifest"
            )
        broken = int((~torch.isfinite(self.parameters).all(dim=1)).sum())
        if broken:
            raise FitDiverged(f"{broken} of {len(self)} fields are not finite; leave them out with WeightData.finite()")
        for name in SPLITS:
            if not len(self.rows(name)) and (name != "test" or self.has_test):
                raise FitDiverged(f"the {name} split has no fields; lower the learning rate or use more signals")
        present = torch.bincount(self.labels[self.rows("train")], minlength=self.classes)
        missing = torch.nonzero(present == 0).flatten().tolist()
        if missing:
            raise FitDiverged(
                f"classes {missing} of {self.classes} have no field in the training split; "
                "lower the learning rate or use more signals"
            )


def concatenate(parts: Sequence[WeightData]) -> WeightData:
    """Concatenate the rows of all parts in order; the same signal in two parts counts as two signals."""
    if len(parts) == 1:
        return parts[0]
    fields = tuple(dict.fromkeys(part.field for part in parts))
    rows, signals, first = [part.parameters for part in parts], [], 0
    if len(fields) > 1:
        width = max(map(parameter_count, fields))
        indexed = [pad(part.parameters, (1, 0), value=fields.index(part.field)) for part in parts]
        rows = [pad(own, (0, 1 + width - own.shape[1])) for own in indexed]
    for part in parts:
        ids = torch.arange(len(part)) if part.signals is None else torch.unique(part.signals, return_inverse=True)[1]
        signals.append(ids + first)
        first += len(part)
    return WeightData(
        field=max(fields, key=lambda field: (len(field.layout), parameter_count(field))),
        parameters=torch.cat(rows),
        labels=torch.cat([part.labels for part in parts]),
        split=torch.cat([part.split for part in parts]),
        classes=parts[0].classes,
        signals=torch.cat(signals),
        shared=len(fields) == len(parts) and all(part.shared for part in parts),
        has_test=any(part.has_test for part in parts),
        architectures=fields if len(fields) > 1 else (),
    )
