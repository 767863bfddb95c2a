"""The adapter between a study and Ray Tune: a searcher, a scheduler and a callback that delegate to the run.

Tune decides where and when trials run; `StudyRun` and the ledger decide what to try and record what happened.
Tune's snapshots are never restored (measured: finished trials ran again), so they are switched off.
"""

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Ray Tune reads these at import: no result files per trial, and only the last snapshot.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "1000000000")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# Actors that may start at once; the run limits the trials in flight. With Tune's default of 1, short trials never run
# in parallel: an ending trial hands its actor to the waiting one, and Tune drops the actor that was starting for it.
# `StudyScheduler` prevents the same for several waiting trials.
os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", "200")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")  # keeps relative paths of data sets valid

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from nefstudy.errors import BadConfig, NefstudyError, TrialFailed
from nefstudy.study.cluster.ray_directory import clear_storage
from nefstudy.study.driver.run import StudyRun
from nefstudy.tasks.progress import progress_of
from nefstudy.trial.assignment import TrialSetup
from nefstudy.trial.causes import cause_of, first_line
from nefstudy.trial.distributed import EPOCHS, OUTCOME, PROGRESS, trainable, trial_resources
from nefstudy.trial.result_check import read_result, result_of

log = logging.getLogger(__name__)
TRIALS_PER_TUNER = 5000


class StudySearcher(Searcher):
    """A searcher that takes up to `max_trials` trials from the run.

    Args:
        on_wait: called when nothing is in flight and nothing may start yet. Tune then only asks again, once a second
            for up to ten minutes, and calls none of its callbacks (Ray 2.60, `_update_trial_queue`).
    """

    def __init__(
        self, run: StudyRun, *, max_trials: int, stopped: Callable[[], bool], on_wait: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__()
        self.remaining = max_trials
        self._run = run
        self._stopped = stopped
        self._on_wait = on_wait

    def __deepcopy__(self, memo: dict[int, Any]) -> "StudySearcher":
        """Return self: Tune copies its arguments, but all copies must share one run."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return an empty state: Tune pickles its arguments for restoring a run, but a study never restores one."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the configuration of the next trial, None if Tune should ask again later, or FINISHED."""
        if self._stopped() or not self.remaining:
            return str(Searcher.FINISHED)
        suggestion = self._run.next(trial_id)
        if suggestion is None:
            if self._run.in_flight:
                return None  # one of them may have to be retried
            if self._run.exhausted:
                return str(Searcher.FINISHED)
            self._on_wait()
            return None
        self.remaining -= 1
        fits_per_shape = self._run.plan.fits_per_shape(*suggestion.cell_key)
        pruner = self._run.pruner.name_for(*suggestion.cell_key)
        trial = self._run.in_flight[trial_id]
        return trial.assignment(fits_per_shape=fits_per_shape, pruner=pruner).to_tune()

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Do nothing, because the callback records the outcomes."""

    def save(self, checkpoint_path: str) -> None:
        """Do nothing, because the ledger holds all state."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, because a study resumes from the ledger."""


class StudyScheduler(FIFOScheduler):
    """A scheduler that stops the trials that the run prunes and lets actors that are starting finish their start."""

    def __init__(self, run: StudyRun) -> None:
        super().__init__()
        self._run = run

    def __deepcopy__(self, memo: dict[int, Any]) -> "StudyScheduler":
        """Return self: Tune copies its arguments, but all copies must share one run."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return an empty state: Tune pickles its scheduler for restoring a run, but a study never restores one."""
        return {}

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Return None, so that Tune gives a free actor to a trial for which no actor is starting, if there is one.

        The base class returns the first pending trial. That trial takes the free actor, and Tune drops the actor that
        was starting for it; if trials are shorter than the start of an actor, no second actor is ever started.
        """

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return STOP for a trial that the run prunes, otherwise CONTINUE."""
        ends = EPOCHS in result
        running = self._run.in_flight.get(trial.trial_id)
        if ends and running is not None:
            with _fail_on_bad_report(self._run, trial.trial_id):
                partial = read_result(result[EPOCHS], expected=running.suggestion.expected, whole=False)
                ends = self._run.prune_if_weak(trial.trial_id, partial)
        return str(TrialScheduler.STOP if ends else TrialScheduler.CONTINUE)


class Recorder(tune.Callback):
    """A callback that forwards Ray Tune's events to the run.

    Args:
        on_step: called a few times a second.
    """

    def __init__(self, run: StudyRun, *, on_step: Callable[[], None]) -> None:
        self._run = run
        self._on_step = on_step

    def __deepcopy__(self, memo: dict[int, Any]) -> "Recorder":
        """Return self: Tune copies its arguments, but all copies must share one run."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return an empty state: Tune pickles its callbacks for restoring a run, but a study never restores one."""
        return {}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Run the driver's step, then kill the workers of abandoned trials."""
        self._on_step()
        if self._run.abandoned:
            self._kill_abandoned(trials)

    def _kill_abandoned(self, trials: list[Any]) -> None:
        """Kill the actors of abandoned trials; a trial that has no actor yet is killed once it has one.

        Tune then notices the actor's death, ends the trial and gives the next one a new actor. The workers of a
        group die with the actor that started them.
        """
        for trial in trials:
            actor = trial.temporary_state.ray_actor
            if trial.trial_id in self._run.abandoned and actor is not None:
                self._run.abandoned.discard(trial.trial_id)
                ray.kill(actor)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record that a trial's actor has started to run the trial."""
        self._run.started(trial.trial_id)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: Mapping[str, Any], **info: Any
    ) -> None:
        """Store a progress report for the live view, or record an outcome in the ledger."""
        progress = progress_of(result.get(PROGRESS))
        if progress is not None:
            self._run.progressed(trial.trial_id, progress)
        running = self._run.in_flight.get(trial.trial_id)
        if OUTCOME in result and running is not None:
            with _fail_on_bad_report(self._run, trial.trial_id):
                trial_result = result_of(result[OUTCOME], expected=running.suggestion.expected)
                self._run.completed(trial.trial_id, trial_result)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Fail a trial whose actor died before reporting an outcome."""
        if trial.trial_id in self._run.in_flight:
            error = _actor_error(trial)
            cause = cause_of(error)
            if cause == "bug" and isinstance(error, OSError):  # raised by Ray itself: errors of user code are outcomes
                cause = "machine"
            self._run.failed(trial.trial_id, cause=cause, error=first_line(error))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Fail a trial that ended without reporting an outcome."""
        self._run.failed(trial.trial_id, cause="bug", error="the trial ended without reporting an outcome")


@contextmanager
def _fail_on_bad_report(run: StudyRun, trial_id: str) -> Iterator[None]:
    """Fail a trial that reported a failure, a malformed result, or a result that the ledger refuses.

    Errors of the ledger itself are raised.
    """
    try:
        yield
    except TrialFailed as error:
        run.failed(trial_id, cause=error.cause, error=str(error))
    except (BadConfig, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        log.exception("the result of trial %s cannot be recorded", trial_id)
        run.failed(trial_id, cause="bug", error=f"the result cannot be recorded: {first_line(error)}")


def _actor_error(trial: Any) -> BaseException:
    """Return the exception that ended a trial's actor; Ray Tune pickles it to a file."""
    path = trial.pickled_error_file
    if path is not None and Path(path).is_file():
        try:
            error = ray.cloudpickle.loads(Path(path).read_bytes())
        except Exception as problem:
            return TrialFailed(f"the error of the trial's process cannot be read ({type(problem).__name__})")
        if isinstance(error, BaseException):
            return error
    return TrialFailed("the worker exited without an error message; see the Ray worker logs", cause="worker_lost")


def drive(
    run: StudyRun,
    *,
    setup: TrialSetup,
    on_step: Callable[[], None],
    stopped: Callable[[], bool],
) -> None:
    """Run all remaining trials of the study on the connected Ray cluster, using one Tuner after another.

    Tune keeps about 45 kB for every trial it has run and writes all of it at its end (measured, Ray 2.60), so each
    Tuner runs a limited number of trials. The cost is idle slots while the last trials of a Tuner finish.
    """
    bound = tune.with_resources(
        tune.with_parameters(trainable, setup=setup), lambda config: trial_resources(config, setup=setup)
    )
    _silence_tune_logs()
    recorder = Recorder(run, on_step=on_step)
    needs_tuner = True
    while needs_tuner and not stopped():
        searcher = StudySearcher(run, max_trials=TRIALS_PER_TUNER, stopped=stopped, on_wait=on_step)
        tuner = tune.Tuner(
            bound,
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=StudyScheduler(run),
                num_samples=-1,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=f"{run.plan.study}-{time.time_ns()}",
                storage_path=setup.storage,
                callbacks=[recorder],
                failure_config=tune.FailureConfig(max_failures=0),  # the run retries, by the rule of the cause
                verbose=0,
            ),
        )
        _fit(tuner)
        clear_storage(setup.root, run.lease)
        needs_tuner = (not searcher.remaining and not run.exhausted) or run.reload_missing()


def _fit(tuner: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tuner.fit()
        except Exception as error:
            wrapped = _wrapped_error(error)
            if wrapped is None:
                raise
            raise wrapped from None


def _wrapped_error(error: BaseException | None) -> NefstudyError | None:
    """Return the NefstudyError inside an error of Ray Tune, which wraps every error that a callback raises."""
    while error is not None and not isinstance(error, NefstudyError):
        error = error.__cause__ or error.__context__
    return error


def _silence_tune_logs() -> None:
    """Silence Ray Tune's log line per trial about missing result files, which are disabled on purpose.

    A failure's traceback is in the trial's log, and its cause in the ledger.
    """
    for name in ("ray.tune", "ray.train", "ray.tune.analysis.experiment_analysis"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in ("ray.tune.execution.tune_controller", "ray.tune.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
