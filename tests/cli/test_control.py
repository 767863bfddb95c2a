"""Laws of the commands that steer a study."""

import json

import pytest
from typer.testing import CliRunner

from nefstudy.cli.main import cli
from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.ledger import Ledger
from nefstudy.study.plan import CellPlan, StudyPlan, listed_trials
from nefstudy.study.space import GRID_FIXED, INIT, Choice

from ..ledger.records import as_record

CELL = CellPlan(
    phase="phase2",
    signals=SignalsConfig(name="digits8"),
    field="siren",
    space={"init": INIT, "steps": Choice((1,))},
    fixed=GRID_FIXED["siren"] | {"hidden": 4},
)


@pytest.fixture
def keys(tmp_path):
    """Two trials: one open in the studies a and b, one complete in a."""
    both, done = listed_trials(StudyPlan(study="a", cells=(CELL,)), CELL)
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
    """The study is found by the key; where several have it open, --study names one."""
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


def test_a_key_that_is_nowhere_is_refused(keys, tmp_path):
    """The message says where it was looked for and what to give."""
    answer = run("withdraw", "nothing", "--root", tmp_path)
    assert str(answer.exception) == (
        "trial 'nothing' is not in this ledger; give the key of a trial that is queued or running"
    )
