"""MLflow away for a minute in the middle of a study: no trial waits, no run is missing or double."""

import io
import threading
import time
from dataclasses import replace
from statistics import median

import pytest
from rich.console import Console

from nefstudy.bench.noop import noop
from nefstudy.bench.study import STUDY, Load, noop_plan
from nefstudy.ledger import Ledger
from nefstudy.study.options import StudyOptions
from nefstudy.study.place import Place
from nefstudy.study.session import run_study

pytestmark = [pytest.mark.slow, pytest.mark.mlflow, pytest.mark.ray, pytest.mark.fault, pytest.mark.nightly]

AWAY_S = 60.0
TAKES_S = 1.0


class Outage(threading.Thread):
    """Kills the server once trials have ended, starts it again a minute later, and sees the outbox run empty."""

    def __init__(self, server, place: Place) -> None:
        super().__init__(daemon=True)
        self.began = self.ended = self.drained = 0.0
        self._server, self._place = server, place

    def run(self) -> None:
        with Ledger.open(self._place.ledger) as ledger:
            while len(ledger.ends(STUDY, limit=20)) < 20:
                time.sleep(1)
            self.began = time.time()
            self._server.kill()
            time.sleep(AWAY_S)
            self._server()
            self.ended = time.time()
            while ledger.outbox_size():
                time.sleep(1)
            self.drained = time.time()


@pytest.mark.timeout(600)
def test_a_minute_without_mlflow(tmp_path, root, server) -> None:
    """Trials take no second longer, the outbox is empty within a minute of the return, each trial has one run."""

    def second(config, *, setting):
        time.sleep(TAKES_S)
        return noop(config, setting=setting)

    place = Place(root, f"sqlite:///{tmp_path}/ledger.db", server())
    Ledger.open(place.ledger).close()
    outage = Outage(server, place)
    outage.start()
    plan = replace(noop_plan(Load(240)), work=second)
    ending = run_study(plan, StudyOptions(), place=place, console=Console(file=io.StringIO()))
    outage.join(timeout=120)
    with Ledger.open(place.ledger, read_only=True) as ledger:
        rows = ledger.trials(STUDY, limit=None).rows
    assert ending.complete == 240
    took = {row.key: row.ended_at - row.started_at for row in rows}
    during = [took[row.key] for row in rows if outage.began < row.ended_at < outage.ended]
    before = [took[row.key] for row in rows if row.ended_at <= outage.began]
    assert len(during) >= 20
    assert max(during) - median(before) < 1.0, "no trial is held up"
    assert 0 < outage.drained - outage.ended < 60
    assert keys_of_runs(place.mlflow) == sorted(row.key for row in rows)


def keys_of_runs(uri: str) -> list[str]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiments = [found.experiment_id for found in client.search_experiments()]
    return sorted(run.data.tags["nefstudy.key"] for run in client.search_runs(experiments, max_results=1000))
