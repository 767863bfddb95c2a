"""Tests of the export process: its waits grow while MLflow fails and return to normal when MLflow works again."""

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from nefstudy.study.exchange.mlflow_export_process import LONGEST_S, PERIOD_S, follow

pytestmark = pytest.mark.mlflow


@pytest.fixture
def waits(ledger, root) -> Callable[..., list[float]]:
    """Return a function that runs the export loop, calls actions before some waits, and returns all wait times."""

    def run(rounds: int, *, before: dict[int, Callable[[], object]]) -> list[float]:
        timeouts: list[float] = []

        class Spoke(threading.Event):
            def wait(self, timeout=None) -> bool:
                timeouts.append(timeout)
                before.get(len(timeouts), lambda: None)()
                return len(timeouts) > rounds

        driver: Any = SimpleNamespace(where={"root": root, "tracking_uri": ""}, gone=False, spoke=Spoke())
        follow(ledger, driver)
        return timeouts

    return run


def reject(*_, **__) -> None:
    raise MlflowException("500 the disk of the artifacts is full")


def test_rejections_back_off(waits, ledger, runs, finish, monkeypatch) -> None:
    """Each rejection doubles the wait before the next round of exports, up to a maximum.

    After a success, the wait returns to its normal length, and no result is lost.
    """
    finish(ledger)
    monkeypatch.setattr(MlflowClient, "log_batch", reject)
    tries: list[int] = []

    def repair() -> None:
        tries.extend(entry.tries for entry in ledger.outbox.pending())
        monkeypatch.undo()

    timeouts = waits(5, before={4: repair})
    assert timeouts == [*(PERIOD_S * factor for factor in (1, 2, 4)), LONGEST_S, PERIOD_S, PERIOD_S]
    assert tries == [3]
    assert [run.info.status for run in runs()] == ["FINISHED"]
    assert ledger.outbox.size() == 0


def test_an_unreachable_mlflow_backs_off(waits, ledger, runs, finish, monkeypatch) -> None:
    """While MLflow is unreachable, the wait between exports grows to its maximum and no try is counted."""
    finish(ledger)
    monkeypatch.setattr(MlflowClient, "search_experiments", reject)
    timeouts = waits(7, before={})
    assert timeouts[-2:] == [LONGEST_S, LONGEST_S]
    assert timeouts == sorted(timeouts)
    assert [entry.tries for entry in ledger.outbox.pending()] == [0]


def test_an_abandoned_result_delays_nothing(waits, ledger, runs, finish) -> None:
    """After the export gives up on a rejected result, later results are exported without delay."""
    finish(ledger, 1, metrics={"not a metric's name!": 1.0})
    timeouts = waits(8, before={7: lambda: finish(ledger, 2)})
    assert timeouts[-3:] == [PERIOD_S] * 3
    assert [entry.tries for entry in ledger.outbox.pending()] == [5]
    assert [run.data.params["seed"] for run in runs(where="attributes.status = 'FINISHED'")] == ["2"]


def test_every_rejected_result_is_tried_in_each_round(waits, ledger, runs, finish, monkeypatch) -> None:
    """Between two waits of the export process, each rejected result is tried once or twice.

    This holds even if there are more rejected results than one drain takes.
    """
    monkeypatch.setattr("nefstudy.study.exchange.mlflow_export_process.CHUNK", 2)
    monkeypatch.setattr(MlflowClient, "log_batch", reject)
    for seed in range(5):
        finish(ledger, seed)
    tries: list[int] = []
    waits(1, before={2: lambda: tries.extend(entry.tries for entry in ledger.outbox.pending())})
    assert max(tries) <= 2
    assert min(tries) == 1
