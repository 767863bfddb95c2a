"""A whole run of a study, from plan to closing words: checks, lease, Ray, export, live view."""

import logging
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

from rich.console import Console

from nefstudy.errors import DiskLow, LedgerReplaced, NefstudyError, StudyBusy, StudyStopped
from nefstudy.insight.status import EXPORT
from nefstudy.ledger import Heartbeat, Ledger, Owner, TrialState
from nefstudy.study.closing import say_closing
from nefstudy.study.cluster import Headroom, connected_ray
from nefstudy.study.continuing import continued
from nefstudy.study.control import Control
from nefstudy.study.disk import DiskWatch
from nefstudy.study.exporter import Exporter
from nefstudy.study.live import LiveView
from nefstudy.study.options import StudyOptions
from nefstudy.study.place import Place, ensure_writable
from nefstudy.study.plan import StudyPlan
from nefstudy.study.ray_folder import sweep_rays
from nefstudy.study.retention import KEEP, Retention
from nefstudy.study.run import StudyRun
from nefstudy.study.tune import drive, storage_under
from nefstudy.study.watchdog import Watchdog
from nefstudy.study.webhook import SECRET, Webhook
from nefstudy.terminal import complain
from nefstudy.trial.causes import cause_of, first_line
from nefstudy.trial.distributed import TrialSetup
from nefstudy.trial.ground import check_working_directory
from nefstudy.trial.provenance import revision

log = logging.getLogger(__name__)
FINISHED, STOPPED, PAUSED = "finished", "stopped", "paused"
TERMINATED = 128 + signal.SIGTERM


@dataclass(frozen=True)
class Ending:
    """How a run ended: the study's state, and what it did this time."""

    state: str
    complete: int
    failed: int
    retried: int
    reused: int
    unexported: int
    pruned: int = 0


def run_study(plan: StudyPlan, options: StudyOptions, *, place: Place, console: Console) -> Ending:
    """Run what the ledger does not hold yet; every check comes before the first trial.

    Raises:
        BadInput: the plan, the data, the root or the ledger cannot be used; nothing was changed.
        StudyBusy: another driver holds the study.
        StudyStopped: too many trials failed alike, or a cell's data is bad; what finished is kept.
    """
    ensure_writable(place)
    pinned = plan.pinned()
    with Ledger.open(place.ledger) as ledger, _webhook(plan, options, ledger=ledger, console=console) as hook:
        _put_study(ledger, pinned, keep=options.keep, only_new=True)
        lease = ledger.leases.acquire(plan.study, Owner.here())
        hook.begun = True
        state, low = STOPPED, None
        try:
            _put_study(ledger, pinned, keep=options.keep)
            with Heartbeat(ledger.leases, lease) as beat, _stop_on_signal() as stop:
                ledger.trials.interrupt(plan.study, lease=lease)
                run = StudyRun(
                    pinned,
                    ledger=ledger,
                    lease=lease,
                    pruner=options.pruner,
                    max_equal_failures=options.max_equal_failures,
                )
                retention = Retention(run, place.root, keep=options.keep)
                watch = DiskWatch(run, place, min_free_gb=options.min_free_gb)
                control = Control(run, stop=stop, max_hours=options.request_hours)
                control.obey(starting=True)
                with _exporter(ledger, plan.study, place=place, stop=stop, console=console) as exporter:
                    if not run.exhausted:
                        lost = _ending_without_ray(run, hook, console=console)
                        around: dict[str, Any] = {"place": place, "console": console, "beat": beat, "stop": stop}
                        around |= {"exporter": exporter, "retention": retention, "on_lost": lost}
                        low = _drive(run, options, watch=watch, control=control, **around)
                if beat.lost is not None:
                    raise beat.lost
                with _passing_trouble():
                    retention.sweep()
                state = FINISHED if run.is_finished else STOPPED if low is None else PAUSED
        finally:
            with suppress(StudyBusy, LedgerReplaced):  # another driver's or ledger's trials are not ours to close
                ledger.trials.interrupt(plan.study, lease=lease)
            ledger.leases.release(lease, state=state)
        sweep_rays()  # also where there was nothing left to start a Ray for
        say_closing(ledger, pinned, state, place=place, console=console)
        if low is not None and state != FINISHED:
            raise low
        _check_stopped(run, state)
        _check_complete(run)
        counts = {name: run.ended[name] for name in ("complete", "failed", "retried", "reused", "pruned")}
        return Ending(state, **counts, unexported=exporter.left)


def _put_study(ledger: Ledger, plan: StudyPlan, *, keep: str, only_new: bool = False) -> None:
    """Record what this run is to do, which only who holds the study may change once there is one.

    Raises:
        BadConfig: the study was begun with a plan in which a trial means something else.
    """
    row = ledger.studies.get(plan.study)
    described = continued(row, plan) | {KEEP: keep}
    if row is None or not only_new:
        ledger.studies.put(plan.study, described, cells=plan.records())


def _webhook(plan: StudyPlan, options: StudyOptions, *, ledger: Ledger, console: Console) -> Webhook:
    def warn(line: str) -> None:
        console.print(line, style="yellow", soft_wrap=True, highlight=False)

    return Webhook(options.webhook, plan.study, ledger=ledger, secret=os.environ.get(SECRET), warn=warn)


def _check_complete(run: StudyRun) -> None:
    """Raise StudyStopped when a study ends with nothing complete in the cells of its plan."""
    counts = run.ledger.trials.counts(run.plan.study)
    if not any(state is TrialState.COMPLETE and (phase, cell) in run.plan.planned() for phase, cell, state in counts):
        causes = Counter[str]()
        for (_, _, cause), number in run.ledger.trials.causes(run.plan.study).items():
            causes[cause] += number
        failed = ", ".join(f"{number} failed ({cause})" for cause, number in causes.most_common()) or "none failed"
        raise StudyStopped(
            f"study {run.plan.study!r} ended with nothing complete: {failed}; read why with `nefstudy status` and "
            "`nefstudy logs KEY`, correct that, then `nefstudy retry` and the same command again"
        )


def _check_stopped(run: StudyRun, state: str) -> None:
    """Raise StudyStopped when a rule kept the study from its end."""
    mend = "mend that, then run the same command again"
    if run.halted is not None:
        raise StudyStopped(
            f"study {run.plan.study!r} stopped: {run.halted}; {mend} (nefstudy retry puts failed trials back, "
            "--max-equal-failures allows more)"
        )
    if run.stopped:
        cells = "; ".join(f"{phase} {cell} ({reason})" for (phase, cell), reason in run.stopped.items())
        raise StudyStopped(f"study {run.plan.study!r} left cells alone: {cells}; {mend}")
    if run.exhausted and not run.under_way and state != FINISHED:
        raise StudyStopped(
            f"study {run.plan.study!r} stopped: its ledger does not hold the end of every trial that has ended; "
            "check the ledger, then run the same command again"
        )


def _ending_without_ray(run: StudyRun, hook: Webhook, *, console: Console) -> Callable[[str], int]:
    """Return how a run ends whose Ray has died: as others do, but from a thread, while the main one waits for Ray."""

    def end(problem: str) -> int:
        error = StudyStopped(f"study {run.plan.study!r} stopped: {problem}; run the same command again")
        with suppress(NefstudyError):  # a ledger that is away, too
            run.ledger.trials.interrupt(run.plan.study, lease=run.lease)
        with suppress(NefstudyError):
            run.ledger.leases.release(run.lease, state=STOPPED)
        hook.__exit__(StudyStopped, error, None)
        console.show_cursor()  # the live view hides it
        complain(error)
        return error.exit_code

    return end


def _drive(
    run: StudyRun,
    options: StudyOptions,
    *,
    place: Place,
    console: Console,
    beat: Heartbeat,
    stop: threading.Event,
    exporter: Exporter,
    retention: Retention,
    on_lost: Callable[[str], int],
    watch: DiskWatch,
    control: Control,
) -> DiskLow | None:
    """Drive the run until nothing is left, it is stopped, or space is low; the latter is returned."""
    if watch.step():
        return watch.problem
    with connected_ray(on_lost) as resources:
        sharing = options.gpus is None and resources.gpus > 0
        setup = TrialSetup(
            root=place.root,
            storage=storage_under(place.root, run.lease),
            catalogs=run.plan.catalogs,
            tasks=run.plan.tasks,
            workers=options.workers,
            gpus=min(1.0, resources.gpus) if options.gpus is None else options.gpus,
            spread=options.spread,
            engine=options.engine,
            revision=revision(os.environ),
        )
        run.share_gpus(setup.gpus, fixed=not sharing)
        headroom = Headroom(setup, asked=options.concurrency, sharing=sharing)
        watchdog = Watchdog(run, max_hours=options.max_trial_hours)
        with LiveView(run, console=console) as view:

            def step() -> None:
                check_working_directory()
                headroom.step(run)
                control.step()
                watchdog.step()
                with _passing_trouble():
                    retention.step()
                exporter.step()
                with _passing_trouble():
                    if watch.step():
                        stop.set()
                view.step()

            headroom.step(run)
            drive(
                run,
                setup=setup,
                on_step=step,
                stopped=lambda: stop.is_set() or beat.lost is not None or run.halted is not None,
            )
    return watch.problem


def _exporter(ledger: Ledger, study: str, *, place: Place, stop: threading.Event, console: Console) -> Exporter:
    """Return the export of a run; what happens to it is an event of the study."""
    return Exporter(
        ledger,
        place=place,
        leave=stop.is_set,
        on_wait=_say_left(console),
        on_change=lambda change: ledger.events.append(study, EXPORT, data=change),
    )


def _say_left(console: Console) -> Callable[[int], None]:
    """Says how many results still go to MLflow, for those who wait."""

    def say(left: int) -> None:
        console.print(f"{left} results still go to MLflow; Ctrl-C leaves them to `nefstudy export`", highlight=False)

    return say


@contextmanager
def _passing_trouble() -> Iterator[None]:
    """Log an error of the root's mount that may pass, such as EIO: the driver looks again at its next turn."""
    try:
        yield
    except OSError as error:
        if cause_of(error) != "machine":
            raise
        log.warning("the root cannot be looked at now: %s", first_line(error))


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """An event that a first Ctrl-C sets: no new trials, running ones end. A second one, or SIGTERM, ends at once."""
    stop, terminated = threading.Event(), threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            terminated.set()
            raise SystemExit(TERMINATED)
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    try:
        yield stop
    except SystemExit:  # Ray raises one of its own, of another code, when the signal meets it waiting
        if terminated.is_set():
            raise SystemExit(TERMINATED) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
