"""Tests of reports from workers: each report closes the row of its trial, and no report crashes the driver."""

import itertools
import json
import os
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nefstudy.bench.noop import noop
from nefstudy.ledger import Ledger, TrialState
from nefstudy.outside_text import ERROR_LENGTH
from nefstudy.study.driver.run import StudyRun
from nefstudy.study.driver.schedule import TrialInFlight
from nefstudy.study.driver.tune import Recorder, StudyScheduler, _fail_on_bad_report
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.study.samplers.stream import Suggestion
from nefstudy.tasks.setting import Setting
from nefstudy.trial.distributed import EPOCHS, OUTCOME, PROGRESS

from ...classification import classification

EXAMPLES = int(os.environ.get("NEFSTUDY_EXAMPLES", "200"))
SETTING = Setting(root="/nowhere", clock=float)


class Study:
    """A study without Ray: it starts trials itself and passes their reports to the run's recorder."""

    def __init__(self, run: StudyRun) -> None:
        self.run = run
        self.recorder = Recorder(run, on_step=lambda: None)
        first = run.next("first")
        assert first is not None
        self._first = first
        self._seeds = itertools.count(1)

    def begin(self) -> Suggestion:
        """Claim a new trial and add it to the run's trials in flight under the id `t`."""
        trial = self._first.trial.model_copy(update={"seed": next(self._seeds)})
        suggestion = replace(self._first, trial=trial)
        token = self.run.ledger.trials.claim("s", "phase2", record=suggestion.record, lease=self.run.lease)
        assert token is not None
        self.run.in_flight["t"] = TrialInFlight(suggestion, token)
        return suggestion

    def report(self, result: dict[str, Any]) -> None:
        """Report a result as Ray Tune would."""
        self.recorder.on_trial_result(1, [], SimpleNamespace(trial_id="t"), result)

    def row(self, suggestion: Suggestion) -> Any:
        """Return the ledger's row for the suggested trial."""
        return self.run.ledger.trials.get(suggestion.trial.key, study="s", phase="phase2")


@pytest.fixture
def study(ledger: Ledger, small_grid, open_run) -> Study:
    return Study(open_run(ledger, StudyPlan(study="s", cells=(small_grid,))))


BAD: dict[str, Any] = {
    "text": "done",
    "nothing": None,
    "an empty dict": {},
    "a result that is a dict": {"result": {"metrics": {}}},
    "a result that is not JSON": {"result": "{"},
    "a result without fields": {"result": "{}"},
    "a cause that is a number": {"cause": 5, "error": "x"},
    "an error that is nothing": {"cause": "bug", "error": None},
}


@pytest.mark.parametrize("outcome", BAD.values(), ids=BAD.keys())
def test_garbage_instead_of_an_outcome_fails_the_trial(study: Study, outcome: object) -> None:
    """If a worker reports a malformed outcome, the trial fails with the cause `bug`."""
    suggestion = study.begin()
    study.report({OUTCOME: outcome})
    row = study.row(suggestion)
    assert (row.state, row.cause) == (TrialState.FAILED, "bug")
    assert "t" not in study.run.in_flight


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": {"val_accuracy": None}},
        {"metrics": {"val_accuracy": "high"}},
        {"metrics": {"val_accuracy": 0.5, "n": 10**400}},
        {"metrics": {}},
        {"curves": {"c": [(0, None)]}},
        {"curves": {"c": None}},
    ],
    ids=str,
)
def test_a_result_that_the_ledger_refuses_fails_the_trial(study: Study, changes: dict[str, Any]) -> None:
    """If a malformed result bypasses the checks, only its trial fails."""
    suggestion = study.begin()
    with _fail_on_bad_report(study.run, "t"):
        study.run.completed("t", replace(noop(classification(suggestion.trial), setting=SETTING), **changes))
    row = study.row(suggestion)
    assert (row.state, row.cause) == (TrialState.FAILED, "bug")


def test_an_unknown_cause_is_a_bug_and_its_error_is_safe_to_show(study: Study) -> None:
    """If user code reports an unknown cause, the cause `bug` is recorded.

    The error is recorded as one short, printable line.
    """
    suggestion = study.begin()
    study.report({OUTCOME: {"cause": "weather", "error": "\x1b[31m" + "x\n" * 1_000_000}})
    row = study.row(suggestion)
    assert (row.state, row.cause) == (TrialState.FAILED, "bug")
    assert len(row.error) <= ERROR_LENGTH + 100
    assert "\x1b" not in row.error
    assert "\n" not in row.error


@pytest.mark.parametrize(
    "progress", [0.5, None, {}, {"what": "fitting"}, {"what": "fitting", "done": 0, "total": "x", "seconds": None}]
)
def test_progress_of_user_code_is_ignored(study: Study, progress: object) -> None:
    """Malformed progress from user code is not shown."""
    study.begin()
    study.report({PROGRESS: progress})
    assert study.run.in_flight["t"].progress is None


@pytest.mark.parametrize("epochs", [None, "{}", "[]", 5])
def test_malformed_epochs_fail_the_trial(study: Study, epochs: object) -> None:
    """A trial that reports malformed epochs is stopped and fails with the cause `bug`."""
    suggestion = study.begin()
    decision = StudyScheduler(study.run).on_trial_result(None, SimpleNamespace(trial_id="t"), {EPOCHS: epochs})
    assert decision == "STOP"
    assert study.row(suggestion).cause == "bug"


def test_an_accuracy_that_is_not_finite_gives_no_score(study: Study) -> None:
    """A trial with a non-finite accuracy is complete but has no score."""
    suggestion = study.begin()
    result = noop(classification(suggestion.trial), setting=SETTING)
    metrics = result.metrics | {"val_accuracy": float("inf")}
    study.report({OUTCOME: {"result": replace(result, metrics=metrics).to_json()}})
    row = study.row(suggestion)
    assert (row.state, row.score) == (TrialState.COMPLETE, None)


def test_a_file_that_ray_misses_is_a_machine_error(study: Study, tmp_path) -> None:
    """A FileNotFoundError raised by Ray between two trials is a machine error, so the trial is retried."""
    suggestion = study.begin()
    error = ray.exceptions.RayTaskError("reset", "", FileNotFoundError(2, "No such file or directory"))
    file = tmp_path / "error.pkl"
    file.write_bytes(ray.cloudpickle.dumps(error.as_instanceof_cause()))
    study.recorder.on_trial_error(1, [], SimpleNamespace(trial_id="t", pickled_error_file=str(file)))
    assert study.row(suggestion).state is TrialState.INTERRUPTED
    assert study.run.ended["retried"] == 1


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
entries = st.dictionaries(
    st.sampled_from(["metrics", "curves", "artifacts", "fingerprint", "confusion", "datasets"]),
    st.dictionaries(st.sampled_from(["val_accuracy", "all_psnr"]) | st.text(max_size=3), anything, max_size=3)
    | anything,
    max_size=3,
)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=entries,
    outcome=anything
    | st.dictionaries(st.sampled_from(["result", "cause", "error"]), anything, max_size=3)
    | st.just("changed"),
)
def test_any_report_of_a_worker_closes_its_row(study: Study, changes: dict[str, Any], outcome: Any) -> None:
    """Whatever a worker reports, the trial's row becomes COMPLETE, FAILED or INTERRUPTED.

    A row that is not COMPLETE has a one-line error, and nothing is raised.
    """
    suggestion = study.begin()
    if outcome == "changed":
        outcome = {"result": json.dumps(asdict(noop(classification(suggestion.trial), setting=SETTING)) | changes)}
    study.report({OUTCOME: outcome})
    row = study.row(suggestion)
    assert row.state in (TrialState.COMPLETE, TrialState.FAILED, TrialState.INTERRUPTED)
    if row.state is not TrialState.COMPLETE:
        assert "\n" not in (row.error or "")
    assert "t" not in study.run.in_flight
