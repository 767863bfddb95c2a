"""Whatever dies, hangs or refuses, a result has one run in the end and the study never notices."""

import socket
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from nefstudy import tracking
from nefstudy.ledger import Owner
from nefstudy.ledger.outbox import Outbox
from nefstudy.tracking import drain, rebuild

from ..ledger.records import as_record
from .gateway import gateway_to

pytestmark = pytest.mark.mlflow

HERE = ("digits", "phase1")
EXPERIMENT = "digits/digits8/siren/phase1"


def test_retried_trial_replaces_its_run(ledger, root, runs, finish, make):
    """When a failed trial completes later, one run remains: the result's."""
    made = make()
    token = ledger.trials.request(*HERE, record=as_record(made))
    ledger.trials.fail(*HERE, key=made.key, token=token, cause="oom", error="")
    drain(ledger, root=root)
    assert [run.info.status for run in runs()] == ["FAILED"]
    finish(ledger)
    drain(ledger, root=root)
    (run,) = runs()
    assert (run.info.status, run.data.tags["attempt"]) == ("FINISHED", "2")


def test_trial_requested_again_is_not_exported(ledger, root, runs, finish, make):
    """A result that is being done anew when the outbox is emptied comes when it ends."""
    made = make()
    token = ledger.trials.request(*HERE, record=as_record(made))
    ledger.trials.fail(*HERE, key=made.key, token=token, cause="oom", error="")
    ledger.trials.request(*HERE, record=as_record(made))
    assert drain(ledger, root=root) == 0
    assert runs() == []
    ledger.trials.interrupt("digits")
    finish(ledger)
    drain(ledger, root=root)
    assert [run.info.status for run in runs()] == ["FINISHED"]


@pytest.mark.parametrize("crash", ["log_batch", "set_terminated"])
def test_crash_while_writing_leaves_one_run(ledger, root, runs, crash, finish):
    """A process that dies between creating a run and ending it is made good by the next drain."""
    finish(ledger)
    with pytest.MonkeyPatch.context() as dying:
        dying.setattr(f"mlflow.MlflowClient.{crash}", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            drain(ledger, root=root)
    assert [run.info.status for run in runs()] == ["RUNNING"]
    assert drain(ledger, root=root) == 0
    (run,) = runs()
    assert run.info.status == "FINISHED"
    assert run.data.metrics["all_psnr"] == 20.0


def test_crash_after_writing_leaves_one_run(ledger, root, runs, finish):
    """A process that dies between ending a run and saying so does not write it twice."""
    finish(ledger)
    with pytest.MonkeyPatch.context() as dying:
        dying.setattr(Outbox, "mark", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            drain(ledger, root=root)
    before = [run.info.run_id for run in runs()]
    assert drain(ledger, root=root) == 0
    assert [run.info.run_id for run in runs()] == before


def test_deleted_experiment_comes_back(ledger, root, runs, finish):
    """An experiment put into MLflow's trash does not stop the export."""
    finish(ledger, 1)
    drain(ledger, root=root)
    runs.client.delete_experiment(runs.client.get_experiment_by_name(EXPERIMENT).experiment_id)
    finish(ledger, 2)
    assert drain(ledger, root=root) == 0
    assert 2 in [int(run.data.params["seed"]) for run in runs()]


def test_refused_trial_lets_the_others_pass(ledger, root, runs, caplog, finish):
    """A result that MLflow will never take waits alone, and is logged once."""
    refused = finish(ledger, 1, metrics={"not a metric's name!": 1.0})
    finish(ledger, 2)
    for _ in range(7):
        assert drain(ledger, root=root) == 1
    assert [run.data.params["seed"] for run in runs(where="attributes.status = 'FINISHED'")] == ["2"]
    assert [record.levelname for record in caplog.records if refused.key in record.message] == ["WARNING"]
    assert [entry.tries for entry in ledger.outbox.pending()] == [5], "after some tries it is left alone"
    assert rebuild(ledger, root=root) == 1
    assert [entry.tries for entry in ledger.outbox.pending()] == [3]


def test_a_store_held_after_the_last_run_raises_nothing(ledger, root, runs, finish, monkeypatch):
    """A store that somebody else holds once the runs are written ends the drain, and no process."""
    finish(ledger)
    monkeypatch.setattr(tracking, "LOCKED_S", 0.1)
    holders: list[sqlite3.Connection] = []
    mark = Outbox.mark

    def marked(book, entries, **options) -> None:
        mark(book, entries, **options)
        holders.append(sqlite3.connect(Path(root) / "mlflow.db", isolation_level=None))
        holders[-1].execute("BEGIN EXCLUSIVE")

    monkeypatch.setattr(Outbox, "mark", marked)
    assert drain(ledger, root=root) == 0
    monkeypatch.undo()
    for holder in holders:
        holder.close()
    assert len(runs()) == 1


@pytest.mark.slow
def test_dead_server_costs_seconds_and_no_result(ledger, root, runs, caplog, finish):
    """With MLflow down a drain gives up soon, raises nothing, logs once; nothing is lost."""
    finish(ledger)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}"
    began = time.monotonic()
    for _ in range(2):
        assert drain(ledger, root=root, tracking_uri=dead) == 1
    assert time.monotonic() - began < 20
    assert len([record for record in caplog.records if record.name == "nefstudy.tracking"]) == 1
    assert drain(ledger, root=root) == 0
    assert len(runs()) == 1


@pytest.mark.slow
def test_hanging_server_costs_seconds_and_no_result(ledger, root, runs, monkeypatch, finish):
    """A server that takes calls and never answers is given up after its timeouts."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    finish(ledger)
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        assert drain(ledger, root=root, tracking_uri=f"http://127.0.0.1:{server.getsockname()[1]}") == 1
        assert time.monotonic() - began < 15
    assert drain(ledger, root=root) == 0


def test_only_one_process_exports(ledger, root, runs, finish):
    """While another process holds the export, results wait for it."""
    finish(ledger)
    lease = ledger.leases.acquire_export(Owner.here())
    assert drain(ledger, root=root) == 1
    assert runs() == []
    ledger.leases.release(lease)
    assert drain(ledger, root=root) == 0


def test_two_drains_at_once_write_each_run_once(ledger, root, runs, finish):
    """Threads that drain together leave one run a trial."""
    for seed in range(6):
        finish(ledger, seed)
    threads = [threading.Thread(target=drain, args=(ledger,), kwargs={"root": root}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(run.data.params["seed"] for run in runs()) == [str(seed) for seed in range(6)]


def test_root_that_is_a_uri_has_no_store(ledger, finish):
    """Without a local root or a tracking URI results stay in the ledger."""
    finish(ledger)
    assert drain(ledger, root="s3://bucket/root", tracking_uri="") == 1


@pytest.mark.slow
@pytest.mark.fault
def test_server_killed_in_the_middle_gets_every_run_once(ledger, runs, server, finish, picture):
    """Over HTTP, with the server killed while runs are written and started again, each trial has one run."""
    for seed in range(30):
        finish(ledger, seed, artifacts=picture())
    uri = server()
    assert drain(ledger, root=runs.root, tracking_uri=uri, limit=2) == 28
    draining = threading.Thread(target=drain, args=(ledger,), kwargs={"root": runs.root, "tracking_uri": uri})
    draining.start()
    while ledger.outbox.size() > 25:
        time.sleep(0.01)
    server.kill()
    draining.join(timeout=60)
    assert not draining.is_alive()
    left = ledger.outbox.size()
    assert 0 < left <= 25
    assert drain(ledger, root=runs.root, tracking_uri=server()) == 0
    found = runs()
    assert sorted(int(run.data.params["seed"]) for run in found) == list(range(30))
    assert {run.info.status for run in found} == {"FINISHED"}
    served = {path.name for path in Path(runs.root, "served").rglob("*.png")}
    assert served == {"reconstruction.png"}


@pytest.mark.slow
@pytest.mark.fault
def test_lost_requests_and_answers_leave_one_run(ledger, runs, server, finish):
    """A quarter of what goes to MLflow, or comes back, is lost: in the end each trial has one run, and no other."""
    for seed in range(12):
        finish(ledger, seed)
    with gateway_to(server()) as gateway:
        gateway.loses = 0.25
        deadline = time.monotonic() + 200
        while drain(ledger, root=runs.root, tracking_uri=gateway.uri) and time.monotonic() < deadline:
            pass
    assert min(gateway.fates["request lost"], gateway.fates["answer lost"]) > 2
    found = runs()
    assert sorted(int(run.data.params.get("seed", -1)) for run in found) == list(range(12))
    assert {run.info.status for run in found} == {"FINISHED"}


@pytest.mark.slow
@pytest.mark.fault
def test_a_server_that_answers_with_errors_costs_seconds_and_no_result(ledger, runs, server, finish, caplog):
    """500 to every request: a drain gives up soon, logs once, counts nothing as refused; later all is written."""
    for seed in range(3):
        finish(ledger, seed)
    with gateway_to(server()) as gateway:
        gateway.broken = True
        began = time.monotonic()
        for _ in range(3):
            assert drain(ledger, root=runs.root, tracking_uri=gateway.uri) == 3
        assert time.monotonic() - began < 30
        assert len([record for record in caplog.records if record.name == "nefstudy.tracking"]) == 1
        assert [entry.tries for entry in ledger.outbox.pending()] == [0, 0, 0]
        gateway.broken = False
        assert drain(ledger, root=runs.root, tracking_uri=gateway.uri) == 0
    assert sorted(int(run.data.params["seed"]) for run in runs()) == [0, 1, 2]
