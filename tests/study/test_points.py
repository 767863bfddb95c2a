"""Laws of points: a trial inside the space is found again as drawn; one outside it is none, and harms nobody."""

from dataclasses import replace

import pytest

from nefstudy.config import ClassifierConfig
from nefstudy.study.control import requested_trial
from nefstudy.study.handover import handover
from nefstudy.study.plan import StudyPlan, trial_config
from nefstudy.study.points import sampler_params
from nefstudy.study.run import StudyRun
from nefstudy.study.scales import SCALES, search_cells
from nefstudy.study.space import Choice, Real, Whole

OUTSIDE = [
    {"init": "shared", "steps": 75},  # weight decay is 0 then, which has no logarithm
    {"init": "shared", "steps": 11, "weight_decay": 1e-4},  # no such choice
    {"init": "shared", "steps": 75, "weight_decay": 1e-4, "hidden": 512},
    {"init": "shared", "steps": 75, "weight_decay": 1e-4, "lr": 1.0},
]


SEARCH = search_cells(SCALES["smoke"], ("mnist5k/siren",), trials=12)[0]
"""A budget of twelve over the shipped space of a SIREN."""


def wish(run: StudyRun, point: dict, value: float, result) -> str:
    """Ask for a point, run it to its end; gives its key."""
    requested = requested_trial(run.plan, {"cell": run.plan.cells[0].cell, "point": point})
    run.put_first(requested)
    assert run.next("wished").trial.key == requested.trial.key
    run.completed("wished", result(value))
    return requested.trial.key


def params_of(cell, config):
    """The free parameters of a configuration in the sampler's units."""
    point = StudyPlan(study="s", cells=(cell,)).sampled(cell).point(config.model_dump(mode="json"))
    return sampler_params(cell.space, point)


@pytest.mark.parametrize("point", OUTSIDE)
def test_a_trial_outside_the_space_is_run_and_the_search_goes_on(ledger, open_run, drain, result, point):
    """Whoever wishes it gets its result; the sampler, also of the next driver, goes on without it."""
    plan = StudyPlan(study="s", cells=(SEARCH,))
    run = open_run(ledger, plan)
    key = wish(run, point, 0.5, result)
    assert run.next("own") is not None
    ledger.leases.release(run.lease, state="stopped")
    again = open_run(ledger, plan)
    drain(again)
    rows = ledger.trials.page("s", limit=None).rows
    assert len(rows) == SEARCH.planned
    assert key in {row.key for row in rows}


@pytest.mark.parametrize("point", OUTSIDE)
def test_a_hand_over_leaves_out_what_lies_outside_the_space(ledger, open_run, drain, result, point):
    """The same proposal with and without such a trial, however good it was."""
    plan = StudyPlan(study="s", cells=(SEARCH,))
    run = open_run(ledger, plan)
    drain(run)
    before = handover(ledger, plan)
    wish(run, point, 1.0, result)
    assert handover(ledger, plan) == before


@pytest.mark.parametrize(
    ("name", "dimension", "value"),
    [
        ("views", Whole(1, 4), 3),
        ("batch_points", Whole(64, 256, multiple=64), 192),
        ("hidden", Whole(8, 32, multiple=8), 24),
        ("lr", Real(1e-4, 1e-1, log=True), 1e-2),
        ("classifier", Choice(("flat", "long")), "long"),
    ],
)
def test_whatever_a_space_may_vary_is_found_again_in_a_trial(name, dimension, value):
    """In the sampler's units, so in its multiples; a value next to the space is not in it."""
    readers = {"flat": ClassifierConfig(name="mlp", epochs=3), "long": ClassifierConfig(name="mlp", epochs=5)}
    space = {"init": SEARCH.space["init"], "steps": SEARCH.space["steps"], name: dimension}
    cell = replace(SEARCH, space=space, classifiers=readers)
    trial = trial_config(StudyPlan(study="s", cells=(cell,)), cell, {"init": "shared", "steps": 75, name: value})
    multiple = getattr(dimension, "multiple", 1)
    wanted = {"init": "shared", "steps": 75, name: value if multiple == 1 else value // multiple}
    assert params_of(cell, trial) == wanted
    narrow = Choice(("flat",)) if name == "classifier" else replace(dimension, low=dimension.high)
    other = replace(cell, space=space | {name: narrow})
    assert params_of(other, trial) is None


def test_a_number_between_two_multiples_is_in_no_space():
    """It is not rounded to the one below, which is another trial."""
    cell = replace(SEARCH, space=SEARCH.space | {"hidden": Whole(8, 32, multiple=8)})
    point = {"init": "shared", "steps": 75, "weight_decay": 1e-4, "lr": 1e-3, "layers": 3, "omega_0": 9.0}
    plan = StudyPlan(study="s", cells=(cell,))
    held = {hidden: params_of(cell, trial_config(plan, cell, {**point, "hidden": hidden})) for hidden in (16, 17, 24)}
    assert [params and params["hidden"] for params in held.values()] == [2, None, 3]


def test_a_search_over_all_a_point_may_hold_is_continued(ledger, open_run, drain, result):
    """Rows with views, points and a named classifier are replayed into the next driver's sampler."""
    readers = {"flat": ClassifierConfig(name="mlp", epochs=3), "long": ClassifierConfig(name="mlp", epochs=5)}
    space = SEARCH.space | {"views": Whole(1, 4), "batch_points": Whole(64, 256), "classifier": Choice(tuple(readers))}
    plan = StudyPlan(study="s", cells=(replace(SEARCH, space=space, classifiers=readers),))
    run = open_run(ledger, plan)
    for number in range(4):
        assert run.next(f"t{number}") is not None
        run.completed(f"t{number}", result(0.1 * number))
    ledger.leases.release(run.lease, state="stopped")
    drain(open_run(ledger, plan))
    assert len(ledger.trials.page("s", limit=None).rows) == SEARCH.planned
    assert set(handover(ledger, plan)["cells"]["mnist5k/siren"]["importance"]) == set(space)
