"""A test of how a driver processes arbitrary JSON requests."""

import os
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nefstudy.ledger import CommandRow
from nefstudy.study.driver.control import Control
from nefstudy.study.estimate.disk import DiskWatch
from nefstudy.study.locations import Locations
from nefstudy.study.plan.study_plan import StudyPlan

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
names = st.sampled_from(
    [
        "init",
        "steps",
        "hidden",
        "layers",
        "views",
        "batch_points",
        "lr",
        "omega_0",
        "weight_decay",
        "classifier",
        "seed",
    ]
)
likely = st.sampled_from(["shared", "random", "knn", 1, 2, 64, 4096, 10**6, 2**31 - 1, -1, 0, 0.5, 1e308, True])
points = st.dictionaries(names, likely | json_values, max_size=5).map(lambda p: {"init": "shared", "steps": 2} | p)
bodies = json_values.map(lambda value: value if isinstance(value, dict) else {"key": value}) | st.fixed_dictionaries(
    {"cell": st.just("digits8/siren"), "point": points | json_values},
    optional={"phase": st.just("phase2") | json_values, "key": json_values, "cause": json_values},
)


@pytest.mark.slow
def test_any_body_of_any_verb_is_settled_and_leaves_the_study_able_to_go_on(ledger, small_grid, open_run, tmp_path):
    """Every request gets a one-line outcome, and the driver can still hand out all remaining trials afterward."""
    plan = StudyPlan(study="s", cells=(small_grid,))
    run = open_run(ledger, plan)
    DiskWatch(run, Locations(str(tmp_path), "postgresql://x/y", ""), min_free_gb=1.0, free=lambda _: 80 * 10**9)
    obeyed = Control(run, stop=threading.Event())
    verbs = st.sampled_from(["enqueue", "withdraw", "retry", "concurrency", "pause", "resume", "dance"])

    @settings(
        max_examples=int(os.environ.get("NEFSTUDY_EXAMPLES", "200")),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(verb=verbs, body=bodies)
    def law(verb, body):
        outcome = obeyed._outcome(CommandRow(1, "s", verb, body, 0.0, None, None))
        assert isinstance(outcome, str)
        assert "\n" not in outcome
        run.paused, run.limit = False, None

    law()
    for count in range(1000):
        if (suggestion := run.next(f"t{count}")) is None:
            break
        run.failed(f"t{count}", cause="diverged", error=suggestion.trial.key)
    assert run.exhausted
