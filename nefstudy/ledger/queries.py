"""What people ask of a study: its trials, its best, its counts, its curves."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from nefstudy.ledger import pages
from nefstudy.ledger.filters import find
from nefstudy.ledger.rows import TrialRow, TrialState
from nefstudy.ledger.schema import artefacts, curves, documents, names, trials
from nefstudy.ledger.schema import measures as measures_table
from nefstudy.ledger.texts import load


def trial(connection: Connection, key: str, *, study: str | None, phase: str | None) -> TrialRow | None:
    """The trial of this key; of several, a COMPLETE one that really ran before others."""
    texts = (documents.c.config, documents.c.metrics, documents.c.fingerprint, documents.c.error)
    query = select(trials, *texts).join(documents, documents.c.trial_id == trials.c.id).where(trials.c.key == key)
    for column, value in ((trials.c.study, study), (trials.c.phase, phase)):
        if value is not None:
            query = query.where(column == value)
    complete = trials.c.state == TrialState.COMPLETE
    row = (
        connection.execute(query.order_by(complete.desc(), trials.c.reused, trials.c.id).limit(1))
        .mappings()
        .one_or_none()
    )
    return None if row is None else pages.trial_row(row)


def best(connection: Connection, study: str, *, phase: str | None, cell: str | None, limit: int) -> list[TrialRow]:
    """The COMPLETE trials of highest validation accuracy, `limit` of each (phase, cell)."""
    score = trials.c.val_accuracy
    found: list[TrialRow] = []
    for at in _columns_of_study(connection, study):
        if phase not in (None, at[0]) or cell not in (None, at[1]):
            continue
        query = pages.Query(study, phase=at[0], cell=at[1], state=TrialState.COMPLETE)
        top = (
            pages.full(connection, query, sorted_by=score).where(score.is_not(None)).order_by(score.desc(), trials.c.id)
        )
        found += map(pages.trial_row, connection.execute(top.limit(limit)).mappings())
    return found


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
    query = (
        select(*by, func.count().label("n"))
        .where(trials.c.study == study, trials.c.state == TrialState.FAILED)
        .group_by(*by)
    )
    return {(row.phase, row.cell, row.cause or "bug"): row.n for row in connection.execute(query)}


def states(connection: Connection, study: str, *, phase: str | None) -> dict[tuple[str, str], tuple[TrialState, int]]:
    """State and attempt of every trial by (phase, key)."""
    query = select(trials.c.phase, trials.c.key, trials.c.state, trials.c.attempt).where(trials.c.study == study)
    if phase is not None:
        query = query.where(trials.c.phase == phase)
    return {(row.phase, row.key): (TrialState(row.state), row.attempt) for row in connection.execute(query)}


def finished(connection: Connection, study: str, *, phase: str, cell: str) -> list[TrialRow]:
    """The trials with a result, in the order in which they ended."""
    ended = pages.full(connection, pages.Query(study, phase=phase, cell=cell), sorted_by=trials.c.ended_at)
    ended = ended.where(trials.c.state.in_((TrialState.COMPLETE, TrialState.PRUNED))).order_by(
        trials.c.ended_at, trials.c.id
    )
    return [pages.trial_row(row) for row in connection.execute(ended).mappings()]


def ends(connection: Connection, study: str, *, phase: str | None, limit: int) -> list[float]:
    """When the latest trials that really ran ended, newest first."""
    query = select(trials.c.ended_at).where(
        trials.c.study == study, trials.c.state == TrialState.COMPLETE, trials.c.reused.is_(False)
    )
    if phase is not None:
        query = query.where(trials.c.phase == phase)
    return list(connection.execute(query.order_by(trials.c.ended_at.desc()).limit(limit)).scalars())


def columns(connection: Connection, wanted: Sequence[str], *, query: pages.Query) -> dict[str, list[Any]]:
    """Equally long lists of columns, metrics or parameters of the query's trials; None where one is absent."""
    numbers = (
        connection.execute(pages.selection(connection, query, columns=[trials.c.id]).order_by(trials.c.id))
        .scalars()
        .all()
    )
    found: dict[str, list[Any]] = {}
    for name in wanted:
        term = find(connection, query.study, name=name)
        values = term.join(pages.selection(connection, query, columns=[trials.c.id, term.column]))
        by_number = {row.id: row[1] for row in connection.execute(values)}
        found[name] = [by_number.get(number) for number in numbers]
    return found


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


def trial_artefacts(connection: Connection, study: str, *, phase: str, key: str) -> dict[str, str]:
    """A trial's files by name, each a path relative to the root."""
    query = select(artefacts.c.name, artefacts.c.path).join(trials, trials.c.id == artefacts.c.trial_id)
    query = query.where(trials.c.study == study, trials.c.phase == phase, trials.c.key == key).order_by(
        artefacts.c.name
    )
    return {row.name: row.path for row in connection.execute(query)}
