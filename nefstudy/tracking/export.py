"""Export of the ledger's results to MLflow: one run per trial, written once, rebuilt from the ledger on request.

One experiment per study, data set, field and phase (`study/signals/field/phase`). A run has the trial's parameters
by their flat names, its metrics, its curves as step metrics under `curves/`, its pictures, and tags to filter by.
While MLflow is down, results stay in the ledger's outbox.
"""

import logging
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import final

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, ViewType
from mlflow.exceptions import MlflowException
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from nefstudy.errors import BadRoot, LedgerReplaced, NefstudyError, StudyBusy
from nefstudy.ledger import Heartbeat, Lease, Ledger, OutboxRow, Owner, TrialRow, TrialState
from nefstudy.outside_text import without_secrets
from nefstudy.paths import artifacts_path
from nefstudy.storage import Storage
from nefstudy.tracking import store
from nefstudy.tracking.store import store_of

log = logging.getLogger(__name__)

Curves = dict[str, list[tuple[float, float]]]
KEY = "nefstudy.key"  # the tag with the trial's key
TAGS = ("study", "phase", "cell", "task", "state", "attempt", "seed", "score", "dataset", "cause", "reused")
PARAMETER_TAGS = ("init", "field", "signals", "hidden", "steps", "classifier")
STATUS = {TrialState.COMPLETE: "FINISHED", TrialState.FAILED: "FAILED", TrialState.PRUNED: "KILLED"}
PICTURES = (".png", ".svg")

NAME_PARAMETERS = ("init", "steps")  # parameters in the name of a run, if its trial has them
MAX_PARAMS, MAX_ENTITIES, MAX_TEXT = 100, 1000, 5000  # MLflow's limits: per log_batch (two), characters per tag
FAILURES = (MlflowException, SQLAlchemyError, sqlite3.Error, OSError)
# Give up on a dead server after seconds; with MLflow's defaults a call blocks for four minutes.
RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
HTTP_LIMITS = {
    RETRIES: "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


def drain(ledger: Ledger, *, root: str, tracking_uri: str | None = None, limit: int = 1000) -> int:
    """Export up to `limit` results to MLflow and return the number of results left in the outbox.

    Errors from MLflow are not raised: a rejected result stays in the outbox and is logged once. Does nothing while
    another process exports, or without an MLflow store to write to.
    """
    uri = tracking_uri or store_of(root)
    if uri is None or ledger.outbox.size() == 0:
        return ledger.outbox.size()
    try:
        lease = ledger.leases.acquire_export(Owner.current())
    except StudyBusy as busy:
        log.info("%s", busy)
        return ledger.outbox.size()
    try:
        with Heartbeat(ledger.leases, lease):
            _drain_outbox(ledger, Runs(uri, root=root), lease=lease, limit=limit)
    except (StudyBusy, LedgerReplaced) as lost:
        log.info("%s", lost)
    except FAILURES as error:
        oldest = ledger.outbox.pending(1)
        for entry in oldest:
            shown = without_secrets(uri)
            message = f"MLflow at {shown} fails: {_first_line(error)}; results stay in the ledger until it recovers"
            _log_failure(ledger, entry, message)
    finally:
        ledger.leases.release(lease)
    return ledger.outbox.size()


def drain_all(
    ledger: Ledger,
    *,
    root: str,
    tracking_uri: str | None = None,
    limit: int = 1000,
    should_continue: Callable[[], bool] = lambda: True,
) -> int:
    """Call `drain` until it makes no progress or `should_continue` is false; return the number of results left."""
    left, next_untried = ledger.outbox.size(), _next_untried(ledger)
    while left and should_continue():
        before, left = left, drain(ledger, root=root, tracking_uri=tracking_uri, limit=limit)
        tried, next_untried = next_untried, _next_untried(ledger)
        # A drain with only rejections is progress only if it reached results that were not tried before.
        if left >= before and next_untried in {None, tried}:
            break
    return left


def rebuild(ledger: Ledger, *, root: str, tracking_uri: str | None = None, study: str | None = None) -> int:
    """Write the MLflow runs that are missing or outdated, and return the number of finished trials that have a run."""
    queued = ledger.outbox.refill(study)
    drain_all(ledger, root=root, tracking_uri=tracking_uri)
    return max(0, queued - ledger.outbox.size(study))


@final
class Runs:
    """The runs of one MLflow store; a SQLite store is created if it does not exist."""

    def __init__(self, uri: str, *, root: str) -> None:
        for name, value in HTTP_LIMITS.items():
            os.environ.setdefault(name, value)
        for noisy in ("alembic", "mlflow.store.db.utils"):  # they log each step of creating a store
            logging.getLogger(noisy).setLevel(logging.WARNING)
        file = make_url(uri).database if uri.startswith("sqlite") else None
        self._file = None if file in (None, "", ":memory:") else Path(str(file))
        if self._file is not None and not self._file.exists():
            store.create(self._file)
        self._client = MlflowClient(tracking_uri=uri)
        self._storage = Storage.at(root)
        self._experiments: dict[str, str] = {}

    def check(self) -> None:
        """Raise one of FAILURES unless MLflow responds."""
        self._client.search_experiments(max_results=1)

    def has(self, row: TrialRow) -> bool:
        """Return whether a run exists for the trial's latest result; delete the trial's other runs."""
        runs = self._client.search_runs(
            [self._experiment(row)], filter_string=f"tags.`{KEY}` = '{row.key}'", run_view_type=ViewType.ACTIVE_ONLY
        )
        latest = (str(row.attempt), STATUS[row.state])
        kept = [run for run in runs if (run.data.tags.get("attempt"), run.info.status) == latest][:1]
        for run in runs:
            if run not in kept:
                self._client.delete_run(run.info.run_id)
        return bool(kept)

    def write(self, row: TrialRow, *, curves: Curves, pictures: dict[str, str], check: Callable[[], None]) -> None:
        """Write a trial's run. A crash midway leaves a run without its final status, which `has` later deletes.

        Args:
            check: called before the final status is set; if it raises, the run is deleted and the error propagates.
                So an exporter that lost its lease never completes a run that another exporter has written again.
        """
        ended = _milliseconds(row.ended_at or row.requested_at)
        started = _milliseconds(row.started_at or row.requested_at)
        labels = [str(row.parameters[name]) for name in NAME_PARAMETERS if name in row.parameters]
        experiment, name = self._experiment(row), "-".join([*labels, row.key[:8]])
        with _without_retries():
            run = self._client.create_run(experiment, start_time=started, tags=_tags(row), run_name=name)
        run_id = run.info.run_id
        params = [Param(name, str(value)) for name, value in row.parameters.items()][:MAX_PARAMS]
        metrics = [Metric(name, value, ended, 0) for name, value in row.metrics.items()]
        room = MAX_ENTITIES - len(params) - len(metrics)
        for name, points in curves.items():
            kept = downsample(points, room // len(curves))
            metrics += [Metric(f"curves/{name}", value, ended, round(step)) for step, value in kept]
        self._client.log_batch(run_id, metrics=metrics, params=params)
        self._log_pictures(run_id, pictures)
        try:
            check()
        except NefstudyError:
            self._client.delete_run(run_id)
            raise
        self._client.set_terminated(run_id, status=STATUS[row.state], end_time=ended)

    def analyze(self) -> None:
        """Update the statistics of a SQLite store; other stores need none."""
        if self._file is not None:
            store.analyze(self._file)

    def _experiment(self, row: TrialRow) -> str:
        name = f"{row.study}/{row.cell}/{row.phase}"
        if name not in self._experiments:
            self._experiments[name] = self._find_experiment(name)
        return self._experiments[name]

    def _find_experiment(self, name: str) -> str:
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            # A server has its own artifact location; artifacts of a local store go next to it, under the root.
            location = None if self._file is None else self._storage.uri(artifacts_path(name))
            return str(self._client.create_experiment(name, artifact_location=location))
        if experiment.lifecycle_stage == "deleted":
            self._client.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)

    def _log_pictures(self, run_id: str, pictures: dict[str, str]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, path in pictures.items():
                if name.endswith(PICTURES):
                    _copy(self._storage, path, Path(folder) / Path(name).name)
            if any(Path(folder).iterdir()):
                self._client.log_artifacts(run_id, folder)


@contextmanager
def _without_retries() -> Iterator[None]:
    """Disable MLflow's retries: a retry of `create_run` after a lost response would leave an open run behind."""
    before = os.environ[RETRIES]
    os.environ[RETRIES] = "0"
    try:
        yield
    finally:
        os.environ[RETRIES] = before


def downsample(points: Sequence[tuple[float, float]], count: int) -> list[tuple[float, float]]:
    """Return at most `count` of a curve's points, evenly spaced, including both ends."""
    if len(points) <= count:
        return list(points)
    if count < 2:
        return list(points[-1:])[:count]
    return [points[round(index * (len(points) - 1) / (count - 1))] for index in range(count)]


def _next_untried(ledger: Ledger) -> int | None:
    """Return the id of the first result in the outbox if its export was never attempted; None otherwise."""
    return next((entry.id for entry in ledger.outbox.pending(1) if entry.tries == 0), None)


def _drain_outbox(ledger: Ledger, runs: Runs, *, lease: Lease, limit: int) -> None:
    runs.check()
    rejected: list[int] = []
    # One at a time: a result counts as tried once its export starts, and no export starts without the lease.
    while limit > 0 and (taken := ledger.outbox.take(1, skip=rejected, lease=lease)):
        (entry,) = taken
        try:
            _write(ledger, runs, entry, check=lambda: ledger.leases.check_held(lease))
            ledger.outbox.mark_exported(taken, lease=lease)
        except FAILURES as error:
            runs.check()  # raises if MLflow itself is down, which skips the rest
            rejected.append(entry.id)
            message = f"MLflow rejected trial {entry.key}: {_first_line(error)}; it stays in the outbox"
            _log_failure(ledger, entry, message, lease=lease)
        limit -= 1
    runs.analyze()


def _write(ledger: Ledger, runs: Runs, entry: OutboxRow, *, check: Callable[[], None]) -> None:
    """Write a trial's run unless it exists, and delete duplicates, such as one that an earlier attempt wrote late."""
    study, phase, key = entry.study, entry.phase, entry.key
    row = ledger.trials.get(key, study=study, phase=phase)
    if row is None or row.state not in STATUS:  # requested again: it is queued again when it ends
        return
    if not runs.has(row):
        curves = ledger.trials.curves(study, phase, key=key)
        runs.write(row, curves=curves, pictures=ledger.trials.artifacts(study, phase, key=key), check=check)
        if entry.tries:
            runs.has(row)


def _log_failure(ledger: Ledger, entry: OutboxRow, message: str, *, lease: Lease | None = None) -> None:
    """Record that an entry of the outbox could not be exported, and log it unless the same entry failed before."""
    if entry.error is None:
        log.warning("%s", message)
    ledger.outbox.mark_failed(entry, error=message, lease=lease)


def _tags(row: TrialRow) -> dict[str, str]:
    values = {name: getattr(row, name) for name in TAGS} | {name: row.parameters.get(name) for name in PARAMETER_TAGS}
    tags = {KEY: row.key} | {name: str(value) for name, value in values.items() if value is not None}
    tags |= {f"fingerprint.{name}": value for name, value in row.fingerprint.items()}
    if row.error:
        tags["mlflow.note.content"] = row.error  # the run's description
    return {name: without_secrets(value)[:MAX_TEXT] for name, value in tags.items()}


def _copy(storage: Storage, path: str, target: Path) -> None:
    try:
        target.write_bytes(storage.read(path))
    except (OSError, BadRoot) as error:
        log.info("picture %s was not exported: %s", path, getattr(error, "strerror", None) or error)


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return without_secrets(lines[0])[:300] if lines else type(error).__name__
