"""Trials and declarations of one study, read from its ledger."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nefstudy.errors import BadConfig
from nefstudy.insight.declared import Declarations, declarations
from nefstudy.insight.trials import TrialColumns
from nefstudy.ledger import Ledger, StudyRow, TrialRow, TrialState

FIXED = (
    "study", "phase", "key", "cell", "task", "state", "attempt", "seed", "score", "cause", "error", "dataset", "reused",
    "requested_at", "started_at", "ended_at",
)  # fmt: skip


@dataclass(frozen=True)
class StudyData:
    """The trials and declarations of one study, read from the ledger when needed.

    Raises:
        BadConfig: on first use, if the study does not exist.
    """

    ledger: Ledger
    study: str

    @cached_property
    def row(self) -> StudyRow:
        """The study's row in the ledger, with the plan written by its driver."""
        row = self.ledger.studies.get(self.study)
        if row is None:
            known = ", ".join(other.study for other in self.ledger.studies.all()) or "none"
            raise BadConfig(f"study {self.study!r} is not in the ledger; allowed: {known}; pass one of these")
        return row

    @cached_property
    def declared(self) -> Declarations:
        """The declarations of the plan's cells."""
        return declarations(self.row.plan, self.ledger.studies.cells(self.study))

    def trials(self, names: Sequence[str], *, phase: str | None = None, cell: str | None = None) -> TrialColumns:
        """Return columns of the complete trials.

        The column `parameters` requires reading every trial's whole row.
        """
        if "parameters" in names:
            return trials_of(self.rows(phase=phase, cell=cell), names)
        return TrialColumns(self.ledger.trials.columns(self.study, tuple(names), phase=phase, cell=cell))

    def rows(self, *, phase: str | None = None, cell: str | None = None) -> tuple[TrialRow, ...]:
        """Return the complete trials."""
        state = TrialState.COMPLETE
        return self.ledger.trials.page(self.study, phase=phase, cell=cell, state=state, limit=None).rows

    def metrics(self) -> list[str]:
        """Return the names of the metrics in tables: objectives, their test and `_all` variants, and quality."""
        cells = self.declared.cells.values() or [self.declared.of(None, None)]
        names: dict[str, None] = {}
        for own in cells:
            others = [metric.name for metric in (own.reported, own.over_all) if metric]
            names |= dict.fromkeys((own.objective, *others, *own.quality))
        return list(names)


def trials_of(rows: Iterable[TrialRow], names: Sequence[str]) -> TrialColumns:
    """Convert trial rows to a column-oriented table with one column per name.

    Each name is looked up among the fixed columns, then the parameters, then the metrics. Missing
    values are None.
    """
    trials = list(rows)
    return TrialColumns({name: [_value(row, name) for row in trials] for name in names})


def _value(row: TrialRow, name: str) -> Any:
    if name in FIXED or name == "parameters":
        return getattr(row, name)
    return row.parameters[name] if name in row.parameters else row.metrics.get(name)
