"""A study run by Ray Tune: a Searcher that asks the run, a Callback that tells it, one reused Tuner.

Tune decides where and when; what to try and what happened stay with `StudyRun` and the ledger. Tune's own
snapshots are never restored from (measured: finished trials ran again), so they are switched off.
"""

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Read by Ray Tune when it is imported: no result files per trial, no snapshot but the last.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "1000000000")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# Actors that may start at once; the run itself bounds what is under way. At Tune's own 1, short trials never leave it:
# whoever ends hands its actor to the one that waits, and Tune gives up the actor that was starting for that one.
os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", "200")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")  # a relative path of a data set stays what the user meant

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from nefstudy.errors import BadConfig, BadRoot, NefstudyError, TrialFailed
from nefstudy.ledger import Lease
from nefstudy.paths import scratch_path
from nefstudy.storage import Storage
from nefstudy.study.judge import NONE
from nefstudy.study.run import StudyRun
from nefstudy.tasks.progress import working_of
from nefstudy.trial.causes import cause_of, first_line
from nefstudy.trial.checked import read_result, result_of
from nefstudy.trial.distributed import EPOCHS, OUTCOME, PROGRESS, TrialSetup, trainable, trial_resources

log = logging.getLogger(__name__)
TRIALS_OF_A_TUNER = 5000


class StudySearcher(Searcher):
    """Ray Tune's question "what next?", passed on to the run, until so many trials were handed out.

    Args:
        on_wait: called when nothing is in flight and nothing may start yet. Tune then only asks again, once a second
            for up to ten minutes, and calls none of its callbacks (Ray 2.60, `_update_trial_queue`).
    """

    def __init__(
        self, run: StudyRun, *, most: int, stopped: Callable[[], bool], on_wait: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__()
        self.left = most
        self._run = run
        self._stopped = stopped
        self._on_wait = on_wait

    def __deepcopy__(self, memo: dict[int, Any]) -> "StudySearcher":
        """Itself: Tune copies its arguments, and there is one run."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its arguments for a restore that this study never makes."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The configuration of the next trial, None to be asked again, or FINISHED."""
        if self._stopped() or not self.left:
            return str(Searcher.FINISHED)
        suggestion = self._run.next(trial_id)
        if suggestion is None:
            if self._run.under_way:
                return None  # one of them may yet have to be retried
            if self._run.exhausted:
                return str(Searcher.FINISHED)
            self._on_wait()
            return None
        self.left -= 1
        place = (suggestion.phase, suggestion.cell)
        fits, pruner = self._run.plan.fits_a_shape(*place), self._run.judge.of(*place)
        return self._run.under_way[trial_id].assignment(fits=fits, pruner=pruner).to_tune()

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: the callback records how trials end."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a study is continued by running it again."""


class Pruning(FIFOScheduler):
    """Trials in their order; one that reports epochs goes on or ends as the run says."""

    def __init__(self, run: StudyRun) -> None:
        super().__init__()
        self._run = run

    def __deepcopy__(self, memo: dict[int, Any]) -> "Pruning":
        """Itself: Tune copies its arguments, and there is one run."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: as for the searcher."""
        return {}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """STOP for a trial that is pruned by its epochs so far."""
        ends = EPOCHS in result
        under_way = self._run.under_way.get(trial.trial_id)
        if ends and under_way is not None:
            with _failing(self._run, trial.trial_id):
                read = read_result(result[EPOCHS], expected=under_way.suggestion.expected, whole=False)
                ends = self._run.prunes(trial.trial_id, read)
        return str(TrialScheduler.STOP if ends else TrialScheduler.CONTINUE)


class Recorder(tune.Callback):
    """What Ray Tune saw, passed on to the run; `on_step` is called a few times a second."""

    def __init__(self, run: StudyRun, *, on_step: Callable[[], None]) -> None:
        self._run = run
        self._on_step = on_step

    def __deepcopy__(self, memo: dict[int, Any]) -> "Recorder":
        """Itself: Tune copies its arguments, and there is one run."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: as for the searcher."""
        return {}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Give the driver a turn, then kill the workers it gave up."""
        self._on_step()
        if self._run.abandoned:
            self._kill_abandoned(trials)

    def _kill_abandoned(self, trials: list[Any]) -> None:
        """Kill the actors of abandoned trials; one that has none yet is killed as it starts.

        Tune then sees the actor's death, ends the trial and gives the next one a new actor. A group's workers die
        with the actor that started them.
        """
        for trial in trials:
            actor = trial.temporary_state.ray_actor
            if trial.trial_id in self._run.abandoned and actor is not None:
                self._run.abandoned.discard(trial.trial_id)
                ray.kill(actor)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The trial has an actor and runs."""
        self._run.started(trial.trial_id)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: Mapping[str, Any], **info: Any
    ) -> None:
        """Progress is kept for the live view; an outcome ends the trial in the ledger."""
        working = working_of(result.get(PROGRESS))
        if working is not None:
            self._run.progressed(trial.trial_id, working)
        under_way = self._run.under_way.get(trial.trial_id)
        if OUTCOME in result and under_way is not None:
            with _failing(self._run, trial.trial_id):
                found = result_of(result[OUTCOME], expected=under_way.suggestion.expected)
                self._run.completed(trial.trial_id, found)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Fail a trial whose actor died; one that has reported its outcome only leaves its process."""
        if trial.trial_id in self._run.under_way:
            error = _actor_error(trial)
            cause = cause_of(error)
            if cause == "bug" and isinstance(error, OSError):  # of Ray's own code: errors of user code are outcomes
                cause = "machine"
            self._run.failed(trial.trial_id, cause=cause, error=first_line(error))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial that ended without an outcome did not do its work."""
        self._run.failed(trial.trial_id, cause="bug", error="the trial ended without reporting an outcome")


@contextmanager
def _failing(run: StudyRun, trial_id: str) -> Iterator[None]:
    """Fail a trial that reported a failure, no result, or what the ledger refuses; errors of the ledger are raised."""
    try:
        yield
    except TrialFailed as error:
        run.failed(trial_id, cause=error.cause, error=str(error))
    except (BadConfig, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        log.exception("the result of trial %s cannot be recorded", trial_id)
        run.failed(trial_id, cause="bug", error=f"the result cannot be recorded: {first_line(error)}")


def _actor_error(trial: Any) -> BaseException:
    """The exception by which Ray Tune learned that a trial's actor is gone; Tune leaves it beside the trial."""
    path = trial.pickled_error_file
    if path is not None and Path(path).is_file():
        try:
            error = ray.cloudpickle.loads(Path(path).read_bytes())
        except Exception as unread:
            return TrialFailed(f"the error of the trial's process cannot be read ({type(unread).__name__})")
        if isinstance(error, BaseException):
            return error
    return TrialFailed("the worker died without a word; look at Ray's logs for its last lines", cause="worker_lost")


def drive(
    run: StudyRun,
    *,
    setup: TrialSetup,
    on_step: Callable[[], None],
    stopped: Callable[[], bool],
) -> None:
    """Run every trial the study still asks for on the Ray this process is connected to, one Tuner after another.

    Tune keeps some 45 kB of every trial it ever had and writes them all out at its end (measured, Ray 2.60), so a
    Tuner has an end before that counts: its last trials, now and then, are what that costs.
    """
    bound = tune.with_resources(
        tune.with_parameters(trainable, setup=setup), lambda config: trial_resources(config, setup=setup)
    )
    _quiet()
    recorder = Recorder(run, on_step=on_step)
    spent = True
    while spent and not stopped():
        searcher = StudySearcher(run, most=TRIALS_OF_A_TUNER, stopped=stopped, on_wait=on_step)
        tuner = tune.Tuner(
            bound,
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=None if run.judge.name == NONE else Pruning(run),
                num_samples=-1,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=f"{run.plan.study}-{time.time_ns()}",
                storage_path=setup.storage,
                callbacks=[recorder],
                failure_config=tune.FailureConfig(max_failures=0),  # the run tries again, by the rule of the cause
                verbose=0,
            ),
        )
        _fit(tuner)
        clear_storage(setup.root, run.lease)
        spent = (not searcher.left and not run.exhausted) or run.resumes()


def _fit(tuner: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tuner.fit()
        except Exception as error:
            ours = _ours(error)
            if ours is None:
                raise
            raise ours from None


def _ours(error: BaseException | None) -> NefstudyError | None:
    """The error of ours that Ray Tune wrapped into one of its own, as it does with what its callbacks raise."""
    while error is not None and not isinstance(error, NefstudyError):
        error = error.__cause__ or error.__context__
    return error


def _quiet() -> None:
    """Ray Tune says once per trial that it kept no result file: true, and on purpose. A failure's traceback is kept in
    the trial's own log, its cause in the ledger.
    """
    for name in ("ray.tune", "ray.train", "ray.tune.analysis.experiment_analysis"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in ("ray.tune.execution.tune_controller", "ray.tune.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def storage_under(root: str, lease: Lease) -> str:
    """Return where Ray Train and Tune keep files while a driver holds this lease; nothing there outlives the run."""
    storage, path = Storage.at(root), f"{scratch_path(lease.study)}/{lease.epoch}"
    return storage.locate(path) if storage.is_local else storage.uri(path)


def clear_storage(root: str, lease: Lease) -> None:
    """Remove what Ray Train and Tune left, where possible, for this driver and earlier ones; a later one's stays."""
    storage, path = Storage.at(root), scratch_path(lease.study)
    try:
        for epoch in storage.names(path):
            if epoch.isdecimal() and int(epoch) <= lease.epoch:
                storage.remove(f"{path}/{epoch}")
        storage.remove_empty(path)
    except (OSError, BadRoot) as error:
        log.info("%s stays: %s", path, getattr(error, "strerror", None) or error)
