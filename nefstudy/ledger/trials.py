"""Trials: state transitions, pages, counts and measurements."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, final

from sqlalchemy import Connection, ScalarSelect, Select, case, func, select

from nefstudy.ledger import attempts
from nefstudy.ledger.attempts import RETRIED, Claim
from nefstudy.ledger.lease import Lease
from nefstudy.ledger.outcome import Curve, Number, Outcome
from nefstudy.ledger.record import TrialRecord
from nefstudy.ledger.sql import pages
from nefstudy.ledger.sql.access import Access
from nefstudy.ledger.sql.columns import read_columns
from nefstudy.ledger.sql.fetch import load
from nefstudy.ledger.sql.filters import Filter
from nefstudy.ledger.sql.rows import (
    COMPLETED,
    TERMINAL,
    Coverage,
    StoredPage,
    TrialEnd,
    TrialRow,
    TrialRowPage,
    TrialState,
)
from nefstudy.ledger.sql.schema import artifacts, cells, curves, events, measures, names, trials


@final
class Trials:
    """The trials of a ledger.

    Study, phase and key identify a trial; `token` is the number of an attempt.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    def request(self, study: str, phase: str, *, record: TrialRecord, lease: Lease | None = None) -> int:
        """Open a new attempt at a trial and return its token; raise StaleAttempt if the trial is COMPLETE."""
        return self._access.write(
            lambda c, now: attempts.request(c, study, phase=phase, record=record, now=now), lease=lease
        )

    def reuse(self, study: str, phase: str, *, record: TrialRecord, lease: Lease | None = None) -> bool:
        """Complete a trial with the result of the same trial in any study or phase, at zero cost.

        Return whether the trial is now COMPLETE.
        """
        return self._access.write(
            lambda c, now: attempts.reuse(c, study, phase=phase, record=record, now=now), lease=lease
        )

    def claim(self, study: str, phase: str, *, record: TrialRecord, lease: Lease | None = None) -> int | None:
        """Open a new attempt and return its token, or reuse an existing result and return None."""
        return self._access.write(
            lambda c, now: attempts.claim(c, study, phase=phase, record=record, now=now), lease=lease
        )

    def start(self, study: str, phase: str, *, key: str, token: int, lease: Lease | None = None) -> None:
        """Mark an attempt as running."""
        claim = Claim(study, phase, key, token)
        self._access.write(lambda c, now: attempts.start(c, claim, now=now), lease=lease)

    def complete(
        self,
        study: str,
        phase: str,
        *,
        key: str,
        token: int,
        metrics: Mapping[str, Number],
        curves: Mapping[str, Curve] | None = None,
        artifacts: Mapping[str, str] | None = None,
        fingerprint: Mapping[str, str] | None = None,
        lease: Lease | None = None,
    ) -> bool:
        """Commit a result; return False if this token committed it before; raise StaleAttempt for a stale token."""
        outcome = Outcome(TrialState.COMPLETE, metrics, curves or {}, artifacts or {}, fingerprint or {})
        return self._end(Claim(study, phase, key, token), outcome, lease=lease)

    def prune(
        self,
        study: str,
        phase: str,
        *,
        key: str,
        token: int,
        metrics: Mapping[str, Number],
        curves: Mapping[str, Curve] | None = None,
        fingerprint: Mapping[str, str] | None = None,
        lease: Lease | None = None,
    ) -> bool:
        """Commit the measurements of a trial that was pruned."""
        outcome = Outcome(TrialState.PRUNED, metrics, curves or {}, {}, fingerprint or {})
        return self._end(Claim(study, phase, key, token), outcome, lease=lease)

    def fail(
        self, study: str, phase: str, *, key: str, token: int, cause: str, error: str, lease: Lease | None = None
    ) -> bool:
        """Commit the failure of an attempt, with its cause and error text."""
        outcome = Outcome(TrialState.FAILED, cause=cause, error=error)
        return self._end(Claim(study, phase, key, token), outcome, lease=lease)

    def retry(
        self, study: str, phase: str, *, key: str, token: int, cause: str, error: str, lease: Lease | None = None
    ) -> None:
        """Close a failed attempt as INTERRUPTED so that its trial is retried."""
        claim = Claim(study, phase, key, token)
        self._access.write(lambda c, now: attempts.retry(c, claim, cause=cause, error=error, now=now), lease=lease)

    def interrupt(self, study: str, *, lease: Lease | None = None) -> int:
        """Close all open attempts as INTERRUPTED, which makes their tokens stale, and return their number."""
        return self._access.write(lambda c, now: attempts.interrupt(c, study, now=now), lease=lease)

    def _end(self, claim: Claim, outcome: Outcome, *, lease: Lease | None) -> bool:
        return self._access.write(lambda c, now: attempts.end(c, claim, outcome=outcome, now=now), lease=lease)

    def get(self, key: str, *, study: str | None = None, phase: str | None = None) -> TrialRow | None:
        """Return the trial with the given key, or None; prefer a COMPLETE trial, then one that was not reused."""
        query = _narrowed(select(trials.c.id).where(trials.c.key == key), study=study, phase=phase)
        complete = trials.c.state == TrialState.COMPLETE
        query = query.order_by(complete.desc(), trials.c.reused, trials.c.id).limit(1)
        return next(iter(self._rows(query)), None)

    def page(
        self,
        study: str,
        *,
        phase: str | None = None,
        cell: str | None = None,
        state: TrialState | None = None,
        filters: Sequence[Filter] = (),
        sort: str | None = None,
        limit: int | None = 100,
        cursor: str | None = None,
    ) -> TrialRowPage:
        """Return a page of trials in order of creation or of the value `sort`; a leading `-` reverses the order."""
        query = pages.Query(study, phase=phase, cell=cell, state=state, filters=tuple(filters), sort=sort)
        return self._access.read(lambda c: pages.rows(c, query, limit=limit, cursor=cursor))

    def stored_page(self, query: pages.Query, *, limit: int | None = 100, cursor: str | None = None) -> StoredPage:
        """Return a page of trials with its JSON texts left undecoded, for pass-through responses."""
        return self._access.read(lambda c: pages.stored_rows(c, query, limit=limit, cursor=cursor))

    def best(self, study: str, *, phase: str | None = None, cell: str | None = None, limit: int = 1) -> list[TrialRow]:
        """Return the `limit` best COMPLETE trials of each (phase, cell); the smaller key wins ties."""
        return self._access.read(lambda c: _best(c, study, phase=phase, cell=cell, limit=limit))

    def completed(self, study: str, *, phase: str, cell: str) -> list[TrialRow]:
        """Return the COMPLETE and PRUNED trials of a cell in the order in which they ended."""
        query = _narrowed(select(trials.c.id), study=study, phase=phase, cell=cell)
        query = query.where(trials.c.state.in_(COMPLETED))
        return self._rows(query.order_by(trials.c.ended_at, trials.c.id))

    def states(self, study: str, *, phase: str | None = None) -> dict[tuple[str, str], tuple[TrialState, int]]:
        """Return the state and attempt of every trial by (phase, key)."""
        query = select(trials.c.phase, trials.c.key, trials.c.state, trials.c.attempt)
        rows = self._access.rows(_narrowed(query, study=study, phase=phase))
        return {(row.phase, row.key): (TrialState(row.state), row.attempt) for row in rows}

    def counts(self, study: str) -> dict[tuple[str, str, TrialState], int]:
        """Return the number of trials in each (phase, cell, state)."""
        by = (trials.c.phase, trials.c.cell, trials.c.state)
        query = select(*by, func.count().label("n")).where(trials.c.study == study).group_by(*by)
        return {(row.phase, row.cell, TrialState(row.state)): row.n for row in self._access.rows(query)}

    def causes(self, study: str) -> dict[tuple[str, str, str], int]:
        """Return the number of failed trials of each (phase, cell, cause)."""
        by = (trials.c.phase, trials.c.cell, trials.c.cause)
        query = select(*by, func.count().label("n")).where(trials.c.study == study, trials.c.cause.is_not(None))
        return {(row.phase, row.cell, row.cause): row.n for row in self._access.rows(query.group_by(*by))}

    def retries(self, study: str) -> dict[tuple[str, str, str], int]:
        """Return the number of retried attempts of each (phase, cell, cause)."""
        query = select(events.c.phase, events.c.data).where(events.c.study == study, events.c.kind == RETRIED)
        retried = [(row.phase, load(row.data)) for row in self._access.rows(query)]
        return dict(Counter((phase, data["cell"], data["cause"]) for phase, data in retried))

    def ends(self, study: str, *, measure: str = "", phase: str | None = None, limit: int = 200) -> list[TrialEnd]:
        """Return the end times of the latest trials, newest first, each with the named metric if the trial has it.

        Reused trials are excluded.
        """
        query = select(trials.c.id, trials.c.ended_at, trials.c.started_at, trials.c.phase, trials.c.cell)
        query = query.where(trials.c.state.in_(TERMINAL), trials.c.reused.is_(False))
        query = _narrowed(query, study=study, phase=phase).order_by(trials.c.ended_at.desc()).limit(limit)
        latest = query.subquery()
        matches = (measures.c.trial_id == latest.c.id) & (measures.c.name_id == _metric_id(study, measure))
        joined = select(latest, measures.c.number).select_from(latest.outerjoin(measures, matches))
        rows = self._access.rows(joined.order_by(latest.c.ended_at.desc()))
        return [TrialEnd(row.ended_at, row.started_at, row.number, row.phase, row.cell) for row in rows]

    def coverage(self, study: str, *, measure: str, part: str = "") -> dict[tuple[str, str], Coverage]:
        """Return counts and sums over the COMPLETE and PRUNED trials of each (phase, cell).

        Args:
            measure: the counted metric.
            part: a metric with the seconds of the part of a trial that `measure` counts.
        """
        by, ended = (trials.c.phase, trials.c.cell), trials.c.state.in_(COMPLETED)
        ran = trials.c.reused.is_(False)
        every = select(
            *by,
            func.sum(case((ran, 1), else_=0)).label("ended"),
            func.count(trials.c.dataset.distinct()).label("datasets"),
            func.sum(case((ran, trials.c.ended_at - trials.c.started_at))).label("seconds"),
        )
        every = every.where(trials.c.study == study, ended).group_by(*by)
        parts = measures.alias()
        matches = (parts.c.trial_id == trials.c.id) & (parts.c.name_id == _metric_id(study, part))
        amount, part_seconds = func.sum(measures.c.number), func.sum(parts.c.number)
        positive = select(*by, func.count().label("n"), amount.label("amount"), part_seconds.label("seconds"))
        positive = positive.select_from(
            measures.join(trials, measures.c.trial_id == trials.c.id).outerjoin(parts, matches)
        )
        positive = positive.where(measures.c.name_id == _metric_id(study, measure), measures.c.number > 0)
        positive = positive.where(trials.c.study == study, ended, ran).group_by(*by)
        measured = {(row.phase, row.cell): row for row in self._access.rows(positive)}
        coverage = {}
        for row in self._access.rows(every):
            sums = measured.get((row.phase, row.cell))
            coverage[row.phase, row.cell] = Coverage(
                ended=row.ended,
                measured=sums.n if sums else 0,
                datasets=row.datasets,
                seconds=row.seconds or 0.0,
                amount=sums.amount if sums else 0.0,
                part_seconds=(sums.seconds or 0.0) if sums else 0.0,
            )
        return coverage

    def columns(
        self,
        study: str,
        names: Sequence[str],
        *,
        phase: str | None = None,
        cell: str | None = None,
        state: TrialState | None = TrialState.COMPLETE,
    ) -> dict[str, list[Any]]:
        """Return columns, metrics or parameters as lists of equal length, with None for missing values."""
        query = pages.Query(study, phase=phase, cell=cell, state=state)
        return self._access.read(lambda c: read_columns(c, query, names))

    def totals(self, study: str, metrics: Sequence[str]) -> dict[tuple[str, str, str], float]:
        """Return the sums of metrics over the COMPLETE trials of each cell, by (phase, cell, name)."""
        by = (trials.c.phase, trials.c.cell, names.c.name)
        query = (
            select(*by, func.sum(measures.c.number).label("total"))
            .join(measures, measures.c.trial_id == trials.c.id)
            .join(names, names.c.id == measures.c.name_id)
            .where(names.c.study == study, names.c.kind == "metric", names.c.name.in_(metrics))
            .where(trials.c.state == TrialState.COMPLETE)
            .group_by(*by)
        )
        return {(row.phase, row.cell, row.name): row.total for row in self._access.rows(query)}

    def curves(self, study: str, phase: str, *, key: str) -> dict[str, list[tuple[float, float]]]:
        """Return a trial's curves by name, each a list of (step, value) pairs."""
        query = select(curves.c.name, curves.c.points).join(trials, trials.c.id == curves.c.trial_id)
        query = _narrowed(query, study=study, phase=phase).where(trials.c.key == key).order_by(curves.c.name)
        return {row.name: [(x, y) for x, y in load(row.points)] for row in self._access.rows(query)}

    def artifacts(self, study: str, phase: str, *, key: str) -> dict[str, str]:
        """Return a trial's files by name, as paths relative to the root."""
        query = select(artifacts.c.name, artifacts.c.path).join(trials, trials.c.id == artifacts.c.trial_id)
        query = _narrowed(query, study=study, phase=phase).where(trials.c.key == key).order_by(artifacts.c.name)
        return {row.name: row.path for row in self._access.rows(query)}

    def _rows(self, query: Select[Any]) -> list[TrialRow]:
        """Return the trials whose ids a query selects, in the query's order."""
        return self._access.read(lambda c: list(pages.rows_by_id(c, c.execute(query).scalars().all())))


def _narrowed(query: Select[Any], **at: str | None) -> Select[Any]:
    """Restrict a query to the rows with the given column values; None means no restriction on a column."""
    return query.where(*(trials.c[name] == value for name, value in at.items() if value is not None))


def _metric_id(study: str, name: str) -> ScalarSelect[Any]:
    """Return a subquery for a metric's id."""
    matches = (names.c.study == study) & (names.c.kind == "metric") & (names.c.name == name)
    return select(names.c.id).where(matches).scalar_subquery()


def _best(connection: Connection, study: str, *, phase: str | None, cell: str | None, limit: int) -> list[TrialRow]:
    at = (cells.c.phase, cells.c.cell)
    query = select(*at, cells.c.direction).where(cells.c.study == study).order_by(cells.c.position)
    ids: list[int] = []
    for row in connection.execute(query).all():
        if phase in (None, row.phase) and cell in (None, row.cell):
            top = _narrowed(select(trials.c.id), study=study, phase=row.phase, cell=row.cell)
            top = top.where(trials.c.state == TrialState.COMPLETE, trials.c.score.is_not(None))
            score = trials.c.score.desc() if row.direction == "maximize" else trials.c.score
            ids += connection.execute(top.order_by(score, trials.c.key).limit(limit)).scalars()
    return list(pages.rows_by_id(connection, ids))
