"""Tests that each result has exactly one MLflow run, regardless of crashes, hangs and rejections."""

import socket
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from nefstudy.ledger import Owner
from nefstudy.ledger.outbox import Outbox
from nefstudy.tracking import store
from nefstudy.tracking.export import drain, rebuild

from ..ledger.records import as_record
from .gateway import gateway_to

pytestmark = pytest.mark.mlflow

HERE = ("digits", "phase1")
EXPERIMENT = "digits/digits8/siren/phase1"


def test_retried_trial_replaces_its_run(ledger, root, runs, finish, make):
    """When a failed trial completes later, only the run of the completed attempt remains."""
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
    """A trial that is requested again after a failure is exported only once it has ended."""
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
    """After a crash between creating and finishing a run, the next export leaves one finished run."""
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
    """After a crash between finishing a run and recording it, the run is not written twice."""
    finish(ledger)
    with pytest.MonkeyPatch.context() as dying:
        dying.setattr(Outbox, "mark_exported", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            drain(ledger, root=root)
    before = [run.info.run_id for run in runs()]
    assert drain(ledger, root=root) == 0
    assert [run.info.run_id for run in runs()] == before


def test_deleted_experiment_comes_back(ledger, root, runs, finish):
    """An experiment in MLflow's trash is restored when results are exported to it."""
    finish(ledger, 1)
    drain(ledger, root=root)
    runs.client.delete_experiment(runs.client.get_experiment_by_name(EXPERIMENT).experiment_id)
    finish(ledger, 2)
    assert drain(ledger, root=root) == 0
    assert 2 in [int(run.data.params["seed"]) for run in runs()]


def test_a_rejected_trial_does_not_block_others(ledger, root, runs, caplog, finish):
    """A result that MLflow rejects does not prevent the export of other results.

    The rejected result stays in the outbox and is logged once.
    """
    rejected = finish(ledger, 1, metrics={"not a metric's name!": 1.0})
    finish(ledger, 2)
    for _ in range(7):
        assert drain(ledger, root=root) == 1
    assert [run.data.params["seed"] for run in runs(where="attributes.status = 'FINISHED'")] == ["2"]
    assert [record.levelname for record in caplog.records if rejected.key in record.message] == ["WARNING"]
    assert [entry.tries for entry in ledger.outbox.pending()] == [5], "the export gives up after five tries"
    assert rebuild(ledger, root=root) == 1
    assert [entry.tries for entry in ledger.outbox.pending()] == [3]


def test_a_store_locked_after_the_last_run_raises_nothing(ledger, root, runs, finish, monkeypatch):
    """If another process locks the store after the runs are written, the export ends without an error."""
    finish(ledger)
    monkeypatch.setattr(store, "LOCKED_S", 0.1)
    holders: list[sqlite3.Connection] = []
    mark = Outbox.mark_exported

    def mark_and_lock(outbox, entries, **options) -> None:
        mark(outbox, entries, **options)
        holders.append(sqlite3.connect(Path(root) / "mlflow.db", isolation_level=None))
        holders[-1].execute("BEGIN EXCLUSIVE")

    monkeypatch.setattr(Outbox, "mark_exported", mark_and_lock)
    assert drain(ledger, root=root) == 0
    monkeypatch.undo()
    for holder in holders:
        holder.close()
    assert len(runs()) == 1


@pytest.mark.slow
def test_dead_server_costs_seconds_and_no_result(ledger, root, runs, caplog, finish):
    """While MLflow is down, an export gives up within seconds without an error, and no result is lost.

    The outage is logged once.
    """
    finish(ledger)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}"
    began = time.monotonic()
    for _ in range(2):
        assert drain(ledger, root=root, tracking_uri=dead) == 1
    assert time.monotonic() - began < 20
    assert len([record for record in caplog.records if record.name == "nefstudy.tracking.export"]) == 1
    assert drain(ledger, root=root) == 0
    assert len(runs()) == 1


@pytest.mark.slow
def test_hanging_server_costs_seconds_and_no_result(ledger, root, runs, monkeypatch, finish):
    """If a server accepts connections but never responds, an export gives up within seconds."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    finish(ledger)
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        assert drain(ledger, root=root, tracking_uri=f"http://127.0.0.1:{server.getsockname()[1]}") == 1
        assert time.monotonic() - began < 15
    assert drain(ledger, root=root) == 0


def test_only_one_process_exports(ledger, root, runs, finish):
    """While another process has the export lease, results stay in the outbox."""
    finish(ledger)
    lease = ledger.leases.acquire_export(Owner.current())
    assert drain(ledger, root=root) == 1
    assert runs() == []
    ledger.leases.release(lease)
    assert drain(ledger, root=root) == 0


def test_two_drains_at_once_write_each_run_once(ledger, root, runs, finish):
    """Two concurrent exports leave one run per trial."""
    for seed in range(6):
        finish(ledger, seed)
    threads = [threading.Thread(target=drain, args=(ledger,), kwargs={"root": root}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(run.data.params["seed"] for run in runs()) == [str(seed) for seed in range(6)]


def test_root_that_is_a_uri_has_no_store(ledger, finish):
    """If the root is a URI and there is no tracking URI, results stay in the ledger."""
    finish(ledger)
    assert drain(ledger, root="s3://bucket/root", tracking_uri="") == 1


@pytest.mark.slow
@pytest.mark.fault
def test_server_killed_in_the_middle_gets_every_run_once(ledger, runs, mlflow_server, finish, picture):
    """If the server is killed while runs are written and is then restarted, each trial has one run."""
    for seed in range(30):
        finish(ledger, seed, artifacts=picture())
    uri = mlflow_server()
    assert drain(ledger, root=runs.root, tracking_uri=uri, limit=2) == 28
    draining = threading.Thread(target=drain, args=(ledger,), kwargs={"root": runs.root, "tracking_uri": uri})
    draining.start()
    while ledger.outbox.size() > 25:
        time.sleep(0.01)
    mlflow_server.kill()
    draining.join(timeout=60)
    assert not draining.is_alive()
    left = ledger.outbox.size()
    assert 0 < left <= 25
    assert drain(ledger, root=runs.root, tracking_uri=mlflow_server()) == 0
    exported = runs()
    assert sorted(int(run.data.params["seed"]) for run in exported) == list(range(30))
    assert {run.info.status for run in exported} == {"FINISHED"}
    served = {path.name for path in Path(runs.root, "served").rglob("*.png")}
    assert served == {"reconstruction.png"}


@pytest.mark.slow
@pytest.mark.fault
def test_lost_requests_and_responses_leave_one_run(ledger, runs, mlflow_server, finish):
    """If a quarter of all calls to MLflow are lost, each trial still gets exactly one run."""
    for seed in range(12):
        finish(ledger, seed)
    with gateway_to(mlflow_server()) as gateway:
        gateway.loss_rate = 0.25
        deadline = time.monotonic() + 200
        while drain(ledger, root=runs.root, tracking_uri=gateway.uri) and time.monotonic() < deadline:
            pass
    assert min(gateway.fates["request lost"], gateway.fates["response lost"]) > 2
    exported = runs()
    assert sorted(int(run.data.params.get("seed", -1)) for run in exported) == list(range(12))
    assert {run.info.status for run in exported} == {"FINISHED"}


@pytest.mark.slow
@pytest.mark.fault
def test_a_server_that_returns_errors_costs_seconds_and_no_result(ledger, runs, mlflow_server, finish, caplog):
    """If the server returns 500 to every request, an export gives up within seconds.

    The failure is logged once, no try is counted, and all results are exported after recovery.
    """
    for seed in range(3):
        finish(ledger, seed)
    with gateway_to(mlflow_server()) as gateway:
        gateway.broken = True
        began = time.monotonic()
        for _ in range(3):
            assert drain(ledger, root=runs.root, tracking_uri=gateway.uri) == 3
        assert time.monotonic() - began < 30
        assert len([record for record in caplog.records if record.name == "nefstudy.tracking.export"]) == 1
        assert [entry.tries for entry in ledger.outbox.pending()] == [0, 0, 0]
        gateway.broken = False
        assert drain(ledger, root=runs.root, tracking_uri=gateway.uri) == 0
    assert sorted(int(run.data.params["seed"]) for run in runs()) == [0, 1, 2]
