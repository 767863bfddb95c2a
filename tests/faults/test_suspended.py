"""Tests of processes that are suspended for longer than their lease is valid.

Once resumed, they change nothing that their successor owns.
"""

import os
import signal
import subprocess
import sys
import time
from functools import partialmethod
from pathlib import Path

import psutil
import pytest

from nefstudy.errors import StudyBusy
from nefstudy.ledger import Lease, Ledger, NeuralDatasetRow, Owner
from nefstudy.ledger.leases import Leases
from nefstudy.paths import DROPPED, dataset_path, manifest_path
from nefstudy.storage import Storage
from nefstudy.study.retention import collect

from ..ledger.records import as_record, make_trial
from ..present import present
from .driver import PROJECT
from .processes import wait_until

pytestmark = [pytest.mark.fault]

DIGEST = "d" * 20
LEASE_S = 1.0
STOP = """
import os, signal, sys, threading
from pathlib import Path
from nefstudy.errors import StudyBusy
from nefstudy.ledger import Ledger, Owner
from nefstudy.ledger.datasets import Datasets
from nefstudy.ledger.leases import Leases
from nefstudy.ledger.outbox import Outbox
root, moment = sys.argv[1], sys.argv[2]
ledger = Ledger.open(f"{root}/ledger.db")
renewing, renew = threading.Lock(), Leases.renew
def renew_unsuspended(leases, lease):
    with renewing:
        renew(leases, lease)
Leases.renew = renew_unsuspended
def suspended(owner, name, when):
    kept, done = getattr(owner, name), []
    def act(*args, **options):
        stops = when in name_of_call(done)
        done.append(name)
        if stops:
            with renewing:
                os.kill(os.getpid(), signal.SIGSTOP)
        return kept(*args, **options)
    def name_of_call(done):
        return f"{name} {len(done) + 1}"
    setattr(owner, name, act)
"""
DROP = (
    STOP
    + """
from nefstudy.neural_dataset import remove
from nefstudy.storage import Storage
from nefstudy.study.retention import drop
lease = ledger.leases.acquire("s", Owner.current(), lease_s=1.0)
for owner, name in ((Datasets, "begin_drop"), (Leases, "check_held"), (remove, "move"), (Storage, "remove")):
    suspended(owner, name, moment)
try:
    drop(ledger, root, "d" * 20, held=(lease,))
except StudyBusy as error:
    sys.exit(f"error: {error}")
"""
)
GC = (
    STOP
    + """
from functools import partialmethod
from nefstudy.study.retention import collect
Leases.acquire = partialmethod(Leases.acquire, lease_s=1.0)
suspended(Leases, "check_held", moment)
try:
    collect(ledger, root, keep={"s": "none"})
except StudyBusy as error:
    sys.exit(f"error: {error}")
"""
)
MOMENTS = ("begin_drop 1", "check_held 1", "move 1", "check_held 2", "remove 1")


def put(ledger: Ledger, root: Path, digest: str, *, content: bytes) -> None:
    """Create a neural dataset's manifest, shard and ledger row, which are removed when the dataset is dropped."""
    for path in (manifest_path(digest), f"{dataset_path(digest)}/rung-00000004/shard-00000.arrow"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    ledger.datasets.put(NeuralDatasetRow(digest, dataset_path(digest), rungs=(4,), bytes=2, fingerprint={}))


def begin(program: str, root: Path, moment: str) -> subprocess.Popen:
    """Start a process that suspends itself right before the named call, but never while it renews its lease.

    A process suspended within a transaction locks a SQLite ledger for all others until it resumes.
    """
    command = [sys.executable, "-c", program, str(root), moment]
    return subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True)


def wait_until_suspended(process: subprocess.Popen) -> None:
    def is_suspended() -> bool:
        assert process.poll() is None, process.communicate()[1]
        return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED

    wait_until(is_suspended, "the process suspends itself")


def woken(process: subprocess.Popen) -> str:
    """Resume a process; return everything that it writes to standard error."""
    os.kill(process.pid, signal.SIGCONT)
    try:
        return process.communicate(timeout=120)[1]
    finally:
        process.kill()


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_driver_that_wakes_in_a_drop_keeps_its_successors_fit(tmp_path, moment):
    """A driver that is suspended while it drops a neural dataset and resumed later keeps its successor's files and row.

    It leaves nothing in `.dropped`.
    """
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.studies.put("s", {}, cells={})
        put(ledger, tmp_path, DIGEST, content=b"old")
        process = begin(DROP, tmp_path, moment)
        wait_until_suspended(process)
        successor = wait_until(lambda: taken_over(ledger, "s"), "the lease passes on")
        put(ledger, tmp_path, DIGEST, content=b"new")
        errors = woken(process)
        assert "driven by pid" in errors
        assert process.returncode == 1
        ledger.leases.check_held(successor)
        assert present(ledger.datasets.get(DIGEST)).state == "present"
    files = [path for path in tmp_path.rglob("*") if path.is_file() and DIGEST in str(path)]
    kept = {path: path.read_bytes() for path in files}
    assert set(kept.values()) == {b"new"}
    assert len(kept) == 2
    assert not list((tmp_path / DROPPED).glob("*"))


@pytest.fixture
def three_datasets(tmp_path):
    """Yield the ledger of a study without a driver, with three neural datasets under its root."""
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.studies.put("s", {}, cells={})
        for lr in (0.1, 0.2, 0.3):
            made = make_trial(lr=lr)
            token = ledger.trials.request("s", "phase2", record=as_record(made))
            ledger.trials.complete("s", "phase2", key=made.key, token=token, metrics={"val_accuracy": lr})
            put(ledger, tmp_path, made.dataset.digest, content=b"old")
        yield ledger


@pytest.mark.parametrize(("moment", "stay"), [("check_held 1", 3), ("check_held 2", 3), ("check_held 4", 2)])
def test_collecting_that_wakes_after_its_leases_removes_nothing_more(tmp_path, three_datasets, moment, stay):
    """If a driver takes over while garbage collection is suspended, the collection removes no more neural datasets."""
    process = begin(GC, tmp_path, moment)
    wait_until_suspended(process)
    successor = wait_until(lambda: taken_over(three_datasets, "s"), "the lease passes on")
    assert "driven by pid" in woken(process)
    assert process.returncode == 1
    assert len(list((tmp_path / "neural_datasets").iterdir())) == stay
    assert len(list((tmp_path / "neural_datasets").rglob("*.arrow"))) == stay
    assert not list((tmp_path / DROPPED).glob("*"))
    three_datasets.leases.check_held(successor)


def test_collecting_keeps_its_leases_however_long_it_takes(tmp_path, three_datasets, monkeypatch):
    """During garbage collection, no driver can acquire the study, even if one removal takes longer than a lease.

    A removal can take that long on a network file system.
    """
    refused = []
    original_remove = Storage.remove

    def slow(self, path):
        time.sleep(2 * LEASE_S)
        refused.append(taken_over(three_datasets, "s"))
        original_remove(self, path)

    monkeypatch.setattr(Storage, "remove", slow)
    monkeypatch.setattr(Leases, "acquire", partialmethod(Leases.acquire, lease_s=LEASE_S))
    collect(three_datasets, str(tmp_path), keep={"s": "none"})
    assert refused == [None] * 3
    assert not list((tmp_path / "neural_datasets").iterdir())


EXPORT = (
    STOP
    + """
from functools import partialmethod
from mlflow import MlflowClient
from nefstudy.tracking.export import drain
Leases.acquire_export = partialmethod(Leases.acquire_export, lease_s=1.0)
for owner, name in (
    (MlflowClient, "create_run"), (MlflowClient, "log_batch"), (Leases, "check_held"),
    (MlflowClient, "set_terminated"), (Outbox, "mark_exported"),
):
    suspended(owner, name, moment)
drain(ledger, root=root)
"""
)


@pytest.mark.mlflow
@pytest.mark.parametrize(
    "moment", ["create_run 1", "log_batch 1", "check_held 1", "set_terminated 1", "mark_exported 1"]
)
def test_an_exporter_that_wakes_after_its_lease_leaves_one_run(tmp_path, moment):
    """After a suspended exporter resumes, exactly one finished run remains.

    This holds whether or not the exporter had already created the run when it was suspended.
    """
    from mlflow import MlflowClient

    from nefstudy.tracking.export import Runs, drain
    from nefstudy.tracking.store import store_of

    Runs(present(store_of(str(tmp_path))), root=str(tmp_path)).check()
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.studies.put("s", {}, cells={})
        token = ledger.trials.request("s", "phase2", record=as_record(make_trial()))
        ledger.trials.complete("s", "phase2", key=make_trial().key, token=token, metrics={"val_accuracy": 0.5})
        process = begin(EXPORT, tmp_path, moment)
        wait_until_suspended(process)
        wait_until(lambda: not drain(ledger, root=str(tmp_path)), "another process exports")
        woken(process)
        assert ledger.outbox.size() == 0
    client = MlflowClient(store_of(str(tmp_path)))
    (experiment,) = [e.experiment_id for e in client.search_experiments() if e.name.startswith("s/")]
    assert [run.info.status for run in client.search_runs([experiment])] == ["FINISHED"]


def taken_over(ledger: Ledger, study: str) -> Lease | None:
    """Acquire a study's lease and return it, or return None if another process holds it."""
    try:
        return ledger.leases.acquire(study, Owner.current())
    except StudyBusy:
        return None
