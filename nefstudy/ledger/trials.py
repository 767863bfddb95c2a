"""Trials: their lives, pages of them, their counts, what they measured."""

from collections.abc import Mapping, Sequence
from typing import Any, final

from sqlalchemy import Connection, ScalarSelect, Select, case, func, null, select

from nefstudy.ledger import attempts, pages
from nefstudy.ledger.access import Access
from nefstudy.ledger.attempts import RETRIED, Claim
from nefstudy.ledger.filters import Filter, find_or_none
from nefstudy.ledger.lease import Lease
from nefstudy.ledger.outcome import Curve, Number, Outcome
from nefstudy.ledger.record import TrialRecord
from nefstudy.ledger.rows import Coverage, End, Page, StoredPage, TrialRow, TrialState
from nefstudy.ledger.schema import artifacts, cells, curves, events, measures, names, trials
from nefstudy.ledger.texts import load


@final
class Trials:
    """The trials of a ledger. A trial is known by study, phase and key; `token` is the number of its attempt."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def request(self, study: str, phase: str, *, record: TrialRecord, lease: Lease | None = None) -> int:
        """Return the token of a new attempt; StaleAttempt when the trial is COMPLETE."""
        return self._access.write(
            lambda c, now: attempts.request(c, study, phase=phase, record=record, now=now), lease=lease
        )

    def reuse(self, study: str, phase: str, *, record: TrialRecord, lease: Lease | None = None) -> bool:
        """Return whether the trial is COMPLETE now, by itself or copied at no cost from any study or phase."""
        return self._access.write(
            lambda c, now: attempts.reuse(c, study, phase=phase, record=record, now=now), lease=lease
        )

    def claim(self, study: str, phase: str, *, record: TrialRecord, lease: Lease | None = None) -> int | None:
        """Return the token of a new attempt, None when the trial is COMPLETE now: `reuse`, else `request`."""
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
        """Commit a final result; return False when this token committed it before, StaleAttempt for any other."""
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
        """Commit what a pruned trial measured before it was stopped."""
        outcome = Outcome(TrialState.PRUNED, metrics, curves or {}, {}, fingerprint or {})
        return self._end(Claim(study, phase, key, token), outcome, lease=lease)

    def fail(
        self, study: str, phase: str, *, key: str, token: int, cause: str, error: str, lease: Lease | None = None
    ) -> bool:
        """Commit that an attempt failed, and why."""
        outcome = Outcome(TrialState.FAILED, cause=cause, error=error)
        return self._end(Claim(study, phase, key, token), outcome, lease=lease)

    def retry(
        self, study: str, phase: str, *, key: str, token: int, cause: str, error: str, lease: Lease | None = None
    ) -> None:
        """Close a failed attempt as INTERRUPTED, so that its trial is retried."""
        claim = Claim(study, phase, key, token)
        self._access.write(lambda c, now: attempts.retry(c, claim, cause=cause, error=error, now=now), lease=lease)

    def interrupt(self, study: str, *, lease: Lease | None = None) -> int:
        """Close every open attempt as INTERRUPTED, which makes its token stale; return how many."""
        return self._access.write(lambda c, now: attempts.interrupt(c, study, now=now), lease=lease)

    def _end(self, claim: Claim, outcome: Outcome, *, lease: Lease | None) -> bool:
        return self._access.write(lambda c, now: attempts.end(c, claim, outcome=outcome, now=now), lease=lease)

    def get(self, key: str, *, study: str | None = None, phase: str | None = None) -> TrialRow | None:
        """Return the trial of this key; of several, a COMPLETE one that was not reused before others."""
        query = _narrowed(select(trials.c.id).where(trials.c.key == key), study=study, phase=phase)
        complete = trials.c.state == TrialState.COMPLETE
        query = query.order_by(complete.desc(), trials.c.reused, trials.c.id).limit(1)
        return next(iter(self._full(query)), None)

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
    ) -> Page:
        """Return a page of trials; `sort` is a column, metric or parameter, `-name` descending, None as requested."""
        query = pages.Query(study, phase=phase, cell=cell, state=state, filters=tuple(filters), sort=sort)
        return self._access.read(lambda c: pages.rows(c, query, limit=limit, cursor=cursor))

    def stored_page(self, query: pages.Query, *, limit: int | None = 100, cursor: str | None = None) -> StoredPage:
        """Return the same page with its JSON texts left undecoded, for pass-through responses."""
        return self._access.read(lambda c: pages.stored_rows(c, query, limit=limit, cursor=cursor))

    def best(self, study: str, *, phase: str | None = None, cell: str | None = None, limit: int = 1) -> list[TrialRow]:
        """Return the COMPLETE trials of best score by cell, `limit` of each (phase, cell); ties by key."""
        return self._access.read(lambda c: _best(c, study, phase=phase, cell=cell, limit=limit))

    def finished(self, study: str, *, phase: str, cell: str) -> list[TrialRow]:
        """Return the COMPLETE and PRUNED trials of a cell in the order in which they ended."""
        query = _narrowed(select(trials.c.id), study=study, phase=phase, cell=cell)
        query = query.where(trials.c.state.in_((TrialState.COMPLETE, TrialState.PRUNED)))
        return self._full(query.order_by(trials.c.ended_at, trials.c.id))

    def states(self, study: str, *, phase: str | None = None) -> dict[tuple[str, str], tuple[TrialState, int]]:
        """Return state and attempt of every trial by (phase, key)."""
        query = select(trials.c.phase, trials.c.key, trials.c.state, trials.c.attempt)
        rows = self._access.rows(_narrowed(query, study=study, phase=phase))
        return {(row.phase, row.key): (TrialState(row.state), row.attempt) for row in rows}

    def counts(self, study: str) -> dict[tuple[str, str, TrialState], int]:
        """Return how many trials are in each (phase, cell, state)."""
        by = (trials.c.phase, trials.c.cell, trials.c.state)
        query = select(*by, func.count().label("n")).where(trials.c.study == study).group_by(*by)
        return {(row.phase, row.cell, TrialState(row.state)): row.n for row in self._access.rows(query)}

    def causes(self, study: str) -> dict[tuple[str, str, str], int]:
        """Return how many trials failed in each (phase, cell, cause)."""
        by = (trials.c.phase, trials.c.cell, trials.c.cause)
        query = select(*by, func.count().label("n")).where(trials.c.study == study, trials.c.cause.is_not(None))
        return {(row.phase, row.cell, row.cause): row.n for row in self._access.rows(query.group_by(*by))}

    def retries(self, study: str) -> dict[tuple[str, str, str], int]:
        """Return how many attempts of each (phase, cell, cause) were retried."""
        query = select(events.c.phase, events.c.data).where(events.c.study == study, events.c.kind == RETRIED)
        numbers: dict[tuple[str, str, str], int] = {}
        for row in self._access.rows(query):
            data = load(row.data)
            at = (row.phase, data["cell"], data["cause"])
            numbers[at] = numbers.get(at, 0) + 1
        return numbers

    def ends(self, study: str, *, measure: str = "", phase: str | None = None, limit: int = 200) -> list[End]:
        """Return how the latest trials that were not reused ended, newest first, each with the named metric if any."""
        ended = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED)
        query = select(trials.c.id, trials.c.ended_at, trials.c.started_at)
        query = query.where(trials.c.state.in_(ended), trials.c.reused.is_(False))
        query = _narrowed(query, study=study, phase=phase).order_by(trials.c.ended_at.desc()).limit(limit)
        latest = query.subquery()
        its = (measures.c.trial_id == latest.c.id) & (measures.c.name_id == _metric_id(study, measure))
        found = (
            select(latest, measures.c.number)
            .select_from(latest.outerjoin(measures, its))
            .order_by(latest.c.ended_at.desc())
        )
        return [End(row.ended_at, row.started_at, row.number) for row in self._access.rows(found)]

    def coverage(self, study: str, *, measure: str) -> dict[tuple[str, str], Coverage]:
        """Return of each (phase, cell) what its COMPLETE and PRUNED trials cover, by the named metric."""
        by, ended = (trials.c.phase, trials.c.cell), trials.c.state.in_((TrialState.COMPLETE, TrialState.PRUNED))
        ran = func.sum(case((trials.c.reused.is_(False), 1), else_=0))
        every = select(*by, ran.label("n"), func.count(trials.c.dataset.distinct()).label("datasets"))
        every = every.where(trials.c.study == study, ended).group_by(*by)
        positive = select(*by, func.count().label("n")).join(measures, measures.c.trial_id == trials.c.id)
        positive = positive.where(measures.c.name_id == _metric_id(study, measure), measures.c.number > 0)
        positive = positive.where(trials.c.study == study, ended, trials.c.reused.is_(False)).group_by(*by)
        number = {(row.phase, row.cell): row.n for row in self._access.rows(positive)}
        return {
            (row.phase, row.cell): Coverage(row.n, number.get((row.phase, row.cell), 0), row.datasets)
            for row in self._access.rows(every)
        }

    def columns(
        self,
        study: str,
        names: Sequence[str],
        *,
        phase: str | None = None,
        cell: str | None = None,
        state: TrialState | None = TrialState.COMPLETE,
    ) -> dict[str, list[Any]]:
        """Return equally long lists of columns, metrics or parameters, None where a trial lacks one."""
        query = pages.Query(study, phase=phase, cell=cell, state=state)
        return self._access.read(lambda c: _columns(c, names, query=query))

    def totals(self, study: str, wanted: Sequence[str]) -> dict[tuple[str, str, str], float]:
        """Return sums of metrics over the COMPLETE trials of each (phase, cell), by (phase, cell, name)."""
        by = (trials.c.phase, trials.c.cell, names.c.name)
        query = (
            select(*by, func.sum(measures.c.number).label("total"))
            .join(measures, measures.c.trial_id == trials.c.id)
            .join(names, names.c.id == measures.c.name_id)
            .where(names.c.study == study, names.c.kind == "metric", names.c.name.in_(wanted))
            .where(trials.c.state == TrialState.COMPLETE)
            .group_by(*by)
        )
        return {(row.phase, row.cell, row.name): row.total for row in self._access.rows(query)}

    def curves(self, study: str, phase: str, *, key: str) -> dict[str, list[tuple[float, float]]]:
        """Return a trial's curves by name, each a list of (step, value)."""
        query = select(curves.c.name, curves.c.points).join(trials, trials.c.id == curves.c.trial_id)
        query = _narrowed(query, study=study, phase=phase).where(trials.c.key == key).order_by(curves.c.name)
        return {row.name: [(x, y) for x, y in load(row.points)] for row in self._access.rows(query)}

    def artifacts(self, study: str, phase: str, *, key: str) -> dict[str, str]:
        """Return a trial's files by name, each a path relative to the root."""
        query = select(artifacts.c.name, artifacts.c.path).join(trials, trials.c.id == artifacts.c.trial_id)
        query = _narrowed(query, study=study, phase=phase).where(trials.c.key == key).order_by(artifacts.c.name)
        return {row.name: row.path for row in self._access.rows(query)}

    def _full(self, query: Select[Any]) -> list[TrialRow]:
        """Return the trials whose numbers a query selects, in its order."""
        return self._access.read(lambda c: list(pages.full(c, c.execute(query).scalars().all())))


def _narrowed(query: Select[Any], **at: str | None) -> Select[Any]:
    """Return the query over the trials of a study, phase and cell, where given."""
    return query.where(*(trials.c[name] == value for name, value in at.items() if value is not None))


def _metric_id(study: str, name: str) -> ScalarSelect[Any]:
    """Return the query of a metric's number."""
    its = (names.c.study == study) & (names.c.kind == "metric") & (names.c.name == name)
    return select(names.c.id).where(its).scalar_subquery()


def _best(connection: Connection, study: str, *, phase: str | None, cell: str | None, limit: int) -> list[TrialRow]:
    at = (cells.c.phase, cells.c.cell)
    query = select(*at, cells.c.direction).where(cells.c.study == study).order_by(cells.c.position)
    numbers: list[int] = []
    for row in connection.execute(query).all():
        if phase in (None, row.phase) and cell in (None, row.cell):
            top = _narrowed(select(trials.c.id), study=study, phase=row.phase, cell=row.cell)
            top = top.where(trials.c.state == TrialState.COMPLETE, trials.c.score.is_not(None))
            score = trials.c.score.desc() if row.direction == "maximize" else trials.c.score
            numbers += connection.execute(top.order_by(score, trials.c.key).limit(limit)).scalars()
    return list(pages.full(connection, numbers))


def _columns(connection: Connection, wanted: Sequence[str], *, query: pages.Query) -> dict[str, list[Any]]:
    terms = [find_or_none(connection, query.study, name=name) for name in wanted]
    every = pages.selection(connection, query, *(null() if term is None else term.column for term in terms))
    for term in terms:
        every = every if term is None else term.join(every, outer=True)
    rows = connection.execute(every.order_by(trials.c.id)).all()
    return {name: [row[place] for row in rows] for place, name in enumerate(wanted)}
