"""Tests that a one-minute failure of MLflow during a study delays no trial and loses no run."""

import io
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from signal import SIGCONT, SIGSTOP
from statistics import median

import pytest
from rich.console import Console

from nefstudy.bench.noop import noop
from nefstudy.bench.study import STUDY, Load, noop_plan
from nefstudy.ledger import Ledger
from nefstudy.study.driver.session import run_study
from nefstudy.study.locations import Locations
from nefstudy.study.options import StudyOptions

from ..present import present
from ..stub_tasks import tasks_with
from .gateway import gateway_to

pytestmark = [pytest.mark.slow, pytest.mark.mlflow, pytest.mark.ray, pytest.mark.fault, pytest.mark.nightly]

TAKES_S = 1.0


@dataclass(frozen=True)
class Trouble:
    """An outage of MLflow: how it begins and ends, how long it lasts, and MLflow's address."""

    begin: Callable[[], object]
    end: Callable[[], object]
    uri: str
    lasts_s: float
    fates: Counter[str]


class Outage(threading.Thread):
    """A thread that starts an outage after 20 trials, ends it after its duration, and waits for an empty outbox."""

    def __init__(self, trouble: Trouble, place: Locations) -> None:
        super().__init__(daemon=True)
        self.began = self.ended = self.drained = 0.0
        self.waiting = 0
        self._trouble, self._place = trouble, place

    def run(self) -> None:
        with Ledger.open(self._place.ledger) as ledger:
            while len(ledger.trials.ends(STUDY, limit=20)) < 20:
                time.sleep(1)
            self.began = time.time()
            self._trouble.begin()
            time.sleep(self._trouble.lasts_s)
            self.waiting = ledger.outbox.size()
            self._trouble.end()
            self.ended = time.time()
            while ledger.outbox.size():
                time.sleep(1)
            self.drained = time.time()


@pytest.fixture(params=["killed", "hangs", "answers-500", "loses-calls"])
def trouble(request, mlflow_server) -> Iterator[Trouble]:
    """Yield an outage in which MLflow is killed or suspended, rejects every call, or loses one call in twenty."""
    uri = mlflow_server()
    with gateway_to(uri) as gateway:
        set_broken, set_loss = partial(setattr, gateway, "broken"), partial(setattr, gateway, "loss_rate")
        yield {
            "killed": Trouble(mlflow_server.kill, mlflow_server, uri, 60.0, gateway.fates),
            "hangs": Trouble(
                lambda: mlflow_server.send(SIGSTOP), lambda: mlflow_server.send(SIGCONT), uri, 40.0, gateway.fates
            ),
            "answers-500": Trouble(
                partial(set_broken, True), partial(set_broken, False), gateway.uri, 40.0, gateway.fates
            ),
            "loses-calls": Trouble(partial(set_loss, 0.05), partial(set_loss, 0.0), gateway.uri, 40.0, gateway.fates),
        }[request.param]
        mlflow_server.send(SIGCONT)  # a suspended process cannot be terminated


@pytest.mark.timeout(600)
def test_an_mlflow_outage_does_not_affect_a_study(tmp_path, root, trouble) -> None:
    """An MLflow outage delays no trial by as much as a second.

    The outbox is empty within a minute after recovery, and each trial has one run.
    """

    def sleep_and_return(config, *, setting):
        time.sleep(TAKES_S)
        return noop(config, setting=setting)

    place = Locations(root, f"sqlite:///{tmp_path}/ledger.db", trouble.uri)
    Ledger.open(place.ledger).close()
    outage = Outage(trouble, place)
    outage.start()
    trials = round(2 * (trouble.lasts_s + 60))
    plan = replace(noop_plan(Load(trials)), tasks=tasks_with(sleep_and_return))
    ending = run_study(plan, StudyOptions(), locations=place, console=Console(file=io.StringIO()))
    outage.join(timeout=120)
    with Ledger.open(place.ledger, read_only=True) as ledger:
        rows = ledger.trials.page(STUDY, limit=None).rows
    assert ending.complete == sum(plan.planned().values())
    spans = [(present(row.started_at), present(row.ended_at)) for row in rows]
    during = [end - start for start, end in spans if outage.began < end < outage.ended]
    before = [end - start for start, end in spans if end <= outage.began]
    assert len(during) >= 20
    lost = trouble.fates["request lost"] + trouble.fates["response lost"]
    assert outage.waiting >= 20 or lost, "the outage had an effect"
    assert max(during) - median(before) < 1.0, "no trial is delayed"
    assert 0 < outage.drained - outage.ended < 60
    assert keys_of_runs(place.mlflow) == sorted(row.key for row in rows)


def keys_of_runs(uri: str) -> list[str]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return sorted(run.data.tags["nefstudy.key"] for run in client.search_runs(experiments, max_results=1000))
