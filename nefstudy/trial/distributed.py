"""The function that Ray Tune calls for each trial, which runs the trial's task through Ray Train.

Without workers, Ray Train's local mode runs the trial in the Tune actor itself: 0.14 s of overhead instead of the
18.8 s of a nested worker group of one (measured with Ray 2.60). With workers, Ray Train starts a group; each rank fits
a part of the shards, then all ranks train the classifier together.
"""

import logging
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import asdict, replace
from typing import Any

import torch
from ray import tune
from ray.exceptions import RayError
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.util.queue import Empty, Full, Queue

from nefstudy.config import TrialConfig, parse
from nefstudy.errors import TrialFailed
from nefstudy.fitting.engines.compile_cache import cache_unusable_reason
from nefstudy.tasks.catalog import task_named
from nefstudy.tasks.progress import OnProgress, throttled
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import OnEpoch, Setting
from nefstudy.tasks.task import Task
from nefstudy.tasks.world import World, current_world
from nefstudy.trial.assignment import Assignment, TrialSetup
from nefstudy.trial.causes import cause_of, first_line, portable, traceback_of
from nefstudy.trial.log import captured_log
from nefstudy.trial.memory import device_memory, keep_freed_memory
from nefstudy.trial.process_paths import check_root, find_removed_path
from nefstudy.trial.process_state import isolated
from nefstudy.trial.provenance import check_versions, made_by
from nefstudy.trial.pruning import PRUNERS
from nefstudy.trial.result_check import ExpectedResult, checked

log = logging.getLogger(__name__)

REPORT_EVERY_S = 2.0
POLL_S = 0.5  # how long to wait for a group's report before checking whether the group has ended
Report = Callable[[dict[str, Any]], Any]
"""Called with the values to report to Ray Tune."""


class StoppedByTune(BaseException):
    """A signal that Ray Tune ended the trial during a report, distinct from a SystemExit that user code raised."""


class ProcessTainted(Exception):
    """An error raised after a trial's final report, so that Ray Tune replaces the actor of a tainted process."""


TAINTING_CAUSES = ("bug", "machine")  # a CUDA error persists in its process; a retry may run on another node
OUTCOME, PROGRESS, EPOCHS = "outcome", "progress", "epochs"
GROUP_DRIVER_CPU = 0.01  # for the actor that waits for its workers, subtracted from each worker; Ray refuses 0


def trial_resources(config: dict[str, Any], *, setup: TrialSetup) -> tune.PlacementGroupFactory:
    """Return the resources that Ray Tune reserves for one trial; a worker group reserves its own resources."""
    if setup.workers:
        return tune.PlacementGroupFactory([{"CPU": GROUP_DRIVER_CPU}])
    return tune.PlacementGroupFactory([{"CPU": setup.cpus} | ({"GPU": config["gpus"]} if config["gpus"] else {})])


def trainable(config: dict[str, Any], *, setup: TrialSetup) -> None:
    """Run the trial of an `Assignment` and report its outcome to Ray Tune; a failed trial is reported, not raised.

    Raises:
        ProcessTainted: after the report, if this process must not run another trial.
    """
    assignment, began = Assignment.from_tune(config), time.monotonic()
    changes: list[str] = []
    try:
        check_root(setup.root)
        with captured_log(setup.root, assignment.key):
            outcome = _outcome(assignment, setup=setup, changes=changes)
    except StoppedByTune:
        raise SystemExit(0) from None  # what Ray Tune raised in `tune.report`
    except Exception as error:  # there is no log, because the root does not exist or is not writable
        outcome = {"cause": cause_of(error), "error": first_line(error)}
    is_tainted = bool(changes) or outcome.get("cause") in TAINTING_CAUSES
    report = {OUTCOME: outcome | {"seconds": time.monotonic() - began}}
    tune.report(report if is_tainted else report | {"done": True})
    if is_tainted:
        raise ProcessTainted(f"a trial failed ({outcome.get('cause')}) or changed its process ({', '.join(changes)})")


def _report(metrics: dict[str, Any]) -> None:
    """Report values to Ray Tune.

    Raises:
        StoppedByTune: Ray Tune ends the trial, because the driver has pruned it.
    """
    try:
        tune.report(metrics)
    except SystemExit:
        raise StoppedByTune from None


def _outcome(assignment: Assignment, *, setup: TrialSetup, changes: list[str]) -> dict[str, Any]:
    attempt = (assignment.token, assignment.key, platform.node(), os.getpid(), setup.workers, setup.revision)
    log.info("attempt %s at trial %s on %s, pid %s, %s workers, revision %s", *attempt)
    try:
        text = run_through_ray_train(assignment, setup=setup, report=_report, changes=changes)
    except StoppedByTune:
        log.info("pruned")
        raise
    except Exception as error:  # the boundary of a trial: every error becomes a ledger row
        if not isinstance(error, TrialFailed):  # whose traceback is already in the log
            log.exception("failed")
        reported = find_removed_path(setup.root) or error
        return {"cause": cause_of(reported), "error": first_line(reported)}
    finally:
        if changes:
            log.warning("the trial changed the state of its process, which will not be reused: %s", ", ".join(changes))
    log.info("complete")
    return {"result": text}


def run_through_ray_train(
    assignment: Assignment, *, setup: TrialSetup, report: Report | None = None, changes: list[str] | None = None
) -> str:
    """Run a trial in Ray Train's local mode or in a worker group; return its result as JSON.

    Args:
        report: receives the trial's progress, that of rank 0 in a group, at most every REPORT_EVERY_S seconds.
        changes: receives the names of the state that the trial changed in this process; a group's processes end anyway.
    """
    if setup.workers == 0:
        trainer = TorchTrainer(
            lambda loop: _loop(loop, setup=setup, report=report, changes=changes),
            train_loop_config=assignment.to_tune(),
            scaling_config=ScalingConfig(num_workers=0, use_gpu=setup.gpus > 0),
        )
        return str(trainer.fit().return_value)
    per_worker = {"CPU": setup.cpus - GROUP_DRIVER_CPU} | ({"GPU": setup.gpus} if setup.gpus else {})
    reports = Queue(actor_options={"num_cpus": 0})
    trainer = TorchTrainer(
        lambda loop: _loop(loop, setup=setup, report=_queue_reporter(reports)),
        train_loop_config=assignment.to_tune(),
        scaling_config=ScalingConfig(
            num_workers=setup.workers,
            use_gpu=setup.gpus > 0,
            resources_per_worker=per_worker,
            placement_strategy="SPREAD" if setup.spread else "PACK",
        ),
        run_config=RunConfig(
            name=f"{assignment.key}-{assignment.token}",
            storage_path=setup.storage,
            failure_config=FailureConfig(max_failures=0),  # the driver retries, by the rule for the cause
        ),
    )
    try:
        return str(_run_group(trainer, reports, report))
    finally:
        reports.shutdown(force=True)


def _loop(config: dict[str, Any], *, setup: TrialSetup, report: Report | None, changes: list[str] | None = None) -> str:
    """Run the trial on this rank and return its result as JSON; called by Ray Train in each worker."""
    check_versions(setup.versions)
    torch.set_num_threads(setup.threads)
    keep_freed_memory()
    cache_unusable_reason()  # otherwise a classifier's optimizer could fail at its first step
    assignment = Assignment.from_tune(config)
    task = task_named(assignment.task, setup.tasks)
    trial = parse(task.config, assignment.config, where="trial")
    expected = ExpectedResult(assignment.key, assignment.objective, tuple(need.digest for need in task.needs(trial)))
    world = current_world() if setup.workers else World()
    setting = Setting(
        root=setup.root,
        ladders=assignment.ladders,
        clock=time.monotonic,
        world=world,
        catalogs=setup.catalogs,
        engine=setup.engine,
        chunk_halvings=assignment.chunk_halvings,
        fits_per_shape=assignment.fits_per_shape,
        on_progress=None if report is None or world.rank else _progress_reporter(report),
        cpu_clock=time.process_time,
        on_epoch=_pruning_callback(assignment, expected=expected, setup=setup),
    )
    log_file = captured_log(setup.root, assignment.key) if setup.workers and world.rank == 0 else nullcontext()
    with log_file, device_memory() as memory:  # in local mode the Tune actor already writes the log
        result = _run_task(trial, task=task, setting=setting, expected=expected, changes=changes)
    provenance = made_by(revision=setup.revision, workers=setup.workers)
    return replace(result, metrics={**result.metrics, **memory}, made_by=provenance).to_json()


def _run_task(
    trial: TrialConfig, *, task: Task, setting: Setting, expected: ExpectedResult, changes: list[str] | None = None
) -> TrialResult:
    """Run a task, which may be user code, and return its validated result.

    Args:
        changes: receives the names of the parts of the process's state that the task changed.

    Raises:
        TrialFailed: the task raised any BaseException, or returned a result that cannot be recorded. Unlike errors of
            user code, this one is always an Exception, can be pickled and has one line.
    """
    try:
        with isolated(changes, seed=trial.seed):
            result = task.run(trial, setting=setting)
        return checked(result, expected=expected)
    except StoppedByTune:
        raise
    except BaseException as error:
        log.error("failed\n%s", traceback_of(error))  # noqa: TRY400 - an error of user code may have any size
        raise portable(error) from error


def _run_group(trainer: TorchTrainer, reports: Queue, report: Report | None) -> Any:
    """Run the trainer's worker group, forward the reports of rank 0, and return the group's result.

    Only this thread reports: Ray Tune hangs if a second thread reports at the moment of the last result.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="group") as pool:
        ending = pool.submit(trainer.fit)
        while not ending.done():
            try:
                values = reports.get(timeout=POLL_S)
            except Empty:
                continue
            except RayError:  # the queue's node is lost; the group itself fails if it is affected
                break
            if report is not None:
                report(values)
        return ending.result().return_value


def _queue_reporter(reports: Queue) -> Report:
    """Return a callback that sends progress from a worker to its Tune actor; losing a progress report is harmless."""

    def put(values: dict[str, Any]) -> None:
        with suppress(RayError, Full):
            reports.put_nowait(values)

    return put


def _progress_reporter(report: Report) -> OnProgress:
    """Return a progress callback that reports at most once every REPORT_EVERY_S seconds."""
    return throttled(
        lambda progress: report({PROGRESS: asdict(progress)}), every_s=REPORT_EVERY_S, clock=time.monotonic
    )


def _pruning_callback(assignment: Assignment, *, expected: ExpectedResult, setup: TrialSetup) -> OnEpoch | None:
    """Return a callback that reports interim results at the epochs when the pruner decides; None without a pruner.

    Ray Tune blocks the trial in each report until the driver has processed it, and ends it there if it is pruned.
    """
    pruner = PRUNERS.get(assignment.pruner)
    if pruner is None:
        return None

    def report(epoch: int, epochs: int, so_far: Callable[[], TrialResult]) -> None:
        if pruner.is_due(epoch, epochs):
            provenance = made_by(revision=setup.revision, workers=setup.workers)
            result = checked(replace(so_far(), made_by=provenance), expected=expected, whole=False)
            _report({EPOCHS: result.to_json()})

    return report
