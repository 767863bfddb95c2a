"""The ledger's results as MLflow runs: one run a trial, written once, and again from the ledger whenever wanted.

One experiment per study, data set, field and phase (`study/signals/field/phase`). A run carries the trial's
parameters by their flat names, its metrics, its curves as step metrics under `curves/`, its pictures, and tags
for everything people filter by. MLflow is an export: while it fails, results wait in the ledger's outbox.
"""

import logging
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import final

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, ViewType
from mlflow.exceptions import MlflowException
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from nefstudy.errors import BadRoot, LedgerReplaced, NefstudyError, StudyBusy
from nefstudy.ledger import Heartbeat, Lease, Ledger, OutboxRow, Owner, TrialRow, TrialState
from nefstudy.ledger.address import mlflow_url
from nefstudy.outside_text import without_secrets
from nefstudy.paths import MLFLOW, artifacts_path
from nefstudy.storage import Storage

log = logging.getLogger(__name__)

Curves = dict[str, list[tuple[float, float]]]
KEY = "nefstudy.key"  # the tag that says which trial a run is of
TAGS = ("study", "phase", "cell", "task", "state", "attempt", "seed", "score", "dataset", "cause", "reused")
MORE_TAGS = ("init", "field", "signals", "hidden", "steps", "classifier")
STATUS = {TrialState.COMPLETE: "FINISHED", TrialState.FAILED: "FAILED", TrialState.PRUNED: "KILLED"}
PICTURES = (".png", ".svg")

LOCKED_S = 10.0  # for a SQLite store that somebody else is writing
NAMED = ("init", "steps")  # parameters that a run is named by, where its trial has them
MAX_PARAMS, MAX_ENTITIES, MAX_TEXT = 100, 1000, 5000  # of one log_batch; of one tag
FAILURES = (MlflowException, SQLAlchemyError, sqlite3.Error, OSError)
# a dead server is given up after seconds; MLflow's own defaults hold a call for four minutes
REPEATS = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
PATIENCE = {
    REPEATS: "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


def store_of(root: str) -> str | None:
    """The MLflow store of a local root, one SQLite file in it; None for a root that is a URI."""
    return None if "://" in root else mlflow_url(Path(root).absolute() / MLFLOW)


def drain(ledger: Ledger, *, root: str, tracking_uri: str | None = None, limit: int = 1000) -> int:
    """How many results still wait after up to `limit` of them were written to MLflow.

    Nothing that MLflow does is raised: what it refuses waits and is logged once. While another process exports,
    or when there is no MLflow to write to, nothing is done.
    """
    uri = tracking_uri or store_of(root)
    if uri is None or ledger.outbox.size() == 0:
        return ledger.outbox.size()
    try:
        lease = ledger.leases.acquire_export(Owner.here())
    except StudyBusy as busy:
        log.info("%s", busy)
        return ledger.outbox.size()
    try:
        with Heartbeat(ledger.leases, lease):
            _empty(ledger, Runs(uri, root=root), lease=lease, limit=limit)
    except (StudyBusy, LedgerReplaced) as lost:
        log.info("%s", lost)
    except FAILURES as error:
        oldest = ledger.outbox.pending(1)
        for entry in oldest:
            where = without_secrets(uri)
            _complain(ledger, entry, f"MLflow at {where} fails: {_first_line(error)}; results wait in the ledger")
    finally:
        ledger.leases.release(lease)
    return ledger.outbox.size()


def drain_all(
    ledger: Ledger,
    *,
    root: str,
    tracking_uri: str | None = None,
    limit: int = 1000,
    go_on: Callable[[], bool] = lambda: True,
) -> int:
    """How many results still wait after drain upon drain, until nothing moves or it is not to go on."""
    left, next_new = ledger.outbox.size(), _next_new(ledger)
    while left and go_on():
        before, left = left, drain(ledger, root=root, tracking_uri=tracking_uri, limit=limit)
        tried, next_new = next_new, _next_new(ledger)
        # refusals alone are no reason to go on, unless they have made way for results that were never begun
        if left >= before and next_new in {None, tried}:
            break
    return left


def rebuild(ledger: Ledger, *, root: str, tracking_uri: str | None = None, study: str | None = None) -> int:
    """How many ended trials have their run after every run that was missing or stale was written again."""
    wanted = ledger.outbox.refill(study)
    drain_all(ledger, root=root, tracking_uri=tracking_uri)
    return max(0, wanted - ledger.outbox.size(study))


@final
class Runs:
    """The runs of one MLflow store."""

    def __init__(self, uri: str, *, root: str) -> None:
        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)
        for noisy in ("alembic", "mlflow.store.db.utils"):  # each step of creating a store, line by line
            logging.getLogger(noisy).setLevel(logging.WARNING)
        self._client = MlflowClient(tracking_uri=uri)
        self._storage = Storage.at(root)
        self._file = make_url(uri).database if uri.startswith("sqlite") else None
        self._experiments: dict[str, str] = {}

    def check(self) -> None:
        """Raise one of FAILURES unless MLflow answers; the first call creates a SQLite store."""
        self._client.search_experiments(max_results=1)

    def has(self, row: TrialRow) -> bool:
        """Whether a trial's latest result has its run; any other run of the trial is deleted."""
        found = self._client.search_runs(
            [self._experiment(row)], filter_string=f"tags.`{KEY}` = '{row.key}'", run_view_type=ViewType.ACTIVE_ONLY
        )
        wanted = (str(row.attempt), STATUS[row.state])
        kept = [run for run in found if (run.data.tags.get("attempt"), run.info.status) == wanted][:1]
        for run in found:
            if run not in kept:
                self._client.delete_run(run.info.run_id)
        return bool(kept)

    def write(self, row: TrialRow, *, curves: Curves, pictures: dict[str, str], check: Callable[[], None]) -> None:
        """Write a trial's run. A crash in the middle leaves a run that is not of its final status.

        Args:
            check: raises unless the run may still be completed; one that may not is deleted. `has` deletes runs
                without their final status, so a late exporter never completes a run that was written again.
        """
        ended = _milliseconds(row.ended_at or row.requested_at)
        started = _milliseconds(row.started_at or row.requested_at)
        shown = [str(row.parameters[name]) for name in NAMED if name in row.parameters]
        experiment, name = self._experiment(row), "-".join([*shown, row.key[:8]])
        with _without_repeats():
            run = self._client.create_run(experiment, start_time=started, tags=_tags(row), run_name=name)
        run_id = run.info.run_id
        params = [Param(name, str(value)) for name, value in row.parameters.items()][:MAX_PARAMS]
        metrics = [Metric(name, value, ended, 0) for name, value in row.metrics.items()]
        room = MAX_ENTITIES - len(params) - len(metrics)
        for name, points in curves.items():
            kept = thin(points, room // len(curves))
            metrics += [Metric(f"curves/{name}", value, ended, round(step)) for step, value in kept]
        self._client.log_batch(run_id, metrics=metrics, params=params)
        self._log_pictures(run_id, pictures)
        try:
            check()
        except NefstudyError:
            self._client.delete_run(run_id)
            raise
        self._client.set_terminated(run_id, status=STATUS[row.state], end_time=ended)

    def settle(self) -> None:
        """Let a SQLite store know its own size: without statistics MLflow's searches take a hundred times longer."""
        if self._file is None:
            return
        with closing(sqlite3.connect(self._file, timeout=LOCKED_S, isolation_level=None)) as store:
            store.execute("PRAGMA journal_mode=WAL")  # readers of the MLflow pages no longer hold up the writer
            runs = store.execute("SELECT count(*) FROM runs").fetchone()[0]
            if runs > 2 * _counted(store):
                store.execute("ANALYZE")

    def _experiment(self, row: TrialRow) -> str:
        name = f"{row.study}/{row.cell}/{row.phase}"
        if name not in self._experiments:
            self._experiments[name] = self._find_experiment(name)
        return self._experiments[name]

    def _find_experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            # a server keeps artifacts where it was told to; a store of our own keeps them beside it
            place = None if self._file is None else self._storage.uri(artifacts_path(name))
            return str(self._client.create_experiment(name, artifact_location=place))
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _log_pictures(self, run_id: str, pictures: dict[str, str]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, path in pictures.items():
                if name.endswith(PICTURES):
                    _copy(self._storage, path, Path(folder) / Path(name).name)
            if any(Path(folder).iterdir()):
                self._client.log_artifacts(run_id, folder)


@contextmanager
def _without_repeats() -> Iterator[None]:
    """Calls to a server are made once: MLflow repeats one whose answer was lost, and would leave an open run behind."""
    before = os.environ[REPEATS]
    os.environ[REPEATS] = "0"
    try:
        yield
    finally:
        os.environ[REPEATS] = before


def thin(points: Sequence[tuple[float, float]], count: int) -> list[tuple[float, float]]:
    """At most `count` of a curve's points, evenly spread, its two ends among them."""
    if len(points) <= count:
        return list(points)
    if count < 2:
        return list(points[-1:])[:count]
    return [points[round(place * (len(points) - 1) / (count - 1))] for place in range(count)]


def _next_new(ledger: Ledger) -> int | None:
    """The oldest result that was never begun; None when all were."""
    return next((entry.id for entry in ledger.outbox.pending(1) if entry.tries == 0), None)


def _empty(ledger: Ledger, runs: Runs, *, lease: Lease, limit: int) -> None:
    runs.check()
    refused: list[int] = []
    # one by one: what is never begun loses no try, and nothing is begun without the lease
    while limit > 0 and (taken := ledger.outbox.take(1, skip=refused, lease=lease)):
        (entry,) = taken
        try:
            _write(ledger, runs, entry, check=lambda: ledger.leases.check_held(lease))
            ledger.outbox.mark(taken, lease=lease)
        except FAILURES as error:
            runs.check()  # MLflow itself fails: leave the rest
            refused.append(entry.id)
            _complain(ledger, entry, f"MLflow refuses trial {entry.key}: {_first_line(error)}; it waits", lease=lease)
        limit -= 1
    runs.settle()


def _write(ledger: Ledger, runs: Runs, entry: OutboxRow, *, check: Callable[[], None]) -> None:
    """Write a trial's run unless it is there; after that no other one is, also where an earlier try was late."""
    study, phase, key = entry.study, entry.phase, entry.key
    row = ledger.trials.get(key, study=study, phase=phase)
    if row is None or row.state not in STATUS:  # requested again: it comes back when it ends
        return
    if not runs.has(row):
        curves = ledger.trials.curves(study, phase, key=key)
        runs.write(row, curves=curves, pictures=ledger.trials.artifacts(study, phase, key=key), check=check)
        if entry.tries:
            runs.has(row)


def _complain(ledger: Ledger, entry: OutboxRow, message: str, *, lease: Lease | None = None) -> None:
    """Log a failure once: not again while the entry that met it still waits."""
    if entry.error is None:
        log.warning("%s", message)
    ledger.outbox.mark_failed(entry, error=message, lease=lease)


def _tags(row: TrialRow) -> dict[str, str]:
    values = {name: getattr(row, name) for name in TAGS} | {name: row.parameters.get(name) for name in MORE_TAGS}
    tags = {KEY: row.key} | {name: str(value) for name, value in values.items() if value is not None}
    tags |= {f"fingerprint.{name}": value for name, value in row.fingerprint.items()}
    if row.error:
        tags["mlflow.note.content"] = row.error  # the run's description
    return {name: without_secrets(value)[:MAX_TEXT] for name, value in tags.items()}


def _counted(store: sqlite3.Connection) -> int:
    """How many runs SQLite's statistics know of, 0 before the first ANALYZE."""
    if store.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'").fetchone() is None:
        return 0
    known = store.execute("SELECT max(CAST(stat AS INTEGER)) FROM sqlite_stat1 WHERE tbl = 'runs'").fetchone()[0]
    return int(known or 0)


def _copy(storage: Storage, path: str, target: Path) -> None:
    try:
        target.write_bytes(storage.read(path))
    except (OSError, BadRoot) as error:
        log.info("picture %s is not exported: %s", path, getattr(error, "strerror", None) or error)


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return without_secrets(lines[0])[:300] if lines else type(error).__name__
