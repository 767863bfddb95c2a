"""Tests that reading files after a crash, a full disk or damage returns the fitted data or raises an error."""

import hashlib
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from nefstudy.config import ClassifierConfig, FieldConfig, FitConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.errors import BadNeuralDataset, BadRoot, FitDiverged
from nefstudy.fields.catalog import build, complete
from nefstudy.ledger import Ledger, Owner, TrialState
from nefstudy.neural_dataset import shards
from nefstudy.neural_dataset.read import find_neural_dataset, open_neural_dataset
from nefstudy.neural_dataset.repair import remove_damage
from nefstudy.neural_dataset.write import finish_neural_dataset, write_neural_dataset
from nefstudy.signals.catalog import load_signals
from nefstudy.storage import Storage
from nefstudy.tasks.classification import ClassificationConfig, run_classification
from nefstudy.tasks.setting import Setting
from nefstudy.trial.causes import cause_of

from ..ledger.records import as_record
from .processes import wait_until

pytestmark = [pytest.mark.fault]

SIREN = complete(FieldConfig(name="siren", params={"hidden": 4}))
RECIPE = NeuralDatasetConfig(signals=SignalsConfig(name="digits8", subset=60), field=SIREN, init="random")
CONFIG = FitConfig(dataset=RECIPE, rungs=(0, 2), engine="eager")
SIGNALS = load_signals(RECIPE.signals)
FIELD = build(RECIPE.field, in_dim=2, out_dim=1)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Set the shard size to 20 signals, so that each of the two rungs has three shards."""
    monkeypatch.setattr(shards, "SHARD_SIGNALS", 20)


def fit(root: Path) -> None:
    write_neural_dataset(CONFIG, SIGNALS, str(root), field=FIELD)
    finish_neural_dataset(CONFIG, SIGNALS, str(root), field=FIELD)


def files(root: Path) -> dict[str, str]:
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Return a root with a neural dataset from a fault-free fit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD_SIGNALS", 20)
        root = tmp_path_factory.mktemp("whole")
        fit(root)
    return root


def child(act: Callable[[], None]) -> int:
    """Fork a process that runs a function and exits with 0, or with 1 if the function raises; return its pid."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    return pid


def exit_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def crash_at(point: int, root: Path) -> None:
    """Run a fit, but exit right before the writer's n-th system call."""
    count = 0

    def before(real):
        def called(*args, **kwargs):
            nonlocal count
            count += 1
            if count == point:
                os._exit(137)
            return real(*args, **kwargs)

        return called

    for owner, name in ((os, "fsync"), (Path, "open"), (Path, "replace"), (Storage, "remove")):
        setattr(owner, name, before(getattr(owner, name)))
    fit(root)


@pytest.mark.slow
def test_a_crash_at_any_point_of_writing_is_repaired(whole, tmp_path):
    """If a fit crashes at any open, sync, rename or removal, no torn file is read, and a new fit restores all files."""
    expected, point, status = files(whole), 0, 137
    while status == 137:
        point += 1
        root = tmp_path / "root"
        status = exit_of(child(partial(crash_at, point, root)))
        assert status in (0, 137)
        dataset = find_neural_dataset(str(root), RECIPE.digest)
        if dataset is not None:
            dataset.verify()
        fit(root)
        assert files(root) == expected, f"after a crash at point {point}"
        shutil.rmtree(root)
    assert point > 50


@pytest.mark.slow
@pytest.mark.parametrize("kills", [100, pytest.param(500, marks=pytest.mark.nightly)])
def test_random_kills_of_ledger_and_shard_writer_lose_nothing(kills, whole, tmp_path, moment, invariants):
    """If the process that fits and commits trials is killed at random moments, each reported trial is stored once."""
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        ledger.studies.put("quick", {}, cells={})
    (report := tmp_path / "report").touch()
    for kill in range(kills):

        def drive(first=kill * 100):
            with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger, report.open("a") as out:
                lease = ledger.leases.acquire("quick", Owner.current())
                ledger.trials.interrupt("quick", lease=lease)
                for seed in range(first, first + 100):
                    trial = ClassificationConfig(dataset=RECIPE, steps=2, seed=seed)
                    token = ledger.trials.request("quick", "phase1", record=as_record(trial), lease=lease)
                    shutil.rmtree(tmp_path / "neural_datasets", ignore_errors=True) if seed % 3 == 0 else None
                    fit(tmp_path)
                    metrics = {"val_accuracy": 0.5}
                    ledger.trials.complete("quick", "phase1", key=trial.key, token=token, metrics=metrics, lease=lease)
                    print(trial.key, file=out, flush=True)

        began = time.monotonic()
        pid = child(drive)
        if kill == 0:  # scale the times of the kills to the speed of a busy machine
            wait_until(report.read_text, "a trial is complete")
            pace = time.monotonic() - began
        time.sleep(moment.uniform(0.2, 2.0) * pace)
        os.kill(pid, signal.SIGKILL)
        assert exit_of(pid) == -signal.SIGKILL
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        ledger.trials.interrupt("quick")
    fit(tmp_path)
    acked = report.read_text().split()
    assert kills // 10 < len(acked) == len(set(acked))
    rows = invariants().check(acked=set(acked))
    assert {row.state for row in rows} <= {TrialState.COMPLETE, TrialState.INTERRUPTED}
    assert files(tmp_path / "neural_datasets") == files(whole / "neural_datasets")


@pytest.mark.slow
def test_power_loss_at_any_moment_leaves_whole_shards_or_none(whole, tmp_path, monkeypatch, moment):
    """If power is lost after any system call of the writer, repairing and refitting restores all files."""
    calls: list[tuple[str, str, bytes]] = []
    real_replace, real_fsync = Path.replace, os.fsync

    def replace(self, target):
        calls.append(("rename", str(target), self.read_bytes()))
        return real_replace(self, target)

    def fsync(number):
        calls.append(("sync", str(Path(f"/proc/self/fd/{number}").readlink()), b""))
        return real_fsync(number)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(os, "fsync", fsync)
    root = tmp_path / "root"
    fit(root)
    monkeypatch.undo()
    monkeypatch.setattr(shards, "SHARD_SIGNALS", 20)
    assert sum(what == "rename" for what, _, _ in calls) == 13
    for stop in range(len(calls)):
        shutil.rmtree(root)
        for index, (what, path, data) in enumerate(calls[: stop + 1]):
            if what != "rename":
                continue
            durable = any(w == "sync" and p == str(Path(path).parent) for w, p, _ in calls[index : stop + 1])
            assert any(w == "sync" and p.startswith(path) for w, p, _ in calls[:index]), f"{path} was not synced"
            if durable or moment.random() < 0.5:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Path(path).write_bytes(data)
        remove_damage(str(root), RECIPE.digest)
        fit(root)
        assert files(root) == files(whole)


def damage(root: Path, rng: random.Random) -> Path:
    """Flip a bit of a shard, truncate it, zero a block, or swap in another shard; return the changed file."""
    paths = sorted((root / "neural_datasets").rglob("*.arrow"))
    path = rng.choice(paths)
    data = bytearray(path.read_bytes())
    at = rng.randrange(len(data))
    match rng.choice(["flip", "cut", "zero", "swap"]):
        case "flip":
            data[at] ^= 1 << rng.randrange(8)
        case "cut":
            del data[at:]
        case "zero":
            while not any(data[at : at + 64]):
                at = rng.randrange(len(data))
            data[at : at + 64] = bytes(len(data[at : at + 64]))
        case "swap":
            data = bytearray(rng.choice([other for other in paths if other != path]).read_bytes())
    path.write_bytes(data)
    return path


@pytest.mark.slow
def test_every_damaged_shard_is_refused_by_name(whole, tmp_path, moment):
    """If a shard is damaged in any of a thousand ways, reading it raises an error that names its file."""
    root = tmp_path / "root"
    shutil.copytree(whole, root)
    for _ in range(1000):
        path = damage(root, moment)
        with pytest.raises(BadNeuralDataset, match=path.name):
            open_neural_dataset(str(root), RECIPE.digest).verify()
        shutil.copy(whole / path.relative_to(root), path)
    open_neural_dataset(str(root), RECIPE.digest).verify()


@pytest.mark.slow
def test_a_trial_refits_a_damaged_shard_and_no_other(whole, tmp_path, moment):
    """A trial that needs a damaged shard restores the shard's bytes and leaves all other shards unchanged."""
    trial = ClassificationConfig(dataset=RECIPE, steps=2, classifier=ClassifierConfig(name="mlp", epochs=1))
    for number in range(8):
        root = tmp_path / str(number)
        shutil.copytree(whole, root)
        path = damage(root, moment)
        if path.parent.name == "rung-00000000":
            remove_damage(str(root), RECIPE.digest)  # a trial reads only some pages of other trials' rungs
        before = {p: p.stat().st_mtime_ns for p in (root / "neural_datasets").rglob("*.arrow") if p != path}
        run_classification(trial, setting=Setting(str(root), time.monotonic, {RECIPE.digest: (0, 2)}))
        assert files(root / "neural_datasets") == files(whole / "neural_datasets")
        assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_full_disk_leaves_no_half_written_file(whole, tmp_path):
    """If a shard does not fit on the disk, the fit fails with cause `disk` and leaves no partial file."""

    def in_little_space() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
        try:
            fit(tmp_path)
        except BadRoot as error:
            os._exit(5 if cause_of(error) == "disk" and "cannot be written" in str(error) else 6)

    assert exit_of(child(in_little_space)) == 5
    assert list(tmp_path.rglob("*.part")) == []
    assert find_neural_dataset(str(tmp_path), RECIPE.digest) is None
    fit(tmp_path)
    assert files(tmp_path) == files(whole)


def test_a_resumed_writer_changes_nothing(whole, tmp_path):
    """A writer that is suspended, overtaken by another writer and then resumed changes no file."""
    pid = child(lambda: fit(tmp_path))
    deadline = time.monotonic() + 20
    while not list(tmp_path.rglob("*.arrow")) and time.monotonic() < deadline:
        time.sleep(0.001)
    os.kill(pid, signal.SIGSTOP)
    fit(tmp_path)
    done = files(tmp_path)
    os.kill(pid, signal.SIGCONT)
    exit_of(pid)  # its temporary file may have been swept, which is reported like a full disk
    open_neural_dataset(str(tmp_path), RECIPE.digest).verify()
    assert files(tmp_path) == done == files(whole)


def test_a_trial_whose_fields_all_diverge_fails_as_diverged(whole, tmp_path):
    """If a learning rate makes all fields of a trial diverge, the error names that learning rate."""
    mfn = complete(FieldConfig(name="mfn", params={"hidden": 4}))
    wild = NeuralDatasetConfig(signals=RECIPE.signals, field=mfn, init="shared", optimizer={"lr": 1e9})
    trial = ClassificationConfig(dataset=wild, steps=30, classifier=ClassifierConfig(name="mlp", epochs=1))
    with pytest.raises(FitDiverged, match=r"30 steps .*lr 1e\+09"):
        run_classification(trial, setting=Setting(root=str(tmp_path), clock=time.monotonic))
    open_neural_dataset(str(tmp_path), wild.digest).verify()


def test_a_valid_neural_dataset_under_another_digest_is_not_removed(whole, tmp_path):
    """A valid neural dataset that is stored under the digest of another one is not removed as damaged."""
    other = "0" * 20
    shutil.copytree(whole / "neural_datasets" / RECIPE.digest, tmp_path / "neural_datasets" / other)
    before = files(tmp_path)
    with pytest.raises(BadNeuralDataset, match=f" {RECIPE.digest}; move"):
        remove_damage(str(tmp_path), other)
    assert files(tmp_path) == before
