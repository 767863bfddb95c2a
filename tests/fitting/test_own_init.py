"""Tests of user-defined inits: unusable rows are rejected with a clear error before the fit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from nefstudy.config import FitConfig, InitConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField, parameter_count
from nefstudy.fitting.fit import Fits, fit_fields
from nefstudy.inits.catalog import complete
from nefstudy.signals.signal import Signals

from .small_fits import fit_config

Rows = Callable[[int, int], Any]
"""(fields, parameters) -> what `rows` returns."""


def init_of(make: Rows) -> type[Any]:
    """Return an init that gets its rows from `make`."""

    @dataclass(frozen=True)
    class Mine:
        shared: ClassVar[bool] = True

        def rows(self, field: NeuralField, *, seed: int, ids: Sequence[int] | np.ndarray, view: int) -> Tensor:
            return make(len(ids), parameter_count(field))

    return Mine


def fitted(make: Rows, field: NeuralField, signals: Signals, name: str) -> Fits:
    config: FitConfig = fit_config(name, init=InitConfig(name="mine"), rungs=(0,))
    return fit_fields(field, signals, config, rows=np.arange(3), inits={"mine": init_of(make)})


def test_rows_are_where_the_fit_starts(field: NeuralField, signals: Signals, name: str) -> None:
    """The parameters at rung 0 are the rows that the init returned."""
    fits = fitted(lambda fields, size: torch.full((fields, size), 0.25), field, signals, name)
    assert torch.equal(fits.parameters, torch.full_like(fits.parameters, 0.25))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _fields, size: torch.zeros(1, size), r"float32 .*\(1, \d+\); .*float32"),
        (lambda fields, size: torch.zeros(fields, size - 1), r"float32 .*\(3, \d+\); .*float32"),
        (lambda fields, size: torch.zeros(fields, size, dtype=torch.float64), r"rows .*torch\.float64"),
        (lambda fields, size: np.zeros((fields, size), np.float32), "rows .*ndarray; .*float32"),
        (lambda fields, size: torch.full((fields, size), np.nan), "rows .*NaN"),
    ],
)
def test_unfit_rows_are_refused(make: Rows, message: str, field: NeuralField, signals: Signals, name: str) -> None:
    """Rows of the wrong shape or type, or containing NaN or infinity, are rejected."""
    with pytest.raises(BadConfig, match=f"mine: .*{message}"):
        fitted(make, field, signals, name)


def test_an_init_without_a_member_is_refused_when_the_plan_is_made() -> None:
    """An init without the member `shared` is rejected, and the error lists all required members."""
    mine = init_of(lambda _fields, _size: None)
    del mine.shared
    with pytest.raises(BadConfig, match=r"mine: Mine .*shared; Init .*shared, rows"):
        complete(InitConfig(name="mine"), inits={"mine": mine})
