"""What people ask of a study: its trials, its best, its counts, its curves."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, null, select

from nefstudy.ledger import pages
from nefstudy.ledger.filters import find_or_none
from nefstudy.ledger.rows import TrialRow, TrialState
from nefstudy.ledger.schema import artifacts, curves, names, trials
from nefstudy.ledger.schema import measures as measures_table
from nefstudy.ledger.texts import load


def trial(connection: Connection, key: str, *, study: str | None, phase: str | None) -> TrialRow | None:
    """The trial of this key; of several, a COMPLETE one that really ran before others."""
    query = select(trials.c.id).where(trials.c.key == key)
    for column, value in ((trials.c.study, study), (trials.c.phase, phase)):
        if value is not None:
            query = query.where(column == value)
    complete = trials.c.state == TrialState.COMPLETE
    query = query.order_by(complete.desc(), trials.c.reused, trials.c.id).limit(1)
    return next(pages.full(connection, connection.execute(query).scalars().all()), None)


def best(connection: Connection, study: str, *, phase: str | None, cell: str | None, limit: int) -> list[TrialRow]:
    """The COMPLETE trials of highest validation accuracy, `limit` of each (phase, cell); ties by key."""
    score = trials.c.val_accuracy
    found: list[int] = []
    for at in _columns_of_study(connection, study):
        if phase in (None, at[0]) and cell in (None, at[1]):
            query = pages.Query(study, phase=at[0], cell=at[1], state=TrialState.COMPLETE)
            top = pages.selection(connection, query, trials.c.id).where(score.is_not(None))
            found += connection.execute(top.order_by(score.desc(), trials.c.key).limit(limit)).scalars()
    return list(pages.full(connection, found))


def _columns_of_study(connection: Connection, study: str) -> list[tuple[str, str]]:
    query = select(trials.c.phase, trials.c.cell).where(trials.c.study == study).distinct()
    return sorted((row.phase, row.cell) for row in connection.execute(query))


def counts(connection: Connection, study: str) -> dict[tuple[str, str, TrialState], int]:
    """How many trials are in each (phase, cell, state)."""
    by = (trials.c.phase, trials.c.cell, trials.c.state)
    query = select(*by, func.count().label("n")).where(trials.c.study == study).group_by(*by)
    return {(row.phase, row.cell, TrialState(row.state)): row.n for row in connection.execute(query)}


def causes(connection: Connection, study: str) -> dict[tuple[str, str, str], int]:
    """How many trials failed in each (phase, cell, cause)."""
    by = (trials.c.phase, trials.c.cell, trials.c.cause)
    failed = select(*by, func.count().label("n")).where(trials.c.study == study, trials.c.cause.is_not(None))
    query = failed.group_by(*by)
    return {(row.phase, row.cell, row.cause): row.n for row in connection.execute(query)}


def states(connection: Connection, study: str, *, phase: str | None) -> dict[tuple[str, str], tuple[TrialState, int]]:
    """State and attempt of every trial by (phase, key)."""
    query = select(trials.c.phase, trials.c.key, trials.c.state, trials.c.attempt).where(trials.c.study == study)
    if phase is not None:
        query = query.where(trials.c.phase == phase)
    return {(row.phase, row.key): (TrialState(row.state), row.attempt) for row in connection.execute(query)}


def finished(connection: Connection, study: str, *, phase: str, cell: str) -> list[TrialRow]:
    """The trials with a result, in the order in which they ended."""
    ended = pages.selection(connection, pages.Query(study, phase=phase, cell=cell), trials.c.id)
    ended = ended.where(trials.c.state.in_((TrialState.COMPLETE, TrialState.PRUNED)))
    ended = ended.order_by(trials.c.ended_at, trials.c.id)
    return list(pages.full(connection, connection.execute(ended).scalars().all()))


def ends(connection: Connection, study: str, *, phase: str | None, limit: int) -> list[float]:
    """When the latest trials that really ran ended, whatever came of them, newest first."""
    ended = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED)
    query = select(trials.c.ended_at).where(
        trials.c.study == study, trials.c.state.in_(ended), trials.c.reused.is_(False)
    )
    if phase is not None:
        query = query.where(trials.c.phase == phase)
    return list(connection.execute(query.order_by(trials.c.ended_at.desc()).limit(limit)).scalars())


def columns(connection: Connection, wanted: Sequence[str], *, query: pages.Query) -> dict[str, list[Any]]:
    """Equally long lists of columns, metrics or parameters of the query's trials; None where one is absent."""
    terms = [find_or_none(connection, query.study, name=name) for name in wanted]
    every = pages.selection(connection, query, *(null() if term is None else term.column for term in terms))
    for term in terms:
        every = every if term is None else term.join(every, outer=True)
    rows = connection.execute(every.order_by(trials.c.id)).all()
    return {name: [row[place] for row in rows] for place, name in enumerate(wanted)}


def totals(connection: Connection, study: str, *, wanted: Sequence[str]) -> dict[tuple[str, str, str], float]:
    """Sums of metrics over the COMPLETE trials of each (phase, cell)."""
    by = (trials.c.phase, trials.c.cell, names.c.name)
    query = (
        select(*by, func.sum(measures_table.c.number).label("total"))
        .join(measures_table, measures_table.c.trial_id == trials.c.id)
        .join(names, names.c.id == measures_table.c.name_id)
        .where(
            names.c.study == study,
            names.c.kind == "metric",
            names.c.name.in_(wanted),
            trials.c.state == TrialState.COMPLETE,
        )
        .group_by(*by)
    )
    return {(row.phase, row.cell, row.name): row.total for row in connection.execute(query)}


def trial_curves(connection: Connection, study: str, *, phase: str, key: str) -> dict[str, list[tuple[float, float]]]:
    """A trial's curves by name, each a list of (step, value)."""
    query = select(curves.c.name, curves.c.points).join(trials, trials.c.id == curves.c.trial_id)
    query = query.where(trials.c.study == study, trials.c.phase == phase, trials.c.key == key)
    query = query.order_by(curves.c.name)
    return {row.name: [(x, y) for x, y in load(row.points)] for row in connection.execute(query)}


def trial_artifacts(connection: Connection, study: str, *, phase: str, key: str) -> dict[str, str]:
    """A trial's files by name, each a path relative to the root."""
    query = select(artifacts.c.name, artifacts.c.path).join(trials, trials.c.id == artifacts.c.trial_id)
    query = query.where(trials.c.study == study, trials.c.phase == phase, trials.c.key == key).order_by(
        artifacts.c.name
    )
    return {row.name: row.path for row in connection.execute(query)}
