"""Tests of trials that run through Ray Train, with any number of workers."""

import errno
import hashlib
import pickle
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray import tune

from nefstudy.bench.noop import noop
from nefstudy.config import ClassifierConfig, FieldConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.errors import BadSignals, FitDiverged, TrialFailed
from nefstudy.fields.catalog import complete
from nefstudy.neural_dataset.schema import SHARD_SIGNALS
from nefstudy.outside_text import ERROR_LENGTH
from nefstudy.tasks.classification import ClassificationConfig, run_classification
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import Setting
from nefstudy.trial import distributed
from nefstudy.trial.assignment import TrialSetup
from nefstudy.trial.causes import cause_of, first_line
from nefstudy.trial.distributed import ProcessTainted, _run_task, run_through_ray_train, trainable

from ..stub_tasks import assignment_of, expected_of, tasks_with


def trial() -> ClassificationConfig:
    dataset = NeuralDatasetConfig(
        signals=SignalsConfig(name="digits8", subset=1100),
        field=complete(FieldConfig(name="siren", params={"hidden": 8})),
        init="random",
    )
    return ClassificationConfig(dataset=dataset, steps=2, classifier=ClassifierConfig(name="mlp", epochs=1))


def result_of(run) -> TrialResult:
    """Run user code as a task and return its checked result."""
    task = tasks_with(run)["classification"]
    setting = Setting(root="/nowhere", clock=time.monotonic)
    return _run_task(trial(), task=task, setting=setting, expected=expected_of(trial()))


def hashes(root: Path) -> dict[str, str]:
    """Return the SHA-256 hash of every file of the neural datasets under a root."""
    folder = root / "neural_datasets"
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def local_ray():
    """Start a local Ray instance that the tests of this module share."""
    from nefstudy.study.cluster.connection import connected_ray

    with connected_ray():
        yield


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("engine", ["eager", "native", pytest.param("compiled", marks=pytest.mark.compiled)])
def test_any_number_of_workers_writes_the_same_bytes(tmp_path, local_ray, engine):
    """A neural dataset's files are the same without Ray, in Ray Train's local mode, and with one or two workers."""
    config = trial()
    assert 2 * SHARD_SIGNALS < 1100, "three shards, so that two workers share them unevenly"
    sent = assignment_of(config, rungs=(1, 2))
    setting = Setting(root=str(tmp_path / "alone"), ladders=sent.ladders, clock=time.monotonic, engine=engine)
    alone = run_classification(config, setting=setting)
    expected = hashes(tmp_path / "alone")
    assert len(expected) > 6
    for workers in (0, 1, 2):
        root = tmp_path / f"w{workers}"
        setup = TrialSetup(root=str(root), storage=str(root / ".ray"), workers=workers, engine=engine)
        result = TrialResult.from_json(run_through_ray_train(sent, setup=setup))
        assert hashes(root) == expected, f"{workers} workers"
        assert result.metrics["all_psnr"] == alone.metrics["all_psnr"]
        if workers < 2:
            assert result.metrics["test_accuracy"] == alone.metrics["test_accuracy"]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_the_assignment_reaches_the_trial(tmp_path, local_ray, workers):
    """The assignment's rungs, chunk halvings and number of fits per shape reach the task unchanged."""

    def echo(config: ClassificationConfig, *, setting: Setting) -> TrialResult:
        received = {"fits": float(setting.fits_per_shape or -1), "halvings": float(setting.chunk_halvings)}
        result = noop(config, setting=setting)
        return replace(result, metrics={**result.metrics, **received})

    setup = TrialSetup(root=str(tmp_path), storage=str(tmp_path / ".ray"), tasks=tasks_with(echo), workers=workers)
    config = trial()
    sent = assignment_of(config, rungs=(1, 2), chunk_halvings=3)
    result = TrialResult.from_json(run_through_ray_train(replace(sent, fits_per_shape=360), setup=setup))
    assert (result.metrics["fits"], result.metrics["halvings"]) == (360, 3)
    assert [used.rungs for used in result.datasets] == [(1, 2)]
    alone = TrialResult.from_json(run_through_ray_train(sent, setup=setup))
    assert alone.metrics["fits"] == -1, "a trial outside a study"


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
    """Divergence, bad data, lack of memory or space, and bugs have separate causes, even inside another error."""
    assert cause_of(error) == cause
    wrapped = RuntimeError("wrapped")
    wrapped.__cause__ = error
    assert cause_of(wrapped) == cause


def test_an_error_is_reported_in_one_line():
    """An error of a class that this project defines is reported by its message, without the class.

    The line of any other error also contains its class, and `no message` if it has none.
    """
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
    ("error", "line"),
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
def test_anything_that_user_code_raises_is_a_failed_trial(error, line):
    """Anything that user code raises becomes a failure with the cause `bug` and one printable line.

    The exception that reports the failure can be pickled.
    """

    def work(config, *, setting):
        raise error

    with pytest.raises(TrialFailed) as caught:
        result_of(work)
    sent = pickle.loads(pickle.dumps(caught.value))
    assert (str(sent), sent.cause) == (line, "bug")


def test_a_huge_error_is_cut():
    """An error message of 30 MB is cut to one short line."""
    assert len(first_line(ValueError("x" * 30_000_000))) <= ERROR_LENGTH + 100


@pytest.mark.parametrize("returned", [None, "done", {"val_accuracy": 0.5}])
def test_a_task_that_does_not_return_a_result_is_a_failed_trial(returned):
    """If a task does not return a TrialResult, the trial fails with an error that names this type."""

    def work(config, *, setting):
        return returned

    with pytest.raises(TrialFailed, match="TrialResult"):
        result_of(work)


@pytest.mark.parametrize(
    ("cause", "is_tainted"), [("bug", True), ("machine", True), ("oom", False), ("diverged", False)]
)
def test_a_tainted_process_runs_no_other_trial(tmp_path, monkeypatch, cause, is_tainted):
    """After a bug or a machine error, the actor reports the trial's outcome once and then raises ProcessTainted."""
    reports: list[dict[str, Any]] = []
    monkeypatch.setattr(tune, "report", reports.append)
    monkeypatch.setattr(distributed, "_outcome", lambda *_, **__: {"cause": cause, "error": "x"})
    setup = TrialSetup(root=str(tmp_path), storage=str(tmp_path))
    with pytest.raises(ProcessTainted) if is_tainted else nullcontext():
        trainable(assignment_of(trial()).to_tune(), setup=setup)
    (report,) = reports
    assert report["outcome"]["cause"] == cause
    assert report.get("done", False) is not is_tainted
