"""Neural datasets on disk: whatever dies, fills up or rots, what is read is what was fitted, or it is refused."""

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
from nefstudy.neural_dataset.mend import remove_damage
from nefstudy.neural_dataset.read import find_neural_dataset, open_neural_dataset
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
    """Shards of 20 signals: three of them at each of two rungs."""
    monkeypatch.setattr(shards, "SHARD_SIGNALS", 20)


def fit(root: Path) -> None:
    write_neural_dataset(CONFIG, SIGNALS, str(root), field=FIELD)
    finish_neural_dataset(CONFIG, SIGNALS, str(root), field=FIELD)


def files(root: Path) -> dict[str, str]:
    found = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A root with the neural dataset, undisturbed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD_SIGNALS", 20)
        root = tmp_path_factory.mktemp("whole")
        fit(root)
    return root


def child(act: Callable[[], None]) -> int:
    """Pid of a forked process that acts and exits 0; 1 when that raises."""
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
    """Fit, and die before the given system call of the writer."""
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
def test_a_crash_at_any_point_of_writing_is_made_good(whole, tmp_path):
    """Death before every open, sync, rename and removal in turn: nothing torn is found, and a new fit ends equal."""
    wanted, point, status = files(whole), 0, 137
    while status == 137:
        point += 1
        root = tmp_path / "root"
        status = exit_of(child(partial(crash_at, point, root)))
        assert status in (0, 137)
        found = find_neural_dataset(str(root), RECIPE.digest)
        if found is not None:
            found.verify()
        fit(root)
        assert files(root) == wanted, f"after a crash at point {point}"
        shutil.rmtree(root)
    assert point > 50


@pytest.mark.slow
@pytest.mark.parametrize("kills", [100, pytest.param(500, marks=pytest.mark.nightly)])
def test_random_kills_of_ledger_and_shard_writer_lose_nothing(kills, whole, tmp_path, moment, invariants):
    """Drivers that fit and commit are killed at random moments: what they said is there, once, and whole."""
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        ledger.studies.put("quick", {}, cells={})
    (said := tmp_path / "said").touch()
    for kill in range(kills):

        def drive(first=kill * 100):
            with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger, said.open("a") as tell:
                lease = ledger.leases.acquire("quick", Owner.here())
                ledger.trials.interrupt("quick", lease=lease)
                for seed in range(first, first + 100):
                    trial = ClassificationConfig(dataset=RECIPE, steps=2, seed=seed)
                    token = ledger.trials.request("quick", "phase1", record=as_record(trial), lease=lease)
                    shutil.rmtree(tmp_path / "neural_datasets", ignore_errors=True) if seed % 3 == 0 else None
                    fit(tmp_path)
                    done = {"key": trial.key, "token": token, "metrics": {"val_accuracy": 0.5}, "lease": lease}
                    ledger.trials.complete("quick", "phase1", **done)
                    print(trial.key, file=tell, flush=True)

        began = time.monotonic()
        pid = child(drive)
        if kill == 0:  # on a busy machine everything takes longer, the moments of the kills too
            wait_until(said.read_text, "a trial is complete")
            pace = time.monotonic() - began
        time.sleep(moment.uniform(0.2, 2.0) * pace)
        os.kill(pid, signal.SIGKILL)
        assert exit_of(pid) == -signal.SIGKILL
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        ledger.trials.interrupt("quick")
    fit(tmp_path)
    acked = said.read_text().split()
    assert kills // 10 < len(acked) == len(set(acked))
    rows = invariants().check(acked=set(acked))
    assert {row.state for row in rows} <= {TrialState.COMPLETE, TrialState.INTERRUPTED}
    assert files(tmp_path / "neural_datasets") == files(whole / "neural_datasets")


@pytest.mark.slow
def test_power_lost_at_any_moment_tears_nothing_that_was_synced(whole, tmp_path, monkeypatch, moment):
    """Of each prefix of the writer's calls only what was synced is kept: readers see whole shards or none."""
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
    """Change one shard: flip a bit, cut it, zero a block, or put another in its place; the file touched."""
    found = sorted((root / "neural_datasets").rglob("*.arrow"))
    path = rng.choice(found)
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
            data = bytearray(rng.choice([other for other in found if other != path]).read_bytes())
    path.write_bytes(data)
    return path


@pytest.mark.slow
def test_every_damaged_shard_is_noticed_by_name(whole, tmp_path, moment):
    """A thousand mutations of one shard: each is refused, and the message names the file."""
    root = tmp_path / "root"
    shutil.copytree(whole, root)
    for _ in range(1000):
        path = damage(root, moment)
        with pytest.raises(BadNeuralDataset, match=path.name):
            open_neural_dataset(str(root), RECIPE.digest).verify()
        shutil.copy(whole / path.relative_to(root), path)
    open_neural_dataset(str(root), RECIPE.digest).verify()


@pytest.mark.slow
def test_a_trial_fits_a_damaged_shard_anew_and_no_other(whole, tmp_path, moment):
    """A trial that finds damage mends it: the same bytes again, the other shards untouched."""
    trial = ClassificationConfig(dataset=RECIPE, steps=2, classifier=ClassifierConfig(name="mlp", epochs=1))
    for number in range(8):
        root = tmp_path / str(number)
        shutil.copytree(whole, root)
        path = damage(root, moment)
        if path.parent.name == "rung-00000000":
            remove_damage(str(root), RECIPE.digest)  # of a rung that is not its own, the trial reads some pages only
        before = {p: p.stat().st_mtime_ns for p in (root / "neural_datasets").rglob("*.arrow") if p != path}
        run_classification(trial, setting=Setting(str(root), time.monotonic, {RECIPE.digest: (0, 2)}))
        assert files(root / "neural_datasets") == files(whole / "neural_datasets")
        assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_full_disk_leaves_no_half_written_file(whole, tmp_path):
    """The shard that does not fit is refused as a full disk; nothing of it stays, and with space the fit goes on."""

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


def test_a_writer_that_was_thought_dead_changes_nothing(whole, tmp_path):
    """Stopped in the middle, overtaken by another writer, continued: the files are what they were."""
    pid = child(lambda: fit(tmp_path))
    deadline = time.monotonic() + 20
    while not list(tmp_path.rglob("*.arrow")) and time.monotonic() < deadline:
        time.sleep(0.001)
    os.kill(pid, signal.SIGSTOP)
    fit(tmp_path)
    done = files(tmp_path)
    os.kill(pid, signal.SIGCONT)
    exit_of(pid)  # it may find its own temporary file swept away, which is told as a full disk is
    open_neural_dataset(str(tmp_path), RECIPE.digest).verify()
    assert files(tmp_path) == done == files(whole)


def test_a_diverged_field_is_flagged_alone_and_a_diverged_trial_says_so(whole, tmp_path):
    """A learning rate that blows all fields up ends as `diverged`, with the rate in the message; files stay whole."""
    mfn = complete(FieldConfig(name="mfn", params={"hidden": 4}))
    wild = NeuralDatasetConfig(signals=RECIPE.signals, field=mfn, init="shared", optimizer={"lr": 1e9})
    trial = ClassificationConfig(dataset=wild, steps=30, classifier=ClassifierConfig(name="mlp", epochs=1))
    with pytest.raises(FitDiverged, match=r"fields diverged within 30 steps at lr 1e\+09"):
        run_classification(trial, setting=Setting(root=str(tmp_path), clock=time.monotonic))
    open_neural_dataset(str(tmp_path), wild.digest).verify()


def test_a_whole_neural_dataset_in_anothers_place_is_left_alone(whole, tmp_path):
    """It is somebody's: mending refuses to touch it, and says where it belongs."""
    other = "0" * 20
    shutil.copytree(whole / "neural_datasets" / RECIPE.digest, tmp_path / "neural_datasets" / other)
    before = files(tmp_path)
    with pytest.raises(BadNeuralDataset, match=f"is of neural dataset {RECIPE.digest}; move it back"):
        remove_damage(str(tmp_path), other)
    assert files(tmp_path) == before
