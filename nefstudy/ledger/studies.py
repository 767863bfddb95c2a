"""Studies: their plan, their planned counts, the state their driver leaves them in."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select, update

from nefstudy.ledger import events
from nefstudy.ledger.fetch import fetch
from nefstudy.ledger.rows import StudyRow
from nefstudy.ledger.schema import phases, studies
from nefstudy.ledger.texts import dump, load
from nefstudy.names import cell_name, phase_name, study_name


def put_study(
    connection: Connection, study: str, *, plan: Mapping[str, Any], planned: Mapping[tuple[str, str], int], now: float
) -> StudyRow:
    """The study after its plan was merged in, top-level key by key, and its planned counts set; no cell is stopped.

    Raises:
        BadConfig: a name of a study, phase or cell that does not obey the rule of names.
    """
    study_name(study)
    for phase, cell in planned:
        phase_name(phase), cell_name(cell)
    row = get_study(connection, study)
    merged = dump((row.plan if row else {}) | dict(plan))
    if row is None:
        connection.execute(
            insert(studies).values(study=study, state="created", plan=merged, created_at=now, updated_at=now)
        )
    else:
        connection.execute(update(studies).where(studies.c.study == study).values(plan=merged, updated_at=now))
    state = "created" if row is None else row.state
    events.append(connection, study, kind="study", data={"state": state}, now=now)
    for (phase, cell), count in planned.items():
        place = (phases.c.study == study) & (phases.c.phase == phase) & (phases.c.cell == cell)
        changed = connection.execute(update(phases).where(place).values(planned=count, stopped=None))
        if changed.rowcount == 0:
            connection.execute(insert(phases).values(study=study, phase=phase, cell=cell, planned=count))
    (found,) = all_studies(connection, study=study)
    return found


def set_planned(connection: Connection, study: str, *, phase: str, cell: str, planned: int) -> None:
    """Record how many trials of a cell are planned; its study is known already."""
    place = (phases.c.study == study) & (phases.c.phase == phase) & (phases.c.cell == cell)
    connection.execute(update(phases).where(place).values(planned=planned))


def set_state(connection: Connection, study: str, *, state: str, now: float) -> None:
    """Record what the study's driver is doing."""
    connection.execute(update(studies).where(studies.c.study == study).values(state=state, updated_at=now))
    events.append(connection, study, kind="study", data={"state": state}, now=now)


def is_known(connection: Connection, study: str) -> bool:
    """Whether the ledger knows a study."""
    return connection.execute(select(studies.c.study).where(studies.c.study == study)).first() is not None


def get_study(connection: Connection, study: str) -> StudyRow | None:
    """One study, None when the ledger does not know it."""
    return next((row for row in all_studies(connection, study=study)), None)


def all_studies(connection: Connection, *, study: str | None = None) -> list[StudyRow]:
    """The studies, oldest first."""
    query = select(studies).order_by(studies.c.created_at, studies.c.study)
    if study is not None:
        query = query.where(studies.c.study == study)
    return [StudyRow(**(row | {"plan": load(row["plan"])})) for row in fetch(connection, query)]


def planned(connection: Connection, study: str) -> dict[tuple[str, str], int]:
    """Planned trials of each (phase, cell)."""
    query = select(phases).where(phases.c.study == study).order_by(phases.c.phase, phases.c.cell)
    return {(row.phase, row.cell): row.planned for row in connection.execute(query)}
