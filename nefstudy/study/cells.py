"""The cells of a run: where their next trials come from, which are stopped, how many trials are planned."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import final

from nefstudy.errors import StudyStopped
from nefstudy.ledger import Lease, Ledger, TrialRow, TrialState
from nefstudy.study.judge import ledger_curve
from nefstudy.study.plan import StudyPlan
from nefstudy.study.rules import is_to_do
from nefstudy.study.search import SearchStream
from nefstudy.study.streams import DONE, GridStream, Stream, Suggestion


@final
class Cells:
    """The streams of all (phase, cell).

    A stream may plan another number of trials than its cell: requests beyond the grid add to it, a search ends
    early once nothing new is left to suggest. The ledger's count then follows.

    Attributes:
        stopped: why a (phase, cell) is skipped.
    """

    def __init__(self, plan: StudyPlan, ledger: Ledger, lease: Lease) -> None:
        self.stopped: dict[tuple[str, str], str] = {}
        self._plan, self._ledger, self._lease = plan, ledger, lease
        self._streams: list[Stream] = list(open_streams(plan, ledger))
        self._planned = plan.planned()
        self._missed: set[tuple[str, str]] = set()
        for stream in self._streams:
            self._correct(stream)

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to suggest."""
        return all(stream.exhausted or _place(stream) in self.stopped for stream in self._streams)

    def next(self, busy: Collection[str], *, load: Mapping[tuple[str, str], int]) -> Suggestion | None:
        """Return the next trial: of the earliest unfinished phase, of its cell with the fewest trials in flight."""
        phases = {phase: order for order, phase in enumerate(self._plan.phases)}
        giving = [s for s in self._streams if not s.exhausted and _place(s) not in self.stopped]
        giving.sort(key=lambda s: (phases[s.cell.phase], load.get(_place(s), 0)))
        for stream in giving:
            suggestion = stream.next(busy)
            if suggestion is not None:
                return suggestion
            self._correct(stream)
        return None

    def adopt(self, suggestion: Suggestion) -> None:
        """Keep a trial from being suggested again: it is handed out at a user's request."""
        for stream in self._of(suggestion):
            stream.adopt(suggestion.trial)
            self._correct(stream)

    def tell(self, suggestion: Suggestion, value: float | None) -> None:
        """Pass on the validation accuracy of a trial; None if it failed."""
        for stream in self._of(suggestion):
            stream.tell(suggestion.trial, value)

    def pruned(self, suggestion: Suggestion, curve: Mapping[int, float]) -> None:
        """Pass on that a trial ended early, with its validation accuracy by epoch."""
        for stream in self._of(suggestion):
            stream.pruned(suggestion.trial, curve)

    def stop(self, suggestion: Suggestion, reason: str) -> bool:
        """Skip the rest of a trial's cell; return whether it was not stopped before."""
        place = (suggestion.phase, suggestion.cell)
        if place in self.stopped:
            return False
        self.stopped[place] = reason
        self._mark(place, reason)
        return True

    def reopen(self, suggestion: Suggestion) -> None:
        """Work on a trial's cell again."""
        place = (suggestion.phase, suggestion.cell)
        if self.stopped.pop(place, None) is not None:
            self._mark(place, None)

    def missing(self) -> set[tuple[str, str]]:
        """Return (phase, key) of the trials that were asked for and have not ended by the ledger."""
        going = [stream for stream in self._streams if _place(stream) not in self.stopped]
        asked: set[tuple[str, str]] = {(stream.cell.phase, key) for stream in going for key in stream.keys}
        return asked - {at for at, (state, _) in self._ledger.trials.states(self._plan.study).items() if state in DONE}

    def read_again(self) -> bool:
        """Open the streams again from the ledger if it lacks the end of trials; return whether it does.

        Raises:
            StudyStopped: some were missing at an earlier call too.
        """
        missing = self.missing()
        if missing & self._missed:
            phase, key = min(missing & self._missed)
            raise StudyStopped(
                f"study {self._plan.study!r} stopped: the ledger does not hold the end of {len(missing)} trials that "
                f"have ended, such as {key} of {phase}; check the ledger, then run the same command again"
            )
        if missing:
            self._missed = missing
            self._streams = list(open_streams(self._plan, self._ledger))
        return bool(missing)

    def _mark(self, place: tuple[str, str], reason: str | None) -> None:
        self._ledger.studies.stop_cell(self._plan.study, place[0], cell=place[1], reason=reason, lease=self._lease)

    def _correct(self, stream: Stream) -> None:
        """Record how many trials of a cell are planned, where that has changed."""
        place = _place(stream)
        if stream.planned != self._planned[place]:
            self._planned[place] = stream.planned
            self._ledger.studies.set_planned(self._plan.study, *place, planned=stream.planned, lease=self._lease)

    def _of(self, suggestion: Suggestion) -> list[Stream]:
        return [stream for stream in self._streams if _place(stream) == (suggestion.phase, suggestion.cell)]


def _place(stream: Stream) -> tuple[str, str]:
    return stream.cell.phase, stream.cell.cell


def open_streams(plan: StudyPlan, ledger: Ledger) -> Iterator[Stream]:
    """The streams of all cells, phase by phase, continued from what the ledger holds."""
    for phase in plan.phases:
        states = ledger.trials.states(plan.study, phase=phase)
        failed = ledger.trials.page(plan.study, phase=phase, state=TrialState.FAILED, limit=None).rows
        cut = ledger.trials.page(plan.study, phase=phase, state=TrialState.INTERRUPTED, limit=None).rows
        begun = [row for row in (*cut, *failed) if row.state is TrialState.INTERRUPTED or is_to_do(row)]
        anew = {row.key for row in failed if is_to_do(row)}
        done = {key for (_, key), (state, _) in states.items() if state in DONE and key not in anew}
        for cell in (cell for cell in plan.cells if cell.phase == phase):
            if cell.trials is None:
                found = ledger.trials.columns(plan.study, ["key", "state"], phase=phase, cell=cell.cell, state=None)
                ended = [key for key, state in zip(found["key"], found["state"], strict=True) if state in DONE]
                own = [row for row in begun if row.cell == cell.cell]
                yield GridStream(plan, cell, done, begun=own, ended=ended)
            else:
                every = ledger.trials.page(plan.study, phase=phase, cell=cell.cell, limit=None).rows
                rows = [replace(row, state=TrialState.INTERRUPTED) if row.key in anew else row for row in every]
                yield SearchStream(plan, cell, rows, pruned=_curves(ledger, rows))


def _curves(ledger: Ledger, rows: Iterable[TrialRow]) -> dict[str, dict[int, float]]:
    """Validation accuracy by epoch of the pruned rows, by key."""
    pruned = (row for row in rows if row.state is TrialState.PRUNED)
    return {row.key: ledger_curve(ledger.trials.curves(row.study, row.phase, key=row.key)) for row in pruned}
