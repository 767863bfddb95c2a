"""Results become MLflow runs: all of them, once each, from the ledger alone, whatever MLflow does."""

import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from nefstudy.config import FieldConfig, NeuralDatasetConfig, SignalsConfig, TrialConfig
from nefstudy.ledger import Ledger, Owner, TrialState, parameters
from nefstudy.tracking import MAX_ENTITIES, Runs, drain, rebuild, store_of, thin

pytestmark = pytest.mark.mlflow

HERE = ("digits", "phase1")
EXPERIMENT = "digits/digits8/siren/phase1"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """An MLflow store without runs: creating one takes seconds, copying it none."""
    root = tmp_path_factory.mktemp("mlflow")
    Runs(store_of(str(root)), root=str(root)).check()
    return root / "mlflow.db"


@pytest.fixture
def root(tmp_path, empty_store) -> str:
    """A root whose MLflow store is ready."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return str(tmp_path)


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.put_study("digits", {}, planned={})
        yield ledger


@pytest.fixture
def runs(root):
    """All active runs of an experiment of the test's store."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store_of(root))

    def search(experiment: str = EXPERIMENT, where: str = "") -> list:
        found = client.get_experiment_by_name(experiment)
        return client.search_runs([found.experiment_id], filter_string=where) if found else []

    search.client = client
    return search


def make(seed: int = 0, *, field: str = "siren", start: str = "shared") -> TrialConfig:
    signals = SignalsConfig(name="digits8", content="c0ffee")
    params = {"hidden": 16, "omega_0": 9.0}
    return TrialConfig(
        dataset=NeuralDatasetConfig(signals=signals, field=FieldConfig(name=field, params=params), start=start),
        steps=75,
        seed=seed,
    )


def finish(ledger: Ledger, seed: int = 0, **options) -> TrialConfig:
    """A trial taken through its whole life."""
    made = make(seed)
    token = ledger.request(*HERE, trial=made)
    ledger.started(*HERE, key=made.key, token=token)
    metrics = {"val_accuracy": 0.1 + seed / 100, "test_accuracy": 0.1, "all_psnr": 20.0 + seed}
    ledger.complete(*HERE, key=made.key, token=token, **({"metrics": metrics} | options))
    return made


def picture(root: str) -> dict[str, str]:
    """A picture under the root, as a trial leaves one."""
    Path(root, "trials").mkdir(exist_ok=True)
    Path(root, "trials", "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return {"reconstruction.png": "trials/a.png", "weights.safetensors": "trials/a.safetensors"}


def test_run_carries_the_whole_trial(ledger, root, runs):
    """Parameters, metrics, curves, picture, times and tags of a run are the ledger's."""
    made = finish(
        ledger,
        metrics={"val_accuracy": 0.5, "all_psnr": 21.25, "all_ssim": math.nan},
        curves={"all_psnr": [(5, 10.0), (75, 21.25)], "val_accuracy": [(0, 0.3), (1, 0.5), (2, 0.4)]},
        artefacts=picture(root),
        fingerprint={"engine": "eager"},
    )
    assert drain(ledger, root=root) == 0
    (run,) = runs()
    row = ledger.trial(made.key)
    assert run.info.status == "FINISHED"
    assert (run.info.start_time, run.info.end_time) == (round(row.started_at * 1000), round(row.ended_at * 1000))
    assert run.data.params == {name: str(value) for name, value in parameters(row.config).items()}
    assert (run.data.metrics["val_accuracy"], run.data.metrics["all_psnr"]) == (0.5, 21.25)
    assert math.isnan(run.data.metrics["all_ssim"])
    tags = {"study": "digits", "phase": "phase1", "cell": "digits8/siren", "start": "shared", "hidden": "16"}
    tags |= {"nefstudy.key": made.key, "dataset": row.dataset, "fingerprint.engine": "eager", "reused": "False"}
    assert tags.items() <= run.data.tags.items()
    history = runs.client.get_metric_history(run.info.run_id, "curves/val_accuracy")
    assert [(point.step, point.value) for point in history] == [(0, 0.3), (1, 0.5), (2, 0.4)]
    assert [file.path for file in runs.client.list_artifacts(run.info.run_id)] == ["reconstruction.png"]
    assert Path(root, "mlartifacts", EXPERIMENT, run.info.run_id, "artifacts", "reconstruction.png").is_file()


def test_missing_picture_does_not_stop_a_run(ledger, root, runs):
    """A trial whose picture was cleared away is exported without it."""
    finish(ledger, artefacts={"reconstruction.png": "trials/gone.png"})
    assert drain(ledger, root=root) == 0
    (run,) = runs()
    assert run.info.status == "FINISHED"
    assert runs.client.list_artifacts(run.info.run_id) == []


def test_each_cell_and_phase_is_an_experiment(ledger, root, runs):
    """Trials of different fields or phases go to experiments of their own."""
    finish(ledger)
    other = make(field="mfn")
    token = ledger.request("digits", "phase2", trial=other)
    ledger.fail("digits", "phase2", key=other.key, token=token, cause="oom", error="9 GiB wanted")
    assert drain(ledger, root=root) == 0
    assert len(runs()) == 1
    (failed,) = runs("digits/digits8/mfn/phase2")
    assert (failed.info.status, failed.data.tags["cause"]) == ("FAILED", "oom")
    assert failed.data.tags["mlflow.note.content"] == "9 GiB wanted"


def test_draining_again_writes_nothing(ledger, root, runs):
    """An emptied outbox and a rebuild of a whole store leave every run as it is."""
    for seed in range(3):
        finish(ledger, seed)
    drain(ledger, root=root)
    before = {run.info.run_id for run in runs()}
    assert len(before) == 3
    assert drain(ledger, root=root) == 0
    assert rebuild(ledger, root=root) == 3
    assert {run.info.run_id for run in runs()} == before


def test_retried_trial_replaces_its_run(ledger, root, runs):
    """When a failed trial completes later, one run remains: the result's."""
    made = make()
    token = ledger.request(*HERE, trial=made)
    ledger.fail(*HERE, key=made.key, token=token, cause="oom", error="")
    drain(ledger, root=root)
    assert [run.info.status for run in runs()] == ["FAILED"]
    finish(ledger)
    drain(ledger, root=root)
    (run,) = runs()
    assert (run.info.status, run.data.tags["attempt"]) == ("FINISHED", "2")


def test_trial_requested_again_is_not_exported(ledger, root, runs):
    """A result that is being done anew when the outbox is emptied comes when it ends."""
    made = make()
    token = ledger.request(*HERE, trial=made)
    ledger.fail(*HERE, key=made.key, token=token, cause="oom", error="")
    ledger.request(*HERE, trial=made)
    assert drain(ledger, root=root) == 0
    assert runs() == []
    ledger.interrupt("digits")
    finish(ledger)
    drain(ledger, root=root)
    assert [run.info.status for run in runs()] == ["FINISHED"]


@pytest.mark.parametrize("crash", ["log_batch", "set_terminated"])
def test_crash_while_writing_leaves_one_run(ledger, root, runs, monkeypatch, crash):
    """A process that dies between creating a run and ending it is made good by the next drain."""
    finish(ledger)
    with monkeypatch.context() as dying:
        dying.setattr(f"mlflow.MlflowClient.{crash}", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            drain(ledger, root=root)
    assert [run.info.status for run in runs()] == ["RUNNING"]
    assert drain(ledger, root=root) == 0
    (run,) = runs()
    assert run.info.status == "FINISHED"
    assert run.data.metrics["all_psnr"] == 20.0


def test_crash_after_writing_leaves_one_run(ledger, root, runs, monkeypatch):
    """A process that dies between ending a run and saying so does not write it twice."""
    finish(ledger)
    with monkeypatch.context() as dying:
        dying.setattr(Ledger, "mark", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            drain(ledger, root=root)
    before = [run.info.run_id for run in runs()]
    assert drain(ledger, root=root) == 0
    assert [run.info.run_id for run in runs()] == before


def test_rebuild_gives_the_same_runs(ledger, root, runs, empty_store):
    """A store that was lost is made again from the ledger, equal in all but its run ids."""

    def content() -> dict[str, tuple]:
        return {
            run.data.tags["nefstudy.key"]: (run.data.params, run.data.metrics, run.info.start_time, run.info.end_time)
            for run in runs()
        }

    for seed in range(3):
        finish(ledger, seed, curves={"all_psnr": [(5, 10.0), (75, 21.0)]})
    drain(ledger, root=root)
    before = content()
    for run in runs():
        runs.client.delete_run(run.info.run_id)
    assert content() == {}
    assert rebuild(ledger, root=root, study="digits") == 3
    assert content() == before


def test_deleted_experiment_comes_back(ledger, root, runs):
    """An experiment put into MLflow's trash does not stop the export."""
    finish(ledger, 1)
    drain(ledger, root=root)
    runs.client.delete_experiment(runs.client.get_experiment_by_name(EXPERIMENT).experiment_id)
    finish(ledger, 2)
    assert drain(ledger, root=root) == 0
    assert 2 in [int(run.data.params["seed"]) for run in runs()]


def test_refused_trial_lets_the_others_pass(ledger, root, runs, caplog):
    """A result that MLflow will never take waits alone, and is logged once."""
    refused = finish(ledger, 1, metrics={"not a metric's name!": 1.0})
    finish(ledger, 2)
    for _ in range(7):
        assert drain(ledger, root=root) == 1
    assert [run.data.params["seed"] for run in runs(where="attributes.status = 'FINISHED'")] == ["2"]
    assert [record.levelname for record in caplog.records if refused.key in record.message] == ["WARNING"]
    assert [entry.tries for entry in ledger.pending()] == [5], "after some tries it is left alone"
    assert rebuild(ledger, root=root) == 1
    assert [entry.tries for entry in ledger.pending()] == [3]


@pytest.mark.slow
def test_dead_server_costs_seconds_and_no_result(ledger, root, runs, caplog, monkeypatch):
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
def test_hanging_server_costs_seconds_and_no_result(ledger, root, runs, monkeypatch):
    """A server that takes calls and never answers is given up after its timeouts."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    finish(ledger)
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        assert drain(ledger, root=root, tracking_uri=f"http://127.0.0.1:{server.getsockname()[1]}") == 1
        assert time.monotonic() - began < 15
    assert drain(ledger, root=root) == 0


def test_only_one_process_exports(ledger, root, runs):
    """While another process holds the export, results wait for it."""
    finish(ledger)
    lease = ledger.acquire_export(Owner.here())
    assert drain(ledger, root=root) == 1
    assert runs() == []
    ledger.release(lease)
    assert drain(ledger, root=root) == 0


def test_two_drains_at_once_write_each_run_once(ledger, root, runs):
    """Threads that drain together leave one run a trial."""
    for seed in range(6):
        finish(ledger, seed)
    threads = [threading.Thread(target=drain, args=(ledger,), kwargs={"root": root}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(run.data.params["seed"] for run in runs()) == [str(seed) for seed in range(6)]


def test_limit_bounds_one_drain(ledger, root, runs):
    """A drain writes no more runs than it was asked for."""
    for seed in range(5):
        finish(ledger, seed)
    assert drain(ledger, root=root, limit=2) == 3
    assert len(runs()) == 2


def test_long_curves_fit_one_batch(ledger, root, runs):
    """Curves are thinned to what one call takes, their ends kept."""
    long = [(float(step), step / 5000) for step in range(5000)]
    finish(ledger, curves={"val_loss": long, "train_loss": long})
    assert drain(ledger, root=root) == 0
    (run,) = runs()
    kept = runs.client.get_metric_history(run.info.run_id, "curves/val_loss")
    assert 100 < len(kept) < MAX_ENTITIES / 2
    assert (kept[0].step, kept[-1].step) == (0, 4999)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 10, 11])
def test_thinned_curve_keeps_its_ends(count):
    """Thinning gives at most the count asked for, in order, without repeats, the last point first of all."""
    points = [(float(step), 0.0) for step in range(10)]
    kept = thin(points, count)
    assert len(kept) == min(count, 10)
    assert kept == sorted(set(kept))
    assert kept[-1:] == (points[-1:] if count else [])


def test_root_that_is_a_uri_has_no_store(ledger):
    """Without a local root or a tracking URI results stay in the ledger."""
    finish(ledger)
    assert drain(ledger, root="s3://bucket/root", tracking_uri="") == 1


def test_states_and_statistics(ledger, root, runs):
    """A drained SQLite store has the statistics without which its searches crawl."""
    import sqlite3

    finish(ledger)
    drain(ledger, root=root)
    store = sqlite3.connect(Path(root) / "mlflow.db")
    counted = store.execute("SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'runs'").fetchone()
    store.close()
    assert counted[0] > 0
    assert ledger.trial(make().key).state is TrialState.COMPLETE


def answers(port: int) -> bool:
    """Whether an MLflow server is ready."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
            return True
    except OSError:
        return False


@pytest.fixture
def server(root):
    """A real MLflow server on the test's store, which can be killed and started again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store_of(root), "--artifacts-destination", f"{root}/served"]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    processes: list[subprocess.Popen] = []

    def start() -> str:
        with Path(root, "server.log").open("ab") as log:
            options = {"env": environment, "stdout": log, "stderr": log, "start_new_session": True}
            processes.append(subprocess.Popen(command, **options))
        deadline = time.monotonic() + 90
        while not answers(port):
            assert time.monotonic() < deadline, Path(root, "server.log").read_text()
            time.sleep(0.2)
        return f"http://127.0.0.1:{port}"

    def kill() -> None:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    start.kill = kill
    yield start
    kill()


@pytest.mark.slow
@pytest.mark.fault
def test_server_killed_in_the_middle_gets_every_run_once(ledger, root, runs, server):
    """Over HTTP, with the server killed while runs are written and started again, each trial has one run."""
    for seed in range(12):
        finish(ledger, seed, artefacts=picture(root))
    uri = server()
    assert drain(ledger, root=root, tracking_uri=uri, limit=2) == 10
    draining = threading.Thread(target=drain, args=(ledger,), kwargs={"root": root, "tracking_uri": uri})
    draining.start()
    while ledger.outbox_size() > 7:
        time.sleep(0.01)
    server.kill()
    draining.join(timeout=60)
    assert not draining.is_alive()
    left = ledger.outbox_size()
    assert 0 < left <= 7
    assert drain(ledger, root=root, tracking_uri=server()) == 0
    found = runs()
    assert sorted(int(run.data.params["seed"]) for run in found) == list(range(12))
    assert {run.info.status for run in found} == {"FINISHED"}
    served = {path.name for path in Path(root, "served").rglob("*.png")}
    assert served == {"reconstruction.png"}
