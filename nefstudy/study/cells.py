"""The cells of a run: where their next trials come from, which are stopped, how many trials are planned."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import final

from nefstudy.errors import BadConfig, StudyStopped
from nefstudy.ledger import Lease, Ledger, TrialRow, TrialState
from nefstudy.study.plan import CellPlan, StudyPlan
from nefstudy.study.rules import is_to_do
from nefstudy.study.samplers.stream import DONE, Cell, Stream, Suggestion


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

    def suggestion(self, row: TrialRow) -> Suggestion:
        """Return a row as a trial to run again.

        Raises:
            BadConfig: the plan does not have its cell.
        """
        cells = [s.cell for s in self._streams if (s.cell.phase, s.cell.label) == (row.phase, row.cell)]
        if not cells:
            raise BadConfig(
                f"trial {row.key} is of {row.phase} {row.cell}, which this run's plan does not have; "
                "run the plan that has it"
            )
        return cells[0].suggest(cells[0].read(row))

    def tell(self, suggestion: Suggestion, score: float | None) -> None:
        """Pass on the score of a trial; None if it failed."""
        for stream in self._of(suggestion):
            stream.tell(suggestion.trial, score)

    def pruned(self, suggestion: Suggestion, curve: Mapping[int, float]) -> None:
        """Pass on that a trial ended early, with its curve by epoch."""
        for stream in self._of(suggestion):
            stream.pruned(suggestion.trial, curve)

    def stop(self, suggestion: Suggestion, reason: str) -> bool:
        """Skip the rest of a trial's cell; return whether it was not stopped before."""
        place = (suggestion.phase, suggestion.cell)
        if place in self.stopped:
            return False
        self.stopped[place] = reason
        self._mark(place, reason)
        self._stop_waiting()
        return True

    def _stop_waiting(self) -> None:
        """Stop cells that wait for a stopped one, which would never be complete."""
        for cell in self._plan.cells:
            place, awaited = (cell.phase, cell.cell), (cell.sampler.after or "", cell.cell)
            if awaited in self.stopped and place not in self.stopped:
                self.stopped[place] = f"waits for {awaited[0]}, which is stopped"
                self._mark(place, self.stopped[place])

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
    return stream.cell.phase, stream.cell.label


def open_streams(plan: StudyPlan, ledger: Ledger) -> Iterator[Stream]:
    """Yield the streams of all cells, phase by phase, continued from what the ledger holds."""
    for phase in plan.phases:
        records = Records(ledger, plan.study, phase)
        for cell in (cell for cell in plan.cells if cell.phase == phase):
            sampled = plan.sampled(cell)
            yield cell.sampler.open(sampled, CellHistory(records, sampled))


def open_stream(plan: StudyPlan, cell: CellPlan, ledger: Ledger) -> Stream:
    """Return the stream of one cell, continued from what the ledger holds."""
    sampled = plan.sampled(cell)
    return cell.sampler.open(sampled, CellHistory(Records(ledger, plan.study, cell.phase), sampled))


class Records:
    """What the ledger holds of a phase when a run begins, read once for all of its cells."""

    def __init__(self, ledger: Ledger, study: str, phase: str) -> None:
        self.ledger, self.study, self.phase = ledger, study, phase
        failed = ledger.trials.page(study, phase=phase, state=TrialState.FAILED, limit=None).rows
        cut = ledger.trials.page(study, phase=phase, state=TrialState.INTERRUPTED, limit=None).rows
        self.begun = [row for row in (*cut, *failed) if row.state is TrialState.INTERRUPTED or is_to_do(row)]
        self.repeated = {row.key for row in failed if is_to_do(row)}
        states = ledger.trials.states(study, phase=phase).items()
        self.done = {key for (_, key), (state, _) in states if state in DONE and key not in self.repeated}


class CellHistory:
    """What samplers ask of the ledger, of one cell; see `samplers/stream.py`."""

    def __init__(self, records: Records, cell: Cell) -> None:
        self._records, self._cell = records, cell

    @property
    def done(self) -> Collection[str]:
        """Keys of the phase's trials that are not to be handed out."""
        return self._records.done

    @property
    def begun(self) -> Sequence[TrialRow]:
        """Rows of the cell that are open or to be repeated."""
        return [row for row in self._records.begun if row.cell == self._cell.label]

    @property
    def ended(self) -> Collection[str]:
        """Keys of the cell's rows that ended."""
        found = self._ledger.trials.columns(
            self._records.study, ["key", "state"], phase=self._records.phase, cell=self._cell.label, state=None
        )
        return [key for key, state in zip(found["key"], found["state"], strict=True) if state in DONE]

    def rows(self) -> Sequence[TrialRow]:
        """Return every row of the cell; those to be repeated are INTERRUPTED."""
        repeated = self._records.repeated
        rows = self.rows_of(self._records.phase)
        return [replace(row, state=TrialState.INTERRUPTED) if row.key in repeated else row for row in rows]

    def curve(self, row: TrialRow) -> Mapping[int, float]:
        """Return a row's curve that pruners watch, by epoch."""
        curves = self._ledger.trials.curves(row.study, row.phase, key=row.key)
        return {round(epoch): value for epoch, value in curves.get(self._cell.task.curve or "", ())}

    def is_complete(self, phase: str) -> bool:
        """Return whether every planned trial of another phase's cell of the same label has ended."""
        study, place = self._records.study, (phase, self._cell.label)
        planned = self._ledger.studies.planned(study).get(place)
        counts = self._ledger.trials.counts(study)
        ended = sum(n for (p, c, state), n in counts.items() if (p, c) == place and state in DONE)
        return planned is not None and ended >= planned

    def rows_of(self, phase: str) -> Sequence[TrialRow]:
        """Return the rows of the cell of the same label in a phase."""
        return self._ledger.trials.page(self._records.study, phase=phase, cell=self._cell.label, limit=None).rows

    @property
    def _ledger(self) -> Ledger:
        return self._records.ledger
