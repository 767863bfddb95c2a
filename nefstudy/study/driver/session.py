"""A complete run of a study: checks, lease, Ray, export, live view and summary."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

from rich.console import Console

from nefstudy.errors import DiskLow, LedgerReplaced, NefstudyError, StudyBusy, StudyStopped
from nefstudy.insight.status import EXPORT
from nefstudy.ledger import Heartbeat, Ledger, Owner
from nefstudy.study.cluster.connection import ClusterCapacity, connected_ray
from nefstudy.study.cluster.ray_directory import storage_under, sweep_rays
from nefstudy.study.driver.control import Control
from nefstudy.study.driver.live import LiveView
from nefstudy.study.driver.run import StudyRun
from nefstudy.study.driver.summary import check_complete, check_stopped, print_summary
from nefstudy.study.driver.tune import drive
from nefstudy.study.driver.watchdog import Watchdog
from nefstudy.study.estimate.disk import DiskWatch
from nefstudy.study.exchange.mlflow_export import Exporter
from nefstudy.study.exchange.webhook import SECRET, Webhook
from nefstudy.study.locations import Locations, ensure_writable
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.continuation import continued
from nefstudy.study.plan.plan_check import check_plan
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.study.retention import KEEP, Retention
from nefstudy.terminal import print_error
from nefstudy.trial.assignment import TrialSetup
from nefstudy.trial.causes import cause_of, first_line
from nefstudy.trial.process_paths import check_working_directory
from nefstudy.trial.provenance import revision

log = logging.getLogger(__name__)
FINISHED, STOPPED, PAUSED = "finished", "stopped", "paused"
TERMINATED = 128 + signal.SIGTERM


@dataclass(frozen=True)
class RunResult:
    """The result of a run: the study's state, trial counts, and the number of results not yet exported."""

    state: str
    complete: int
    failed: int
    retried: int
    reused: int
    unexported: int
    pruned: int = 0


def run_study(plan: StudyPlan, options: StudyOptions, *, locations: Locations, console: Console) -> RunResult:
    """Check all inputs, then run the trials whose results the ledger does not hold yet.

    Raises:
        BadInput: the plan, the data, the root or the ledger cannot be used; nothing was changed.
        StudyBusy: another driver holds the study.
        StudyStopped: too many trials failed the same way, or a cell's data is bad; finished trials are kept.
    """
    ensure_writable(locations)
    pinned = plan.pinned()
    check_plan(pinned)
    with Ledger.open(locations.ledger) as ledger, _webhook(plan, options, ledger=ledger, console=console) as hook:
        _put_study(ledger, pinned, keep=options.keep, only_new=True)
        lease = ledger.leases.acquire(plan.study, Owner.current())
        hook.is_started = True
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
                retention = Retention(run, locations.root, keep=options.keep)
                watch = DiskWatch(run, locations, min_free_gb=options.min_free_gb)
                control = Control(run, stop=stop, max_hours=options.request_hours)
                control.process(starting=True)
                with _exporter(ledger, plan.study, locations=locations, stop=stop, console=console) as exporter:
                    if not run.exhausted:
                        context: dict[str, Any] = {
                            "locations": locations,
                            "console": console,
                            "beat": beat,
                            "stop": stop,
                            "exporter": exporter,
                            "retention": retention,
                            "on_lost": _ending_without_ray(run, hook, console=console),
                        }
                        low = _drive(run, options, watch=watch, control=control, **context)
                if beat.lost is not None:
                    raise beat.lost
                with _log_machine_errors():
                    retention.sweep()
                state = FINISHED if run.is_finished else STOPPED if low is None else PAUSED
        finally:
            with suppress(StudyBusy, LedgerReplaced):  # never close trials of another driver or ledger
                ledger.trials.interrupt(plan.study, lease=lease)
            ledger.leases.release(lease, state=state)
        sweep_rays()  # also if nothing was left to do and no Ray was started
        print_summary(ledger, pinned, state, locations=locations, console=console)
        if low is not None and state != FINISHED:
            raise low
        check_stopped(run, is_finished=state == FINISHED)
        check_complete(run)
        counts = {name: run.ended[name] for name in ("complete", "failed", "retried", "reused", "pruned")}
        return RunResult(state, **counts, unexported=exporter.left)


def _put_study(ledger: Ledger, plan: StudyPlan, *, keep: str, only_new: bool = False) -> None:
    """Store the plan of this run in the ledger.

    Args:
        only_new: whether to leave an existing study unchanged, because only the lease holder may change its plan.

    Raises:
        BadConfig: the study was started with an incompatible plan, in which its trials mean something else.
    """
    row = ledger.studies.get(plan.study)
    described = continued(row, plan) | {KEEP: keep}
    if row is None or not only_new:
        ledger.studies.put(plan.study, described, cells=plan.records())


def _webhook(plan: StudyPlan, options: StudyOptions, *, ledger: Ledger, console: Console) -> Webhook:
    def warn(line: str) -> None:
        console.print(line, style="yellow", soft_wrap=True, highlight=False)

    return Webhook(options.webhook, plan.study, ledger=ledger, secret=os.environ.get(SECRET), warn=warn)


def _ending_without_ray(run: StudyRun, hook: Webhook, *, console: Console) -> Callable[[str], int]:
    """Return a callback that ends the run after Ray has died.

    Another thread calls it, because the main thread may be blocked in Ray.
    """

    def end(problem: str) -> int:
        error = StudyStopped(f"study {run.plan.study!r} stopped: {problem}; run the same command again")
        with suppress(NefstudyError):  # the ledger may be unreachable too
            run.ledger.trials.interrupt(run.plan.study, lease=run.lease)
        with suppress(NefstudyError):
            run.ledger.leases.release(run.lease, state=STOPPED)
        hook.__exit__(StudyStopped, error, None)
        console.show_cursor()  # the live view hides it
        print_error(error)
        return error.exit_code

    return end


def _drive(
    run: StudyRun,
    options: StudyOptions,
    *,
    locations: Locations,
    console: Console,
    beat: Heartbeat,
    stop: threading.Event,
    exporter: Exporter,
    retention: Retention,
    on_lost: Callable[[str], int],
    watch: DiskWatch,
    control: Control,
) -> DiskLow | None:
    """Drive the run until no trial is left or a stop is requested; if disk space is low, stop and return the error."""
    if watch.step():
        return watch.problem
    with connected_ray(on_lost) as resources:
        sharing = options.gpus is None and resources.gpus > 0
        setup = TrialSetup(
            root=locations.root,
            storage=storage_under(locations.root, run.lease),
            catalogs=run.plan.catalogs,
            tasks=run.plan.tasks,
            workers=options.workers,
            gpus=min(1.0, resources.gpus) if options.gpus is None else options.gpus,
            spread=options.spread,
            engine=options.engine,
            revision=revision(os.environ),
        )
        run.share_gpus(setup.gpus, fixed=not sharing)
        capacity = ClusterCapacity(setup, concurrency=options.concurrency, sharing=sharing)
        watchdog = Watchdog(run, max_hours=options.max_trial_hours)
        with LiveView(run, console=console) as view:

            def step() -> None:
                check_working_directory()
                capacity.step(run)
                control.step()
                watchdog.step()
                with _log_machine_errors():
                    retention.step()
                exporter.step()
                with _log_machine_errors():
                    if watch.step():
                        stop.set()
                view.step()

            capacity.step(run)
            drive(
                run,
                setup=setup,
                on_step=step,
                stopped=lambda: stop.is_set() or beat.lost is not None or run.abort_reason is not None,
            )
    return watch.problem


def _exporter(ledger: Ledger, study: str, *, locations: Locations, stop: threading.Event, console: Console) -> Exporter:
    """Return a run's exporter, whose state changes are recorded as events of the study."""
    return Exporter(
        ledger,
        locations=locations,
        leave=stop.is_set,
        on_wait=_report_left(console),
        on_change=lambda change: ledger.events.append(study, EXPORT, data=change),
    )


def _report_left(console: Console) -> Callable[[int], None]:
    """Return a callback that prints how many results are still waiting for export to MLflow."""

    def report(left: int) -> None:
        text = f"{left} results still to be exported to MLflow; Ctrl-C leaves them to `nefstudy export`"
        console.print(text, highlight=False)

    return report


@contextmanager
def _log_machine_errors() -> Iterator[None]:
    """Log temporary errors of the root's mount, such as EIO; the driver checks again in its next step."""
    try:
        yield
    except OSError as error:
        if cause_of(error) != "machine":
            raise
        log.warning("the root cannot be read now: %s", first_line(error))


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C sets, so that running trials finish and no new trial starts.

    A second Ctrl-C raises KeyboardInterrupt, and SIGTERM exits at once.
    """
    stop, terminated = threading.Event(), threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            terminated.set()
            raise SystemExit(TERMINATED)
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    try:
        yield stop
    except SystemExit:  # Ray raises its own, with another code, if the signal arrives while it waits
        if terminated.is_set():
            raise SystemExit(TERMINATED) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
