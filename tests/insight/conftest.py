"""Fixtures with the trials and declarations of a synthetic study."""

from collections.abc import Callable

import pytest

from nefstudy.insight.declared import Declarations, declarations
from nefstudy.insight.trials import TrialColumns

from .synthetic_study import HIDDEN, METRICS, cell_plan, synthetic_study, trials_of


@pytest.fixture(scope="session")
def study() -> TrialColumns:
    """Return the trials of a synthetic study."""
    return synthetic_study()


@pytest.fixture(scope="session")
def declared() -> Declarations:
    """Return the declarations of the synthetic study."""
    return declarations({"cells": [cell_plan(cell=f"mnist5k/{field}") for field in HIDDEN]})


@pytest.fixture(scope="session")
def over_all() -> Declarations:
    """Return the declarations of a cell whose task also declares test accuracy over all fields."""
    metric = {"name": "test_accuracy_all", "label": "Test accuracy over all", "split": "test"}
    return declarations({"cells": [cell_plan(metrics=[*METRICS, metric])]})


@pytest.fixture(scope="session")
def minimized() -> Declarations:
    """Return the declarations of a cell with a minimized objective."""
    objective = {"metric": "val_loss", "direction": "minimize"}
    return declarations({"cells": [cell_plan(objective=objective)]})


@pytest.fixture(scope="session")
def make() -> Callable[..., TrialColumns]:
    """Return a function that makes trial columns from dicts."""
    return lambda *rows: trials_of(list(rows))
