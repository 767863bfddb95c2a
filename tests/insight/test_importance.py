"""Importance is Optuna's PED-ANOVA to the last digits, within a cell, over what the plan leaves free."""

import math
import random
import warnings
from typing import Any

import pytest

from nefstudy.insight.declared import Declarations, Declared, declarations
from nefstudy.insight.importance import LEAST, importance, shares, within_space
from nefstudy.insight.trials import Trials

from .conftest import cell_plan

SPACE: dict[str, dict[str, Any]] = {
    "lr": {"kind": "Real", "low": 1e-5, "high": 1e-1, "log": True},
    "dropout": {"kind": "Real", "low": 0.0, "high": 0.5, "log": False},
    "hidden": {"kind": "Whole", "low": 8, "high": 128, "log": True, "multiple": 8},
    "layers": {"kind": "Whole", "low": 2, "high": 6, "log": False, "multiple": 1},
    "init": {"kind": "Choice", "values": ["random", "shared", "mean"]},
}


def searched(n: int, *, seed: int, noise: float = 0.02) -> Trials:
    """Random points whose score depends on `lr` most, on `init` somewhat, and never on `dropout`."""
    dice = random.Random(seed)
    rows = []
    for _ in range(n):
        row = {
            "lr": 10 ** dice.uniform(-5, -1), "dropout": dice.uniform(0, 0.5), "hidden": 8 * dice.randint(1, 16),
            "layers": dice.randint(2, 6), "init": dice.choice(["random", "shared", "mean"]),
        }  # fmt: skip
        score = 0.9 - 0.1 * abs(math.log10(row["lr"]) + 3) + 0.08 * (row["init"] == "shared") + dice.gauss(0, noise)
        rows.append(row | {"val_accuracy": score, "phase": "phase1", "cell": "digits8/siren"})
    return Trials({name: [row[name] for row in rows] for name in rows[0]})


def plan(**changes: Any) -> Declarations:
    changes = {"space": SPACE} | changes
    return declarations({"cells": [cell_plan("phase1", "digits8/siren", **changes)]})


def optunas(trials: Trials, own: Declared) -> dict[str, float]:
    """The shares as Optuna's own evaluator gives them."""
    import optuna

    def distribution(told: dict[str, Any]) -> Any:
        multiple = told.get("multiple", 1)
        if told["kind"] == "Choice":
            return optuna.distributions.CategoricalDistribution(told["values"])
        if told["kind"] == "Real":
            return optuna.distributions.FloatDistribution(told["low"], told["high"], log=told["log"])
        return optuna.distributions.IntDistribution(told["low"] // multiple, told["high"] // multiple, log=told["log"])

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction=own.direction)
    distributions = {name: distribution(told) for name, told in SPACE.items()}
    for index in range(len(trials)):
        params = {name: trials[name][index] for name in SPACE}
        params["hidden"] //= 8
        value = trials[own.objective][index]
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return optuna.importance.get_param_importances(study, evaluator=evaluator)


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_shares_are_optunas(direction: str) -> None:
    """On studies of 40 to 400 trials, in both directions, every share equals that of Optuna's evaluator."""
    objective = {"metric": "val_accuracy", "direction": direction}
    own = plan(objective=objective).of("phase1", "digits8/siren")
    for seed, n in enumerate((40, 60, 120, 120, 400)):
        trials = searched(n, seed=seed)
        assert shares(trials, own) == pytest.approx(optunas(trials, own), abs=1e-9)


def test_what_matters_comes_first_with_n() -> None:
    """The parameter that the score was made of leads its cell, shares add up to 1, and n is given."""
    table = importance(searched(400, seed=0), plan())
    assert table.column("parameter")[:2] == ["lr", "init"]
    assert set(table.column("n")) == {400}
    assert sum(table.column("share")) == pytest.approx(1)  # type: ignore[arg-type]  # a column of numbers
    assert "validation accuracy" in table.caption


def test_the_direction_of_the_objective_decides_what_is_best() -> None:
    """Minimizing the negated score gives the same shares; minimizing the score itself gives others."""
    trials = searched(400, seed=1)
    low = plan(objective={"metric": "val_loss", "direction": "minimize"}).of("phase1", "digits8/siren")
    negated = Trials({**trials.columns, "val_loss": [-score for score in trials["val_accuracy"]]})
    high = plan().of("phase1", "digits8/siren")
    assert shares(negated, low) == pytest.approx(shares(trials, high))
    same = Trials({**trials.columns, "val_loss": trials["val_accuracy"]})
    assert shares(same, low) != pytest.approx(shares(trials, high), abs=0.05)


def test_only_free_parameters_are_ranked_and_only_points_of_the_space_count() -> None:
    """A parameter that the plan fixes has no share; trials outside the space are not part of the sample."""
    fewer = {name: told for name, told in SPACE.items() if name != "lr"}
    assert "lr" not in importance(searched(100, seed=2), plan(space=fewer)).column("parameter")
    trials = searched(100, seed=2)
    own = plan().of("phase1", "digits8/siren")
    outside = Trials({**trials.columns, "hidden": [12, 256, None, *trials["hidden"][3:]]})
    assert len(within_space(outside, own)) == 97


def test_cells_are_not_pooled_but_averaged() -> None:
    """Two cells have their own ranks, after their mean weighted by trials."""
    first, second = searched(100, seed=3), searched(300, seed=4)
    both = Trials(
        {name: [*first[name], *second[name]] for name in first.columns} | {"cell": ["a/b"] * 100 + ["c/d"] * 300}
    )
    declared = declarations({"cells": [cell_plan("phase1", name, space=SPACE) for name in ("a/b", "c/d")]})
    table = importance(both, declared)
    found = {(row[1], row[2]): row[3] for row in table.rows}
    for name in SPACE:
        expected = (100 * found["a/b", name] + 300 * found["c/d", name]) / 400
        assert found["all", name] == pytest.approx(expected)
    assert found["a/b", "lr"] == pytest.approx(shares(first, declared.of("phase1", "a/b"))["lr"])


def test_few_trials_or_nothing_free_are_said() -> None:
    """Below the least number of trials, and where the plan leaves nothing free, there are no shares but words."""
    few = importance(searched(LEAST - 1, seed=5), plan())
    assert few.rows == ()
    assert f"{LEAST} complete trials" in few.caption
    assert "19" in few.caption
    assert importance(searched(LEAST, seed=5), plan()).rows
    assert "leaves no parameter free" in importance(searched(50, seed=5), plan(space={})).caption
