"""Trials and declarations of one study, read from its ledger."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nefstudy.errors import BadConfig
from nefstudy.insight.declared import Declarations, declarations
from nefstudy.insight.trials import Trials
from nefstudy.ledger import Ledger, StudyRow, TrialRow, TrialState

FIXED = (
    "study", "phase", "key", "cell", "task", "state", "attempt", "seed", "score", "cause", "error", "dataset", "reused",
    "requested_at", "started_at", "ended_at",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One study of a ledger.

    Raises:
        BadConfig: on the first use, if the ledger holds no study of that name.
    """

    ledger: Ledger
    study: str

    @cached_property
    def row(self) -> StudyRow:
        """The study as the ledger holds it, with its plan as its driver wrote it."""
        row = self.ledger.studies.get(self.study)
        if row is None:
            known = ", ".join(other.study for other in self.ledger.studies.all()) or "none"
            raise BadConfig(f"study = {self.study!r}: the ledger knows {known}; name one of them")
        return row

    @cached_property
    def declared(self) -> Declarations:
        """What the plan declares of its cells."""
        return declarations(self.row.plan, self.ledger.studies.cells(self.study))

    def trials(self, names: Sequence[str], *, phase: str | None = None, cell: str | None = None) -> Trials:
        """Return columns of the complete trials; whole parameters, if asked for, cost reading every trial's row."""
        if "parameters" in names:
            return trials_of(self.rows(phase=phase, cell=cell), names)
        return Trials(self.ledger.trials.columns(self.study, tuple(names), phase=phase, cell=cell))

    def rows(self, *, phase: str | None = None, cell: str | None = None) -> tuple[TrialRow, ...]:
        """Return the complete trials."""
        state = TrialState.COMPLETE
        return self.ledger.trials.page(self.study, phase=phase, cell=cell, state=state, limit=None).rows

    def metrics(self) -> list[str]:
        """Return the names of metrics that tables show: objectives, their test counterparts, qualities."""
        cells = self.declared.cells.values() or [self.declared.of(None, None)]
        found: dict[str, None] = {}
        for own in cells:
            reported = [own.reported.name] if own.reported else []
            found |= dict.fromkeys((own.objective, *reported, *own.quality))
        return list(found)


def trials_of(rows: Iterable[TrialRow], names: Sequence[str]) -> Trials:
    """Return rows as columns: fixed columns, then parameters, then metrics, None where a trial lacks one."""
    found = list(rows)
    return Trials({name: [_value(row, name) for row in found] for name in names})


def _value(row: TrialRow, name: str) -> Any:
    if name in FIXED or name == "parameters":
        return getattr(row, name)
    return row.parameters[name] if name in row.parameters else row.metrics.get(name)
