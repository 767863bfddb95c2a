"""Studies: plans, states and cells."""

from collections.abc import Mapping
from typing import Any, final

from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from nefstudy.ledger import events, measures
from nefstudy.ledger.lease import Lease
from nefstudy.ledger.record import CellRecord
from nefstudy.ledger.sql.access import Access
from nefstudy.ledger.sql.fetch import dump, fetch, load
from nefstudy.ledger.sql.rows import StudyRow
from nefstudy.ledger.sql.schema import cells as table
from nefstudy.ledger.sql.schema import studies
from nefstudy.names import cell_name, phase_name, study_name
from nefstudy.outside_text import safe_error


@final
class Studies:
    """The studies of a ledger and their cells, each named by (phase, cell)."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def put(self, study: str, plan: Mapping[str, Any], *, cells: Mapping[tuple[str, str], CellRecord]) -> StudyRow:
        """Create or update a study: merge top-level keys of the plan, then write and reopen the given cells.

        If a cell's metric changes, the scores of its trials are set again.

        Raises:
            BadConfig: the name of the study, a phase or a cell is invalid.
        """
        study_name(study)
        for phase, cell in cells:
            phase_name(phase), cell_name(cell)
        return self._access.write(lambda c, now: _put(c, study, plan=plan, cells=cells, now=now))

    def get(self, study: str) -> StudyRow | None:
        """Return one study, or None if it does not exist."""
        return next(iter(self._access.read(lambda c: _all(c, study=study))), None)

    def all(self) -> list[StudyRow]:
        """Return all studies, oldest first."""
        return self._access.read(_all)

    def exists(self, study: str) -> bool:
        """Return whether a study exists, without reading its plan."""
        return self._access.read(lambda c: exists(c, study))

    def set_state(self, study: str, state: str, *, lease: Lease | None = None) -> None:
        """Set the state of a study."""
        self._access.write(lambda c, now: set_state(c, study, state=state, now=now), lease=lease)

    def set_planned(self, study: str, phase: str, cell: str, *, planned: int, lease: Lease | None = None) -> None:
        """Set the number of planned trials of a cell."""
        change = update(table).where(_at(study, phase, cell)).values(planned=planned)
        self._access.write(lambda c, _: c.execute(change), lease=lease)

    def planned(self, study: str) -> dict[tuple[str, str], int]:
        """Return the number of planned trials of each (phase, cell)."""
        return {at: cell.planned for at, cell in self.cells(study).items()}

    def cells(self, study: str) -> dict[tuple[str, str], CellRecord]:
        """Return the cells of a study by (phase, cell), in order of creation."""
        query = select(table).where(table.c.study == study).order_by(table.c.position)
        return {
            (row.phase, row.cell): CellRecord(row.planned, row.task, row.metric, row.direction)
            for row in self._access.rows(query)
        }

    def stop_cell(self, study: str, phase: str, *, cell: str, reason: str | None, lease: Lease | None = None) -> None:
        """Mark a cell as stopped for a reason, or reopen it if the reason is None."""
        reason = reason and safe_error(reason)
        data = {"phase": phase, "cell": cell, "stopped": reason}

        def act(connection: Connection, now: float) -> None:
            connection.execute(update(table).where(_at(study, phase, cell)).values(stopped=reason))
            events.append(connection, study, kind="cell", phase=phase, data=data, now=now)

        self._access.write(act, lease=lease)

    def stopped_cells(self, study: str) -> dict[tuple[str, str], str]:
        """Return the stop reason of each stopped (phase, cell)."""
        query = select(table.c.phase, table.c.cell, table.c.stopped)
        query = query.where(table.c.study == study, table.c.stopped.is_not(None))
        return {(row.phase, row.cell): row.stopped for row in self._access.rows(query)}


def exists(connection: Connection, study: str) -> bool:
    """Return whether a study exists."""
    return connection.execute(select(studies.c.study).where(studies.c.study == study)).first() is not None


def set_state(connection: Connection, study: str, *, state: str, now: float) -> None:
    """Set the state of a study and append an event."""
    connection.execute(update(studies).where(studies.c.study == study).values(state=state, updated_at=now))
    events.append(connection, study, kind="study", data={"state": state}, now=now)


def _put(
    connection: Connection,
    study: str,
    *,
    plan: Mapping[str, Any],
    cells: Mapping[tuple[str, str], CellRecord],
    now: float,
) -> StudyRow:
    row = next(iter(_all(connection, study=study)), None)
    merged = dump((row.plan if row else {}) | dict(plan))
    if row is None:
        connection.execute(
            insert(studies).values(study=study, state="created", plan=merged, created_at=now, updated_at=now)
        )
    else:
        connection.execute(update(studies).where(studies.c.study == study).values(plan=merged, updated_at=now))
    state = "created" if row is None else row.state
    events.append(connection, study, kind="study", data={"state": state}, now=now)
    for (phase, cell), record in cells.items():
        _put_cell(connection, study, phase, cell=cell, record=record)
    (row,) = _all(connection, study=study)
    return row


def _put_cell(connection: Connection, study: str, phase: str, *, cell: str, record: CellRecord) -> None:
    at = _at(study, phase, cell)
    known = connection.execute(select(table.c.metric).where(at)).scalar()
    if known is None:
        position = connection.execute(select(func.count()).select_from(table).where(table.c.study == study)).scalar()
        values = {"study": study, "phase": phase, "cell": cell, "position": position, **vars(record)}
        connection.execute(insert(table).values(values))
    else:
        connection.execute(update(table).where(at).values(stopped=None, **vars(record)))
    if known != record.metric:
        measures.rescore(connection, study, phase, cell=cell, metric=record.metric)


def _all(connection: Connection, *, study: str | None = None) -> list[StudyRow]:
    query = select(studies).order_by(studies.c.created_at, studies.c.study)
    if study is not None:
        query = query.where(studies.c.study == study)
    return [StudyRow(**(row | {"plan": load(row["plan"])})) for row in fetch(connection, query)]


def _at(study: str, phase: str, cell: str) -> ColumnElement[bool]:
    return (table.c.study == study) & (table.c.phase == phase) & (table.c.cell == cell)
