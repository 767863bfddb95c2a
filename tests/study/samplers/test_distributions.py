"""Tests of points: a trial inside the space maps back to its point, and a trial outside the space has no point."""

from dataclasses import replace

import pytest

from nefstudy.config import ClassifierConfig
from nefstudy.study.driver.control import requested_trial
from nefstudy.study.driver.run import StudyRun
from nefstudy.study.exchange.handover import handover
from nefstudy.study.plan.scales import SCALES, search_cells
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.study.samplers.distributions import sampler_params
from nefstudy.study.space import Categorical, Real, Space, Whole
from nefstudy.tasks.task import Point

from ...present import present

OUTSIDE = [
    {"init": "shared", "steps": 75},  # sets weight decay to 0, which has no logarithm
    {"init": "shared", "steps": 11, "weight_decay": 1e-4},  # no such choice
    {"init": "shared", "steps": 75, "weight_decay": 1e-4, "hidden": 512},
    {"init": "shared", "steps": 75, "weight_decay": 1e-4, "lr": 1.0},
]


SEARCH = search_cells(SCALES["smoke"], ("mnist5k/siren",), trials=12)[0]
"""A budget of twelve over the shipped space of a SIREN."""


def run_request(run: StudyRun, point: dict, value: float, result) -> str:
    """Request a point, run its trial to the end and return the trial's key."""
    requested = requested_trial(run.plan, {"cell": run.plan.cells[0].cell, "point": point})
    run.enqueue(requested)
    assert present(run.next("requested")).trial.key == requested.trial.key
    run.completed("requested", result(value))
    return requested.trial.key


def params_of(cell, config):
    """Return a configuration's free parameters in the sampler's units."""
    point = StudyPlan(study="s", cells=(cell,)).sampled(cell).point(config.model_dump(mode="json"))
    return sampler_params(cell.space, point)


@pytest.mark.parametrize("point", OUTSIDE)
def test_a_trial_outside_the_space_is_run_and_the_search_goes_on(ledger, open_run, drain, result, point):
    """A requested trial outside the space runs, and the search continues without it."""
    plan = StudyPlan(study="s", cells=(SEARCH,))
    run = open_run(ledger, plan)
    key = run_request(run, point, 0.5, result)
    assert run.next("own") is not None
    ledger.leases.release(run.lease, state="stopped")
    again = open_run(ledger, plan)
    drain(again)
    rows = ledger.trials.page("s", limit=None).rows
    assert len(rows) == SEARCH.planned
    assert key in {row.key for row in rows}


@pytest.mark.parametrize("point", OUTSIDE)
def test_a_hand_over_leaves_out_what_lies_outside_the_space(ledger, open_run, drain, result, point):
    """A trial outside the space does not change the hand-over, however good its score is."""
    plan = StudyPlan(study="s", cells=(SEARCH,))
    run = open_run(ledger, plan)
    drain(run)
    before = handover(ledger, plan)
    run_request(run, point, 1.0, result)
    assert handover(ledger, plan) == before


@pytest.mark.parametrize(
    ("name", "dimension", "value"),
    [
        ("views", Whole(1, 4), 3),
        ("batch_points", Whole(64, 256, multiple=64), 192),
        ("hidden", Whole(8, 32, multiple=8), 24),
        ("lr", Real(1e-4, 1e-1, log=True), 1e-2),
        ("classifier", Categorical(("flat", "long")), "long"),
    ],
)
def test_whatever_a_space_may_vary_is_found_again_in_a_trial(name, dimension, value):
    """The value of every parameter that a space may vary can be read back from the trial's configuration.

    A trial outside the space has no point.
    """
    readers = {"flat": ClassifierConfig(name="mlp", epochs=3), "long": ClassifierConfig(name="mlp", epochs=5)}
    space = {"init": SEARCH.space["init"], "steps": SEARCH.space["steps"], name: dimension}
    cell = replace(SEARCH, space=space, classifiers=readers)
    trial = (
        StudyPlan(study="s", cells=(cell,)).sampled(cell).codec.configure({"init": "shared", "steps": 75, name: value})
    )
    multiple = getattr(dimension, "multiple", 1)
    wanted = {"init": "shared", "steps": 75, name: value if multiple == 1 else value // multiple}
    assert params_of(cell, trial) == wanted
    narrow = Categorical(("flat",)) if name == "classifier" else replace(dimension, low=dimension.high)
    other = replace(cell, space=space | {name: narrow})
    assert params_of(other, trial) is None


def test_a_number_between_two_multiples_is_in_no_space():
    """If a dimension contains only multiples of 8, a number between two multiples is outside the space."""
    cell = replace(SEARCH, space={**SEARCH.space, "hidden": Whole(8, 32, multiple=8)})
    point: Point = {"init": "shared", "steps": 75, "weight_decay": 1e-4, "lr": 1e-3, "layers": 3, "omega_0": 9.0}
    plan = StudyPlan(study="s", cells=(cell,))
    held = {
        hidden: params_of(cell, plan.sampled(cell).codec.configure({**point, "hidden": hidden}))
        for hidden in (16, 17, 24)
    }
    assert [params and params["hidden"] for params in held.values()] == [2, None, 3]


def test_a_search_over_all_a_point_may_hold_is_continued(ledger, open_run, drain, result):
    """The next driver continues a search over views, points per step and classifiers."""
    readers = {"flat": ClassifierConfig(name="mlp", epochs=3), "long": ClassifierConfig(name="mlp", epochs=5)}
    space: Space = {
        **SEARCH.space,
        "views": Whole(1, 4),
        "batch_points": Whole(64, 256),
        "classifier": Categorical(tuple(readers)),
    }
    plan = StudyPlan(study="s", cells=(replace(SEARCH, space=space, classifiers=readers),))
    run = open_run(ledger, plan)
    for number in range(4):
        assert run.next(f"t{number}") is not None
        run.completed(f"t{number}", result(0.1 * number))
    ledger.leases.release(run.lease, state="stopped")
    drain(open_run(ledger, plan))
    assert len(ledger.trials.page("s", limit=None).rows) == SEARCH.planned
    assert set(handover(ledger, plan)["cells"]["mnist5k/siren"]["importance"]) == set(space)
