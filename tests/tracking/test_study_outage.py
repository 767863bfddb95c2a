"""MLflow fails for a minute in the middle of a study: no trial waits, no run is missing or double."""

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
from nefstudy.study.options import StudyOptions
from nefstudy.study.place import Place
from nefstudy.study.session import run_study

from ..doing import doing
from .gateway import gateway_to

pytestmark = [pytest.mark.slow, pytest.mark.mlflow, pytest.mark.ray, pytest.mark.fault, pytest.mark.nightly]

TAKES_S = 1.0


@dataclass(frozen=True)
class Trouble:
    """How MLflow fails, for how long, and by which address it is reached."""

    begin: Callable[[], object]
    end: Callable[[], object]
    uri: str
    lasts_s: float
    fates: Counter[str]


class Outage(threading.Thread):
    """Begins a trouble once trials have ended, ends it in time, and sees the outbox run empty."""

    def __init__(self, trouble: Trouble, place: Place) -> None:
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
def trouble(request, server) -> Iterator[Trouble]:
    """A server that is killed, stopped, answers each call with an error, or loses one call in twenty on either way."""
    uri = server()
    with gateway_to(uri) as gateway:
        breaks, loses = partial(setattr, gateway, "broken"), partial(setattr, gateway, "loses")
        yield {
            "killed": Trouble(server.kill, server, uri, 60.0, gateway.fates),
            "hangs": Trouble(lambda: server.send(SIGSTOP), lambda: server.send(SIGCONT), uri, 40.0, gateway.fates),
            "answers-500": Trouble(partial(breaks, True), partial(breaks, False), gateway.uri, 40.0, gateway.fates),
            "loses-calls": Trouble(partial(loses, 0.05), partial(loses, 0.0), gateway.uri, 40.0, gateway.fates),
        }[request.param]
        server.send(SIGCONT)  # what is stopped cannot end


@pytest.mark.timeout(600)
def test_a_study_never_notices_that_mlflow_fails(tmp_path, root, trouble) -> None:
    """Trials take no second longer, the outbox is empty within a minute of the return, each trial has one run."""

    def second(config, *, setting):
        time.sleep(TAKES_S)
        return noop(config, setting=setting)

    place = Place(root, f"sqlite:///{tmp_path}/ledger.db", trouble.uri)
    Ledger.open(place.ledger).close()
    outage = Outage(trouble, place)
    outage.start()
    trials = round(2 * (trouble.lasts_s + 60))
    plan = replace(noop_plan(Load(trials)), tasks=doing(second))
    ending = run_study(plan, StudyOptions(), place=place, console=Console(file=io.StringIO()))
    outage.join(timeout=120)
    with Ledger.open(place.ledger, read_only=True) as ledger:
        rows = ledger.trials.page(STUDY, limit=None).rows
    assert ending.complete == sum(plan.planned().values())
    took = {row.key: row.ended_at - row.started_at for row in rows}
    during = [took[row.key] for row in rows if outage.began < row.ended_at < outage.ended]
    before = [took[row.key] for row in rows if row.ended_at <= outage.began]
    assert len(during) >= 20
    lost = trouble.fates["request lost"] + trouble.fates["answer lost"]
    assert outage.waiting >= 20 or lost, "the trouble was felt"
    assert max(during) - median(before) < 1.0, "no trial is held up"
    assert 0 < outage.drained - outage.ended < 60
    assert keys_of_runs(place.mlflow) == sorted(row.key for row in rows)


def keys_of_runs(uri: str) -> list[str]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiments = [found.experiment_id for found in client.search_experiments()]
    return sorted(run.data.tags["nefstudy.key"] for run in client.search_runs(experiments, max_results=1000))
