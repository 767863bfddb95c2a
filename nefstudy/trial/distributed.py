"""The trial of a task run through Ray Train, as the function Ray Tune calls.

With no workers, Ray Train's local mode runs the trial in the Tune actor itself: 0.14 s of overhead against
18.8 s for a nested worker group of one (DESIGN: measured on Ray 2.60). With workers, Ray Train starts a
group; each rank fits its own shards, then all train the classifier together.
"""

import logging
import os
import platform
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from ray import tune
from ray.exceptions import RayError
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.util.queue import Empty, Full, Queue

from nefstudy.config import TrialConfig, parse
from nefstudy.errors import TrialFailed
from nefstudy.fitting.compile_cache import why_no_place
from nefstudy.tasks.catalog import TASKS, task_named
from nefstudy.tasks.progress import Progress, rarely
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import Catalogs, OnEpoch, Setting
from nefstudy.tasks.task import Task
from nefstudy.tasks.world import World, current_world
from nefstudy.trial.assignment import Assignment
from nefstudy.trial.causes import cause_of, first_line, portable, traceback_of
from nefstudy.trial.checked import Expected, checked
from nefstudy.trial.ground import check_root, lost_ground
from nefstudy.trial.log import kept_log
from nefstudy.trial.memory import device_memory
from nefstudy.trial.process_state import kept
from nefstudy.trial.provenance import UNKNOWN, made_by
from nefstudy.trial.pruning import PRUNERS
from nefstudy.trial.versions import check_versions, versions_here

log = logging.getLogger(__name__)

REPORT_EVERY_S = 2.0
LISTEN_S = 0.5  # to a group, before its end is looked for
Tell = Callable[[dict[str, Any]], Any]


class Ended(BaseException):
    """Ray Tune ended the trial while it reported. Not SystemExit, which user code may raise itself."""


class Spent(Exception):
    """A process that must not run another trial: Ray Tune replaces an actor whose trial raises after its outcome."""


SPENT_BY = ("bug", "machine")  # a CUDA error stays with its process; a retry may get another node
OUTCOME, PROGRESS, EPOCHS = "outcome", "progress", "epochs"
GROUP_DRIVER_CPU = 0.01  # of the actor that only waits for its workers; Ray refuses 0, so each worker gives it up


@dataclass(frozen=True)
class TrialSetup:
    """What every trial of a study shares; sent once to each Tune actor.

    Attributes:
        workers: 0 runs the trial in the Tune actor; K >= 1 starts a Ray Train group of K workers.
        cpus, gpus: resources of the actor, or of each worker; an actor may be given a share of the GPU.
        spread: whether workers go to as many nodes as there are, in place of as few.
        threads: torch threads of each process.
        storage: where Ray Train keeps its run state.
        revision: commit of the code, as the driver knows it; workers may run in a copy without a repository.
        catalogs: the code that configurations may name.
        tasks: what trials do, by name.
        versions: those of the driver, which every worker must have.
    """

    root: str
    storage: str
    catalogs: Catalogs = field(default_factory=Catalogs)
    tasks: Mapping[str, Task] = field(default_factory=lambda: TASKS)
    workers: int = 0
    cpus: float = 1.0
    gpus: float = 0.0
    spread: bool = False
    threads: int = 1
    engine: str = "auto"
    revision: str = UNKNOWN
    versions: dict[str, str] = field(default_factory=versions_here)


def trial_resources(config: dict[str, Any], *, setup: TrialSetup) -> tune.PlacementGroupFactory:
    """What Ray Tune reserves for one trial: its share of a GPU; a worker group brings its own resources."""
    if setup.workers:
        return tune.PlacementGroupFactory([{"CPU": GROUP_DRIVER_CPU}])
    return tune.PlacementGroupFactory([{"CPU": setup.cpus} | ({"GPU": config["gpus"]} if config["gpus"] else {})])


def trainable(config: dict[str, Any], *, setup: TrialSetup) -> None:
    """Run one trial and report its outcome to Ray Tune; a failure is an outcome, not an exception.

    Args:
        config: an `Assignment`, as the searcher made it.
    """
    assignment, began = Assignment.from_tune(config), time.monotonic()
    changes: list[str] = []
    try:
        check_root(setup.root)
        with kept_log(setup.root, assignment.key):
            outcome = _outcome(assignment, setup=setup, changes=changes)
    except Ended:
        raise SystemExit(0) from None  # as Ray Tune ended it
    except Exception as error:  # the log cannot be kept: the root cannot be written, or is not there
        outcome = {"cause": cause_of(error), "error": first_line(error)}
    is_spent = bool(changes) or outcome.get("cause") in SPENT_BY
    report = {OUTCOME: outcome | {"seconds": time.monotonic() - began}}
    tune.report(report if is_spent else report | {"done": True})
    if is_spent:
        raise Spent(f"a trial failed ({outcome.get('cause')}) or changed its process ({', '.join(changes)})")


def _report(metrics: dict[str, Any]) -> None:
    """Report to Ray Tune.

    Raises:
        Ended: Ray Tune ends the trial here, because the driver has pruned it.
    """
    try:
        tune.report(metrics)
    except SystemExit:
        raise Ended from None


def _outcome(assignment: Assignment, *, setup: TrialSetup, changes: list[str]) -> dict[str, Any]:
    attempt = (assignment.token, assignment.key, platform.node(), os.getpid(), setup.workers, setup.revision)
    log.info("attempt %s at trial %s on %s, pid %s, %s workers, revision %s", *attempt)
    try:
        text = run_through_ray_train(assignment, setup=setup, tell=_report, changes=changes)
    except Ended:
        log.info("pruned")
        raise
    except Exception as error:  # the boundary of a trial: every error becomes a ledger row
        if not isinstance(error, TrialFailed):  # that has its traceback in the log
            log.exception("failed")
        told = lost_ground(setup.root) or error
        return {"cause": cause_of(told), "error": first_line(told)}
    finally:
        if changes:
            log.warning("the trial changed its process, which runs no other trial: %s", ", ".join(changes))
    log.info("complete")
    return {"result": text}


def run_through_ray_train(
    assignment: Assignment, *, setup: TrialSetup, tell: Tell | None = None, changes: list[str] | None = None
) -> str:
    """The result of a trial as JSON, from Ray Train's local mode or from a worker group.

    Args:
        tell: told where the trial is, every two seconds at most; a group's first rank speaks for all.
        changes: receives what the trial changed in this process; a group's processes end with their trial.
    """
    if setup.workers == 0:
        trainer = TorchTrainer(
            lambda loop: _loop(loop, setup=setup, tell=tell, changes=changes),
            train_loop_config=assignment.to_tune(),
            scaling_config=ScalingConfig(num_workers=0, use_gpu=setup.gpus > 0),
        )
        return str(trainer.fit().return_value)
    per_worker = {"CPU": setup.cpus - GROUP_DRIVER_CPU} | ({"GPU": setup.gpus} if setup.gpus else {})
    words = Queue(actor_options={"num_cpus": 0})
    trainer = TorchTrainer(
        lambda loop: _loop(loop, setup=setup, tell=_into(words)),
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
            failure_config=FailureConfig(max_failures=0),  # the driver tries again, by the rule of the cause
        ),
    )
    try:
        return str(_heard(trainer, words, tell))
    finally:
        words.shutdown(force=True)


def _loop(config: dict[str, Any], *, setup: TrialSetup, tell: Tell | None, changes: list[str] | None = None) -> str:
    check_versions(setup.versions)
    torch.set_num_threads(setup.threads)
    why_no_place()  # else the first step of any classifier's optimizer would fail
    assignment = Assignment.from_tune(config)
    task = task_named(assignment.task, setup.tasks)
    trial = parse(task.config, assignment.config, where="trial")
    expected = Expected(assignment.key, assignment.objective, tuple(need.digest for need in task.needs(trial)))
    world = current_world() if setup.workers else World()
    setting = Setting(
        root=setup.root,
        ladders=assignment.ladders,
        clock=time.monotonic,
        world=world,
        catalogs=setup.catalogs,
        engine=setup.engine,
        halvings=assignment.halvings,
        fits=assignment.fits,
        on_progress=None if tell is None or world.rank else _onward(tell),
        cpu_clock=time.process_time,
        on_epoch=_to_pruner(assignment, expected=expected, setup=setup),
    )
    kept = kept_log(setup.root, assignment.key) if setup.workers and world.rank == 0 else nullcontext()
    with kept, device_memory() as memory:  # in the Tune actor itself the log is kept already
        result = _worked(trial, task=task, setting=setting, expected=expected, changes=changes)
    made = made_by(revision=setup.revision, workers=setup.workers)
    return replace(result, metrics={**result.metrics, **memory}, made_by=made).to_json()


def _worked(
    trial: TrialConfig, *, task: Task, setting: Setting, expected: Expected, changes: list[str] | None = None
) -> TrialResult:
    """Return the checked result of user code; `changes` receives what that changed in this process.

    Raises:
        TrialFailed: user code raised anything at all, or returned what cannot be recorded. It can be pickled, has
            one line, and is an Exception, which errors of user code need not be.
    """
    try:
        with kept(changes, seed=trial.seed):
            result = task.run(trial, setting=setting)
        return checked(result, expected=expected)
    except Ended:
        raise
    except BaseException as error:
        log.error("failed\n%s", traceback_of(error))  # noqa: TRY400 - an error of user code may be of any size
        raise portable(error) from error


def _heard(trainer: TorchTrainer, words: Queue, tell: Tell | None) -> Any:
    """What the trainer's group returns; what its first rank says meanwhile is told on.

    By one thread: Ray Tune hangs when a second one reports at the moment of the last result.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="group") as pool:
        ending = pool.submit(trainer.fit)
        while not ending.done():
            try:
                told = words.get(timeout=LISTEN_S)
            except Empty:
                continue
            except RayError:  # the queue's node is gone; the group says for itself what that did to it
                break
            if tell is not None:
                tell(told)
        return ending.result().return_value


def _into(words: Queue) -> Tell:
    """A worker's way to its Tune actor; what does not arrive was only progress."""

    def put(told: dict[str, Any]) -> None:
        with suppress(RayError, Full):
            words.put_nowait(told)

    return put


def _onward(tell: Tell) -> Progress:
    """A progress callback that tells where the trial is, every two seconds at most."""
    return rarely(lambda working: tell({PROGRESS: asdict(working)}), every_s=REPORT_EVERY_S, clock=time.monotonic)


def _to_pruner(assignment: Assignment, *, expected: Expected, setup: TrialSetup) -> OnEpoch | None:
    """Return an epoch callback that reports at the epochs the trial's pruner asks for; None without a pruner.

    Ray Tune holds the trial at each report until the driver has looked at it, and ends it there if it is pruned.
    """
    pruner = PRUNERS.get(assignment.pruner)
    if pruner is None:
        return None

    def report(epoch: int, epochs: int, so_far: Callable[[], TrialResult]) -> None:
        if pruner.asks(epoch, epochs):
            made = made_by(revision=setup.revision, workers=setup.workers)
            result = checked(replace(so_far(), made_by=made), expected=expected, whole=False)
            _report({EPOCHS: result.to_json()})

    return report
