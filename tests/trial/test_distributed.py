"""Laws of the trial through Ray Train: however many workers, the same bytes; a failure is an outcome."""

import errno
import hashlib
import pickle
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from nefstudy.bench.noop import noop
from nefstudy.config import ClassifierConfig, FieldConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.errors import BadSignals, FitDiverged, TrialFailed
from nefstudy.fields.catalog import complete
from nefstudy.neural_dataset import shards
from nefstudy.outside_text import ERROR_LENGTH
from nefstudy.tasks.classification import ClassificationConfig, run_classification
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import Setting
from nefstudy.trial import distributed
from nefstudy.trial.causes import cause_of, first_line
from nefstudy.trial.distributed import Spent, TrialSetup, _worked, run_through_ray_train, trainable

from ..doing import assignment_of, doing, expected_of


def trial() -> ClassificationConfig:
    dataset = NeuralDatasetConfig(
        signals=SignalsConfig(name="digits8", subset=1100),
        field=complete(FieldConfig(name="siren", params={"hidden": 8})),
        init="random",
    )
    return ClassificationConfig(dataset=dataset, steps=2, classifier=ClassifierConfig(name="mlp", epochs=1))


def worked(run) -> TrialResult:
    """Return the checked result of user code."""
    task = doing(run)["classification"]
    setting = Setting(root="/nowhere", clock=time.monotonic)
    return _worked(trial(), task=task, setting=setting, expected=expected_of(trial()))


def hashes(root: Path) -> dict[str, str]:
    """Every file of the neural datasets under a root, by content."""
    folder = root / "neural_datasets"
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture
def local_ray():
    import ray

    from nefstudy.study.cluster import connected_ray

    with connected_ray():
        yield ray


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("engine", ["eager", pytest.param("compiled", marks=pytest.mark.compiled)])
def test_any_number_of_workers_writes_the_same_bytes(tmp_path, local_ray, engine):
    """Without Ray, in local mode, with one worker and with two: every file of the neural dataset is equal."""
    config = trial()
    assert 2 * shards.SHARD_SIGNALS < 1100, "three shards, so that two workers share them unevenly"
    sent = assignment_of(config, rungs=(1, 2))
    setting = Setting(root=str(tmp_path / "alone"), ladders=sent.ladders, clock=time.monotonic, engine=engine)
    alone = run_classification(config, setting=setting)
    wanted = hashes(tmp_path / "alone")
    assert len(wanted) > 6
    for workers in (0, 1, 2):
        root = tmp_path / f"w{workers}"
        setup = TrialSetup(root=str(root), storage=str(root / ".ray"), workers=workers, engine=engine)
        found = TrialResult.from_json(run_through_ray_train(sent, setup=setup))
        assert hashes(root) == wanted, f"{workers} workers"
        assert found.metrics["all_psnr"] == alone.metrics["all_psnr"]
        if workers < 2:
            assert found.metrics["test_accuracy"] == alone.metrics["test_accuracy"]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_what_the_searcher_suggested_reaches_the_trial(tmp_path, local_ray, workers):
    """Rungs, halvings and the study's number of fits of the shape arrive as they were sent."""

    def telling(config: ClassificationConfig, *, setting: Setting) -> TrialResult:
        told = {"fits": float(setting.fits or -1), "halvings": float(setting.halvings)}
        result = noop(config, setting=setting)
        return replace(result, metrics={**result.metrics, **told})

    setup = TrialSetup(root=str(tmp_path), storage=str(tmp_path / ".ray"), tasks=doing(telling), workers=workers)
    config = trial()
    sent = assignment_of(config, rungs=(1, 2), halvings=3)
    found = TrialResult.from_json(run_through_ray_train(replace(sent, fits=360), setup=setup))
    assert (found.metrics["fits"], found.metrics["halvings"], found.rungs) == (360, 3, (1, 2))
    alone = TrialResult.from_json(run_through_ray_train(sent, setup=setup))
    assert alone.metrics["fits"] == -1, "a trial on its own"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (FitDiverged("x"), "diverged"),
        (BadSignals("x"), "bad_data"),
        (MemoryError(), "oom"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "oom"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (ZeroDivisionError("x"), "bug"),
    ],
)
def test_every_failure_has_its_cause(error, cause):
    """The cause is read off the error, and off an error that wraps it."""
    assert cause_of(error) == cause
    wrapped = RuntimeError("wrapped")
    wrapped.__cause__ = error
    assert cause_of(wrapped) == cause


def test_an_error_is_told_in_one_line():
    """Our own errors speak for themselves; others are named by class; silence is said."""
    assert first_line(BadSignals("signals x: gone")) == "signals x: gone"
    assert first_line(ValueError("a\nb")) == "ValueError: a"
    assert first_line(ValueError()) == "ValueError: no message"


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Evil(BaseException):
    pass


class Sealed(Exception):
    def __reduce__(self):
        raise TypeError("not to be pickled")

    @property
    def cause(self):
        raise LookupError


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Mute(), "Mute: no message"),
        (ValueError("cannot read caf\udce9.png"), r"ValueError: cannot read caf\udce9.png"),
        (ValueError("\x1b[31mred\x00"), r"ValueError: red\x00"),
        (ValueError("see s3://key:hunter2@bucket/x"), "ValueError: see s3://***@bucket/x"),
        (Sealed("x"), "Sealed: x"),
        (SystemExit(0), "SystemExit: 0"),
        (SystemExit("gone"), "SystemExit: gone"),
        (KeyboardInterrupt(), "KeyboardInterrupt: no message"),
        (GeneratorExit(), "GeneratorExit: no message"),
        (StopIteration("x"), "StopIteration: x"),
        (Evil("base"), "Evil: base"),
        (RecursionError("deep"), "RecursionError: deep"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_whatever_user_code_raises_is_a_failed_trial(error, told):
    """A bug in one safe line, as an exception that can be pickled."""

    def work(config, *, setting):
        raise error

    with pytest.raises(TrialFailed) as caught:
        worked(work)
    sent = pickle.loads(pickle.dumps(caught.value))
    assert (str(sent), sent.cause) == (told, "bug")


def test_a_huge_error_is_cut():
    """30 MB of message become one line of a sane length."""
    assert len(first_line(ValueError("x" * 30_000_000))) <= ERROR_LENGTH + 100


@pytest.mark.parametrize("returned", [None, "done", {"val_accuracy": 0.5}])
def test_work_that_returns_no_result_is_a_failed_trial(returned):
    """The error shows what came back."""

    def work(config, *, setting):
        return returned

    with pytest.raises(TrialFailed, match="must return a TrialResult"):
        worked(work)


@pytest.mark.parametrize(("cause", "is_spent"), [("bug", True), ("machine", True), ("oom", False), ("diverged", False)])
def test_a_process_that_may_be_broken_runs_no_other_trial(tmp_path, monkeypatch, cause, is_spent):
    """After a CUDA or I/O error its actor is replaced; the outcome is reported first, and once."""
    reports: list[dict[str, object]] = []
    monkeypatch.setattr(distributed.tune, "report", reports.append)
    monkeypatch.setattr(distributed, "_outcome", lambda *_, **__: {"cause": cause, "error": "x"})
    setup = TrialSetup(root=str(tmp_path), storage=str(tmp_path))
    with pytest.raises(Spent) if is_spent else nullcontext():
        trainable(assignment_of(trial()).to_tune(), setup=setup)
    (report,) = reports
    assert report["outcome"]["cause"] == cause
    assert report.get("done", False) is not is_spent
