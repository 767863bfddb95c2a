"""Tests of the commands that steer a study."""

import json

import pytest
from typer.testing import CliRunner

from nefstudy.cli.main import cli
from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.ledger import Ledger
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.space import GRID_FIXED, INIT, Categorical

from ..classification import all_trials
from ..ledger.records import as_record

CELL = CellPlan(
    phase="phase2",
    signals=SignalsConfig(name="digits8"),
    field="siren",
    space={"init": INIT, "steps": Categorical((1,))},
    fixed=GRID_FIXED["siren"] | {"hidden": 4},
)


@pytest.fixture
def keys(tmp_path):
    """Return the keys of two trials.

    The first is open in the studies a and b; the second is complete in a and open in b.
    """
    both, done = all_trials(StudyPlan(study="a", cells=(CELL,)), CELL)
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        for study in ("a", "b"):
            ledger.studies.put(study, {}, cells={})
            ledger.trials.request(study, "phase2", record=as_record(both))
        token = ledger.trials.request("a", "phase2", record=as_record(done))
        ledger.trials.complete("a", "phase2", key=done.key, token=token, metrics={"val_accuracy": 0.5})
        only = ledger.trials.request("b", "phase2", record=as_record(done))
        assert only
    return both.key, done.key


def run(*arguments):
    return CliRunner().invoke(cli, list(map(str, arguments)))


def test_a_trial_is_withdrawn_by_its_key(keys, tmp_path):
    """`withdraw` finds the study in which the trial with the given key is open.

    If the trial is open in several studies, --study is required.
    """
    both, done = keys
    answer = run("withdraw", done, "--root", tmp_path, "--json")
    assert json.loads(answer.stdout) == {
        "id": 1, "study": "b", "verb": "withdraw", "body": {"key": done}, "driver": False
    }  # fmt: skip
    twice = run("withdraw", both, "--root", tmp_path)
    assert isinstance(twice.exception, BadConfig)
    assert str(twice.exception) == f"trial {both!r} is in the studies a, b; name one with --study"
    assert run("withdraw", both, "--study", "a", "--phase", "phase2", "--root", tmp_path).exit_code == 0
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", read_only=True) as ledger:
        (command,) = ledger.commands.unsettled("a")
    assert (command.verb, command.body) == ("withdraw", {"key": both, "phase": "phase2"})


@pytest.mark.parametrize(
    ("phases", "given", "used"), [(["only"], (), "only"), (["one", "two"], ("--phase", "two"), "two"), ([], (), None)]
)
def test_a_trial_is_enqueued_in_the_only_phase_or_the_given_one(tmp_path, phases, given, used):
    """`enqueue` uses the phase given by --phase, or the study's only phase."""
    plan = {"cells": [{"phase": phase, "cell": "digits8/siren"} for phase in phases]}
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        ledger.studies.put("s", plan, cells={})
    answer = run("enqueue", "s", "digits8/siren", '{"steps": 1}', *given, "--root", tmp_path, "--json")
    body = {"cell": "digits8/siren", "point": {"steps": 1}}
    assert json.loads(answer.stdout)["body"] == body | ({} if used is None else {"phase": used})


def test_a_phase_is_required_if_there_are_several(tmp_path):
    """Without --phase, `enqueue` rejects a study of several phases with an error that names them.

    No command is recorded.
    """
    plan = {"cells": [{"phase": phase, "cell": "digits8/siren"} for phase in ("one", "two")]}
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        ledger.studies.put("s", plan, cells={})
    answer = run("enqueue", "s", "digits8/siren", "{}", "--root", tmp_path)
    assert isinstance(answer.exception, BadConfig)
    assert str(answer.exception) == "study 's' has the phases one, two; name one with --phase"
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", read_only=True) as ledger:
        assert ledger.commands.unsettled("s") == []


def test_a_key_that_is_nowhere_is_refused(keys, tmp_path):
    """Withdrawing an unknown key fails with an error that states which keys are accepted."""
    answer = run("withdraw", "nothing", "--root", tmp_path)
    assert str(answer.exception) == (
        "trial 'nothing' is not in this ledger; pass the key of a trial that is queued or running"
    )
