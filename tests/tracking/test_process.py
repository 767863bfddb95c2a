"""Laws of the export beside a study: it asks a failing MLflow ever less often, and a mended one as before."""

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from nefstudy.study.export_process import LONGEST_S, PERIOD_S, follow

pytestmark = pytest.mark.mlflow


@pytest.fixture
def waits(ledger, root) -> Callable[..., list[float]]:
    """How long the process waits from look to look, if something happens before some of them."""

    def of(looks: int, *, before: dict[int, Callable[[], object]]) -> list[float]:
        asked: list[float] = []

        class Spoke(threading.Event):
            def wait(self, timeout=None) -> bool:
                asked.append(timeout)
                before.get(len(asked), lambda: None)()
                return len(asked) > looks

        driver = SimpleNamespace(where={"root": root, "tracking_uri": ""}, gone=False, spoke=Spoke())
        follow(ledger, driver)
        return asked

    return of


def refuse(*_, **__) -> None:
    raise MlflowException("500 the disk of the artifacts is full")


def test_what_mlflow_refuses_is_tried_ever_less_often(waits, ledger, runs, finish, monkeypatch) -> None:
    """Each refusal doubles the wait; when all went through it is as before, and nothing is lost."""
    finish(ledger)
    monkeypatch.setattr(MlflowClient, "log_batch", refuse)
    tries: list[int] = []

    def mend() -> None:
        tries.extend(entry.tries for entry in ledger.outbox.pending())
        monkeypatch.undo()

    asked = waits(5, before={4: mend})
    assert asked == [*(PERIOD_S * factor for factor in (1, 2, 4)), LONGEST_S, PERIOD_S, PERIOD_S]
    assert tries == [3]
    assert [run.info.status for run in runs()] == ["FINISHED"]
    assert ledger.outbox.size() == 0


def test_an_mlflow_that_is_away_is_asked_ever_less_often(waits, ledger, runs, finish, monkeypatch) -> None:
    """The wait grows to its bound and no further, while no result loses a try."""
    finish(ledger)
    monkeypatch.setattr(MlflowClient, "search_experiments", refuse)
    asked = waits(7, before={})
    assert asked[-2:] == [LONGEST_S, LONGEST_S]
    assert asked == sorted(asked)
    assert [entry.tries for entry in ledger.outbox.pending()] == [0]


def test_what_was_given_up_holds_nothing_up(waits, ledger, runs, finish) -> None:
    """A result that is refused for good is left alone in the end, and later ones go as soon as ever."""
    finish(ledger, 1, metrics={"not a metric's name!": 1.0})
    asked = waits(8, before={7: lambda: finish(ledger, 2)})
    assert asked[-3:] == [PERIOD_S] * 3
    assert [entry.tries for entry in ledger.outbox.pending()] == [5]
    assert [run.data.params["seed"] for run in runs(where="attributes.status = 'FINISHED'")] == ["2"]


def test_many_refusals_cost_a_try_or_two_a_look(waits, ledger, runs, finish, monkeypatch) -> None:
    """More results than one drain takes are each begun before the process waits again, none until it is given up."""
    monkeypatch.setattr("nefstudy.study.export_process.CHUNK", 2)
    monkeypatch.setattr(MlflowClient, "log_batch", refuse)
    for seed in range(5):
        finish(ledger, seed)
    found: list[int] = []
    waits(1, before={2: lambda: found.extend(entry.tries for entry in ledger.outbox.pending())})
    assert max(found) <= 2
    assert min(found) == 1
