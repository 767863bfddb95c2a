"""Tests of the importance of free parameters, which equals Optuna's PED-ANOVA within each cell."""

import math
import random
import warnings
from typing import Any

import pytest

from nefstudy.insight.declared import Declarations, Declared, declarations
from nefstudy.insight.questions.importance import MIN_TRIALS, importance, shares, within_space
from nefstudy.insight.trials import TrialColumns

from ..synthetic_study import cell_plan

SPACE: dict[str, dict[str, Any]] = {
    "lr": {"kind": "Real", "low": 1e-5, "high": 1e-1, "log": True},
    "dropout": {"kind": "Real", "low": 0.0, "high": 0.5, "log": False},
    "hidden": {"kind": "Whole", "low": 8, "high": 128, "log": True, "multiple": 8},
    "layers": {"kind": "Whole", "low": 2, "high": 6, "log": False, "multiple": 1},
    "init": {"kind": "Categorical", "values": ["random", "shared", "mean"]},
}


def searched(n: int, *, seed: int, noise: float = 0.02) -> TrialColumns:
    """Return random points whose score depends mostly on `lr`, somewhat on `init`, and on no other parameter."""
    rng = random.Random(seed)
    rows = []
    for _ in range(n):
        row: dict[str, Any] = {
            "lr": 10 ** rng.uniform(-5, -1), "dropout": rng.uniform(0, 0.5), "hidden": 8 * rng.randint(1, 16),
            "layers": rng.randint(2, 6), "init": rng.choice(["random", "shared", "mean"]),
        }  # fmt: skip
        score = 0.9 - 0.1 * abs(math.log10(row["lr"]) + 3) + 0.08 * (row["init"] == "shared") + rng.gauss(0, noise)
        rows.append(row | {"val_accuracy": score, "phase": "phase1", "cell": "digits8/siren"})
    return TrialColumns({name: [row[name] for row in rows] for name in rows[0]})


def plan(**changes: Any) -> Declarations:
    changes = {"space": SPACE} | changes
    return declarations({"cells": [cell_plan("phase1", "digits8/siren", **changes)]})


def optuna_shares(trials: TrialColumns, own: Declared) -> dict[str, float]:
    """Return the importance shares that Optuna's evaluator computes."""
    import optuna

    def distribution(dimension: dict[str, Any]) -> Any:
        multiple = dimension.get("multiple", 1)
        if dimension["kind"] == "Categorical":
            return optuna.distributions.CategoricalDistribution(dimension["values"])
        if dimension["kind"] == "Real":
            return optuna.distributions.FloatDistribution(dimension["low"], dimension["high"], log=dimension["log"])
        return optuna.distributions.IntDistribution(
            dimension["low"] // multiple, dimension["high"] // multiple, log=dimension["log"]
        )

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction=own.direction)
    distributions = {name: distribution(dimension) for name, dimension in SPACE.items()}
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
def test_shares_equal_optunas(direction: str) -> None:
    """For 40 to 400 trials and both directions of the objective, every share equals the share that Optuna computes."""
    objective = {"metric": "val_accuracy", "direction": direction}
    own = plan(objective=objective).of("phase1", "digits8/siren")
    for seed, n in enumerate((40, 60, 120, 120, 400)):
        trials = searched(n, seed=seed)
        assert shares(trials, own) == pytest.approx(optuna_shares(trials, own), abs=1e-9)


def test_most_important_parameter_comes_first_with_n() -> None:
    """The most important parameters come first, and the shares sum to 1.

    Every row states the number of trials.
    """
    table = importance(searched(400, seed=0), plan())
    assert table.column("parameter")[:2] == ["lr", "init"]
    assert set(table.column("n")) == {400}
    assert sum(table.column("share")) == pytest.approx(1)  # type: ignore[arg-type]  # a column of numbers
    assert "validation accuracy" in table.caption


def test_the_direction_of_the_objective_decides_what_is_best() -> None:
    """Minimizing the negated score yields the same shares as maximizing the score.

    Minimizing the score itself yields different shares.
    """
    trials = searched(400, seed=1)
    low = plan(objective={"metric": "val_loss", "direction": "minimize"}).of("phase1", "digits8/siren")
    negated = TrialColumns({**trials.columns, "val_loss": [-score for score in trials["val_accuracy"]]})
    high = plan().of("phase1", "digits8/siren")
    assert shares(negated, low) == pytest.approx(shares(trials, high))
    same = TrialColumns({**trials.columns, "val_loss": trials["val_accuracy"]})
    assert shares(same, low) != pytest.approx(shares(trials, high), abs=0.05)


def test_only_free_parameters_are_ranked_and_only_points_of_the_space_count() -> None:
    """Only free parameters have a share, and only trials inside the search space count."""
    fewer = {name: dimension for name, dimension in SPACE.items() if name != "lr"}
    assert "lr" not in importance(searched(100, seed=2), plan(space=fewer)).column("parameter")
    trials = searched(100, seed=2)
    own = plan().of("phase1", "digits8/siren")
    outside = TrialColumns({**trials.columns, "hidden": [12, 256, None, *trials["hidden"][3:]]})
    assert len(within_space(outside, own)) == 97


def test_cells_are_not_pooled_but_averaged() -> None:
    """Each cell has separate shares; the rows `all` show the mean over cells, weighted by numbers of trials."""
    first, second = searched(100, seed=3), searched(300, seed=4)
    both = TrialColumns(
        {name: [*first[name], *second[name]] for name in first.columns} | {"cell": ["a/b"] * 100 + ["c/d"] * 300}
    )
    declared = declarations({"cells": [cell_plan("phase1", name, space=SPACE) for name in ("a/b", "c/d")]})
    table = importance(both, declared)
    by_cell: dict[Any, Any] = {(row[1], row[2]): row[3] for row in table.rows}
    for name in SPACE:
        expected = (100 * by_cell["a/b", name] + 300 * by_cell["c/d", name]) / 400
        assert by_cell["all", name] == pytest.approx(expected)
    assert by_cell["a/b", "lr"] == pytest.approx(shares(first, declared.of("phase1", "a/b"))["lr"])


def test_caption_explains_missing_shares() -> None:
    """If there are too few trials or no free parameter, the caption explains why there are no shares."""
    few = importance(searched(MIN_TRIALS - 1, seed=5), plan())
    assert few.rows == ()
    assert f"{MIN_TRIALS} complete trials" in few.caption
    assert "19" in few.caption
    assert importance(searched(MIN_TRIALS, seed=5), plan()).rows
    assert "leaves no parameter free" in importance(searched(50, seed=5), plan(space={})).caption
