"""Everything that can be asked of a ledger; what each answer is made of is told in the module it calls."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

from nefstudy.ledger import commands, events, neural_datasets, outbox, pages, queries, setbacks, studies
from nefstudy.ledger import lease as leases
from nefstudy.ledger.filters import Filter
from nefstudy.ledger.lease import Holder
from nefstudy.ledger.rows import (
    CommandRow,
    EventRow,
    NeuralDatasetRow,
    OutboxRow,
    Page,
    StoredPage,
    StudyRow,
    TrialRow,
    TrialState,
)

T = TypeVar("T")


class Reading(ABC):
    """The questions; each is answered from one snapshot of the database."""

    @abstractmethod
    def _read(self, act: Callable[[Connection], T]) -> T:
        """What `act` returns in one read transaction."""

    @abstractmethod
    def _now(self, connection: Connection) -> float:
        """Seconds by the database's clock."""

    def studies(self) -> list[StudyRow]:
        """The studies, oldest first."""
        return self._read(studies.all_studies)

    def knows(self, study: str) -> bool:
        """Whether there is such a study; its plan stays unread."""
        return self._read(lambda c: studies.is_known(c, study))

    def study(self, study: str) -> StudyRow | None:
        """One study, None when the ledger does not know it."""
        return self._read(lambda c: studies.get_study(c, study))

    def planned(self, study: str) -> dict[tuple[str, str], int]:
        """Planned trials of each (phase, cell)."""
        return self._read(lambda c: studies.planned(c, study))

    def holder(self, study: str) -> Holder | None:
        """Who drives the study, None when nobody does."""
        return self._read(lambda c: leases.holder(c, study, now=self._now(c)))

    def trial(self, key: str, *, study: str | None = None, phase: str | None = None) -> TrialRow | None:
        """The trial of this key; of several, a COMPLETE one that really ran before others."""
        return self._read(lambda c: queries.trial(c, key, study=study, phase=phase))

    def trials(
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
        """A page of trials; `sort` is a column, metric or parameter, `-name` descending, None as requested."""
        query = pages.Query(study, phase=phase, cell=cell, state=state, filters=tuple(filters), sort=sort)
        return self._read(lambda c: pages.rows(c, query, limit=limit, cursor=cursor))

    def stored_trials(self, query: pages.Query, *, limit: int | None = 100, cursor: str | None = None) -> StoredPage:
        """The page that `trials` gives, with its JSON texts as they are stored: for who only passes them on."""
        return self._read(lambda c: pages.stored_rows(c, query, limit=limit, cursor=cursor))

    def best(self, study: str, *, phase: str | None = None, cell: str | None = None, limit: int = 1) -> list[TrialRow]:
        """The COMPLETE trials of highest validation accuracy, `limit` of each (phase, cell); ties by key."""
        return self._read(lambda c: queries.best(c, study, phase=phase, cell=cell, limit=limit))

    def counts(self, study: str) -> dict[tuple[str, str, TrialState], int]:
        """How many trials are in each (phase, cell, state)."""
        return self._read(lambda c: queries.counts(c, study))

    def causes(self, study: str) -> dict[tuple[str, str, str], int]:
        """How many trials failed in each (phase, cell, cause)."""
        return self._read(lambda c: queries.causes(c, study))

    def retries(self, study: str) -> dict[tuple[str, str, str], int]:
        """How many attempts of each (phase, cell, cause) were put back to be tried again."""
        return self._read(lambda c: setbacks.retries(c, study))

    def stopped_cells(self, study: str) -> dict[tuple[str, str], str]:
        """Why each (phase, cell) that is left alone is."""
        return self._read(lambda c: setbacks.stopped_cells(c, study))

    def states(self, study: str, *, phase: str | None = None) -> dict[tuple[str, str], tuple[TrialState, int]]:
        """State and attempt of every trial by (phase, key)."""
        return self._read(lambda c: queries.states(c, study, phase=phase))

    def finished(self, study: str, *, phase: str, cell: str) -> list[TrialRow]:
        """The COMPLETE and PRUNED trials of a cell in the order in which they ended."""
        return self._read(lambda c: queries.finished(c, study, phase=phase, cell=cell))

    def ends(self, study: str, *, phase: str | None = None, limit: int = 200) -> list[float]:
        """When the latest trials that really ran ended, newest first."""
        return self._read(lambda c: queries.ends(c, study, phase=phase, limit=limit))

    def columns(
        self,
        study: str,
        names: Sequence[str],
        *,
        phase: str | None = None,
        cell: str | None = None,
        state: TrialState | None = TrialState.COMPLETE,
    ) -> dict[str, list[Any]]:
        """Equally long lists of columns, metrics or parameters, None where a trial lacks one."""
        query = pages.Query(study, phase=phase, cell=cell, state=state)
        return self._read(lambda c: queries.columns(c, names, query=query))

    def totals(self, study: str, names: Sequence[str]) -> dict[tuple[str, str, str], float]:
        """Sums of metrics over the COMPLETE trials of each (phase, cell), by (phase, cell, name)."""
        return self._read(lambda c: queries.totals(c, study, wanted=names))

    def curves(self, study: str, phase: str, *, key: str) -> dict[str, list[tuple[float, float]]]:
        """A trial's curves by name, each a list of (step, value)."""
        return self._read(lambda c: queries.trial_curves(c, study, phase=phase, key=key))

    def artifacts(self, study: str, phase: str, *, key: str) -> dict[str, str]:
        """A trial's files by name, each a path relative to the root."""
        return self._read(lambda c: queries.trial_artifacts(c, study, phase=phase, key=key))

    def neural_datasets(self) -> list[NeuralDatasetRow]:
        """The neural datasets, oldest first."""
        return self._read(neural_datasets.find)

    def neural_dataset(self, digest: str) -> NeuralDatasetRow | None:
        """One neural dataset, None when the ledger does not know it."""
        return next(iter(self._read(lambda c: neural_datasets.find(c, digest=digest))), None)

    def take_commands(self, study: str) -> list[CommandRow]:
        """The commands not settled yet, in order; each comes again until it is settled."""
        return self._read(lambda c: commands.unsettled(c, study))

    def commands(self, study: str, *, limit: int = 100) -> list[CommandRow]:
        """The latest commands of a study, newest first."""
        return self._read(lambda c: commands.latest(c, study, limit=limit))

    def since(self, seq: int, *, study: str | None = None, limit: int = 1000) -> list[EventRow]:
        """The events after number `seq`, oldest first."""
        return self._read(lambda c: events.since(c, seq, study=study, limit=limit))

    def latest_event(self, study: str, kind: str, *, among: int = 5000) -> EventRow | None:
        """The latest event of a kind among the study's last ones, None where they hold none."""
        return self._read(lambda c: events.latest(c, study, kind=kind, among=among))

    def last_seq(self, study: str | None = None) -> int:
        """The number of the latest event: while a study's stays, so do its trials, counts, state and commands."""
        return self._read(lambda c: events.last_seq(c, study=study))

    def pending(self, limit: int = 100) -> list[OutboxRow]:
        """The oldest results not exported yet; those that failed most often come last."""
        return self._read(lambda c: outbox.pending(c, limit=limit))

    def outbox_size(self, study: str | None = None) -> int:
        """How many results, of one study or of all, are not exported yet."""
        return self._read(lambda c: outbox.size(c, study=study))

    def last_of_kind(self, study: str, kind: str) -> EventRow | None:
        """Return a study's latest event of a kind, None before the first."""
        return self._read(lambda c: events.last_of_kind(c, study, kind=kind))
