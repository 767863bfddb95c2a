"""Processes suspended past their lease in the middle of an act outside the ledger: what they wake to stays."""

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
from nefstudy.neural_dataset import remove
from nefstudy.paths import DROPPED, dataset_path, manifest_path
from nefstudy.study.retention import collect

from ..ledger.conftest import trial  # noqa: F401  # a fixture
from ..ledger.records import as_record
from .conftest import PROJECT
from .processes import wait_until

pytestmark = [pytest.mark.fault]

DIGEST = "d" * 20
LEASE_S = 1.0
STOP = """
import os, signal, sys
from pathlib import Path
from nefstudy.errors import StudyBusy
from nefstudy.ledger import Ledger, Owner
from nefstudy.ledger.datasets import Datasets
from nefstudy.ledger.leases import Leases
from nefstudy.ledger.outbox import Outbox
root, moment = sys.argv[1], sys.argv[2]
ledger = Ledger.open(f"{root}/ledger.db")
def suspended(owner, name, when):
    kept, done = getattr(owner, name), []
    def act(*args, **options):
        stops = when in name_of_call(done)
        done.append(name)
        if stops:
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
lease = ledger.leases.acquire("s", Owner.here(), lease_s=1.0)
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
    """A neural dataset as far as dropping it goes: a manifest, a shard, a row."""
    for path in (manifest_path(digest), f"{dataset_path(digest)}/rung-00000004/shard-00000.arrow"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    ledger.datasets.put(NeuralDatasetRow(digest, dataset_path(digest), rungs=(4,), bytes=2, fingerprint={}))


def begin(program: str, root: Path, moment: str) -> subprocess.Popen:
    """A process that suspends itself right before the named call."""
    command = [sys.executable, "-c", program, str(root), moment]
    return subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True)


def wait_until_suspended(process: subprocess.Popen) -> None:
    def is_suspended() -> bool:
        assert process.poll() is None, process.communicate()[1]
        return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED

    wait_until(is_suspended, "the process suspends itself")


def woken(process: subprocess.Popen) -> str:
    """What it says to the end."""
    os.kill(process.pid, signal.SIGCONT)
    try:
        return process.communicate(timeout=120)[1]
    finally:
        process.kill()


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_driver_that_wakes_in_a_drop_leaves_what_its_successor_fitted(tmp_path, moment):
    """Whatever the moment, the successor's files and row are as it left them, and nothing is left aside."""
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.studies.put("s", {}, cells={})
        put(ledger, tmp_path, DIGEST, content=b"old")
        process = begin(DROP, tmp_path, moment)
        wait_until_suspended(process)
        successor = wait_until(lambda: taken_over(ledger, "s"), "the lease passes on")
        put(ledger, tmp_path, DIGEST, content=b"new")
        said = woken(process)
        assert "driven by pid" in said
        assert process.returncode == 1
        ledger.leases.check_held(successor)
        assert ledger.datasets.get(DIGEST).state == "present"
    files = [path for path in tmp_path.rglob("*") if path.is_file() and DIGEST in str(path)]
    kept = {path: path.read_bytes() for path in files}
    assert set(kept.values()) == {b"new"}
    assert len(kept) == 2
    assert not list((tmp_path / DROPPED).glob("*"))


@pytest.fixture
def read_thrice(tmp_path, trial):  # noqa: F811
    """A finished study, not driven, with three neural datasets under its root: the ledger and their digests."""
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.studies.put("s", {}, cells={})
        for lr in (0.1, 0.2, 0.3):
            made = trial(lr=lr)
            token = ledger.trials.request("s", "phase2", record=as_record(made))
            ledger.trials.complete("s", "phase2", key=made.key, token=token, metrics={"val_accuracy": lr})
            put(ledger, tmp_path, made.dataset.digest, content=b"old")
        yield ledger


@pytest.mark.parametrize(("moment", "stay"), [("check_held 1", 3), ("check_held 2", 3), ("check_held 4", 2)])
def test_collecting_that_wakes_after_its_leases_removes_nothing_more(tmp_path, read_thrice, moment, stay):
    """Suspended before a removal or in its middle: a driver took over, so it ends, and all that was there stays."""
    process = begin(GC, tmp_path, moment)
    wait_until_suspended(process)
    successor = wait_until(lambda: taken_over(read_thrice, "s"), "the lease passes on")
    assert "driven by pid" in woken(process)
    assert process.returncode == 1
    assert len(list((tmp_path / "neural_datasets").iterdir())) == stay
    assert len(list((tmp_path / "neural_datasets").rglob("*.arrow"))) == stay
    assert not list((tmp_path / DROPPED).glob("*"))
    read_thrice.leases.check_held(successor)


def test_collecting_keeps_its_leases_however_long_it_takes(tmp_path, read_thrice, monkeypatch):
    """A removal that takes longer than a lease, as of thousands of files on a network: no driver gets the study."""
    refused = []
    kept = remove.Storage.remove

    def slow(self, path):
        time.sleep(2 * LEASE_S)
        refused.append(taken_over(read_thrice, "s"))
        kept(self, path)

    monkeypatch.setattr(remove.Storage, "remove", slow)
    monkeypatch.setattr(Leases, "acquire", partialmethod(Leases.acquire, lease_s=LEASE_S))
    collect(read_thrice, str(tmp_path), keep={"s": "none"})
    assert refused == [None] * 3
    assert not list((tmp_path / "neural_datasets").iterdir())


EXPORT = (
    STOP
    + """
from functools import partialmethod
from mlflow import MlflowClient
from nefstudy.tracking import drain
Leases.acquire_export = partialmethod(Leases.acquire_export, lease_s=1.0)
for owner, name in (
    (MlflowClient, "create_run"), (MlflowClient, "log_batch"), (Leases, "check_held"),
    (MlflowClient, "set_terminated"), (Outbox, "mark"),
):
    suspended(owner, name, moment)
drain(ledger, root=root)
"""
)


@pytest.mark.mlflow
@pytest.mark.parametrize("moment", ["create_run 1", "log_batch 1", "check_held 1", "set_terminated 1", "mark 1"])
def test_an_exporter_that_wakes_after_its_lease_leaves_one_run(tmp_path, trial, moment):  # noqa: F811
    """Whether it had created its run or not, its successor's export and its late end leave one finished run."""
    from mlflow import MlflowClient

    from nefstudy.tracking import Runs, drain, store_of

    Runs(store_of(str(tmp_path)), root=str(tmp_path)).check()
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.studies.put("s", {}, cells={})
        token = ledger.trials.request("s", "phase2", record=as_record(trial()))
        ledger.trials.complete("s", "phase2", key=trial().key, token=token, metrics={"val_accuracy": 0.5})
        process = begin(EXPORT, tmp_path, moment)
        wait_until_suspended(process)
        wait_until(lambda: not drain(ledger, root=str(tmp_path)), "another process exports")
        woken(process)
        assert ledger.outbox.size() == 0
    client = MlflowClient(store_of(str(tmp_path)))
    (experiment,) = [e.experiment_id for e in client.search_experiments() if e.name.startswith("s/")]
    assert [run.info.status for run in client.search_runs([experiment])] == ["FINISHED"]


def taken_over(ledger: Ledger, study: str) -> Lease | None:
    """The lease, once it is free."""
    try:
        return ledger.leases.acquire(study, Owner.here())
    except StudyBusy:
        return None
