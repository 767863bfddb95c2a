"""The cells of a run: their trial streams, their planned counts, and which cells are stopped."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import final

from nefstudy.errors import BadConfig, StudyStopped
from nefstudy.ledger import Lease, Ledger, TrialRow, TrialState
from nefstudy.ledger.sql.rows import TERMINAL
from nefstudy.study.driver.rules import needs_retry
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.samplers.stream import Cell, CellKey, Stream, Suggestion


@final
class Cells:
    """The trial streams of all cells.

    A stream may plan more or fewer trials than its cell: requests beyond the grid add to it, and a search ends
    early once nothing new is left to suggest. The count in the ledger is then updated.

    Attributes:
        stopped: why each stopped cell is skipped.
    """

    def __init__(self, plan: StudyPlan, ledger: Ledger, lease: Lease) -> None:
        self.stopped: dict[CellKey, str] = {}
        self._plan, self._ledger, self._lease = plan, ledger, lease
        self._streams: list[Stream] = list(open_streams(plan, ledger))
        self._planned = plan.planned()
        self._missed: set[tuple[str, str]] = set()
        for stream in self._streams:
            self._record_planned(stream)

    @property
    def exhausted(self) -> bool:
        """Whether no cell has a trial left to suggest."""
        return all(stream.cell.key in self.stopped or self._is_exhausted(stream) for stream in self._streams)

    def next(self, busy: Collection[str], *, load: Mapping[CellKey, int]) -> Suggestion | None:
        """Return a trial of the earliest unfinished phase, from the cell with the fewest trials in flight.

        Args:
            busy: neural datasets that are being fitted.
            load: trials in flight by cell.
        """
        phases = {phase: order for order, phase in enumerate(self._plan.phases)}
        candidates = [s for s in self._streams if s.cell.key not in self.stopped and not self._is_exhausted(s)]
        candidates.sort(key=lambda s: (phases[s.cell.phase], load.get(s.cell.key, 0)))
        for stream in candidates:
            suggestion = stream.next(busy)
            if suggestion is not None:
                return suggestion
            self._record_planned(stream)
        return None

    def add_requested(self, suggestion: Suggestion) -> None:
        """Add a requested trial to the plan, so that the trial's stream does not suggest it again."""
        for stream in self._streams_of(suggestion):
            stream.add_requested(suggestion.trial)
            self._record_planned(stream)

    def suggestion(self, row: TrialRow) -> Suggestion:
        """Return a suggestion that reruns the trial of a ledger row.

        Raises:
            BadConfig: the plan does not have the row's cell.
        """
        cells = [s.cell for s in self._streams if s.cell.key == (row.phase, row.cell)]
        if not cells:
            raise BadConfig(
                f"trial {row.key} belongs to {row.phase} {row.cell}, which this run's plan does not have; "
                "run the plan that has it"
            )
        return cells[0].suggest(cells[0].read(row))

    def tell(self, suggestion: Suggestion, score: float | None) -> None:
        """Pass a trial's score to its stream; the score of a failed trial is None."""
        for stream in self._streams_of(suggestion):
            stream.tell(suggestion.trial, score)

    def pruned(self, suggestion: Suggestion, curve: Mapping[int, float]) -> None:
        """Pass the curve of a pruned trial (values by epoch) to the trial's stream."""
        for stream in self._streams_of(suggestion):
            stream.pruned(suggestion.trial, stream.cell.as_scores(curve))

    def stop(self, suggestion: Suggestion, reason: str) -> bool:
        """Stop a trial's cell and skip its remaining trials; return False if the cell was already stopped."""
        key = suggestion.cell_key
        if key in self.stopped:
            return False
        self.stopped[key] = reason
        self._record_stop(key, reason)
        self._stop_dependents()
        return True

    def _stop_dependents(self) -> None:
        """Stop every cell that waits for a stopped cell, because a stopped cell never becomes complete."""
        for cell in self._plan.cells:
            key, awaited = (cell.phase, cell.cell), (cell.sampler.after or "", cell.cell)
            if awaited in self.stopped and key not in self.stopped:
                self.stopped[key] = f"waits for {awaited[0]}, which is stopped"
                self._record_stop(key, self.stopped[key])

    def reopen(self, suggestion: Suggestion) -> None:
        """Reopen a trial's cell if it was stopped."""
        key = suggestion.cell_key
        if self.stopped.pop(key, None) is not None:
            self._record_stop(key, None)

    def missing(self) -> set[tuple[str, str]]:
        """Return the (phase, key) pairs of the planned trials that the ledger does not record as ended."""
        active = [stream for stream in self._streams if stream.cell.key not in self.stopped]
        planned: set[tuple[str, str]] = {(stream.cell.phase, key) for stream in active for key in stream.keys}
        states = self._ledger.trials.states(self._plan.study)
        return planned - {ref for ref, (state, _) in states.items() if state.is_terminal}

    def reload_missing(self) -> bool:
        """Reopen the streams if the ledger does not record the end of every trial; return whether a trial is missing.

        Raises:
            StudyStopped: some of them were missing at an earlier call too.
        """
        missing = self.missing()
        if missing & self._missed:
            phase, key = min(missing & self._missed)
            raise StudyStopped(
                f"study {self._plan.study!r} stopped: the ledger lacks the outcome of {len(missing)} trials that "
                f"have ended, such as {key} of {phase}; check the ledger, then run the same command again"
            )
        if missing:
            self._missed = missing
            self._streams = list(open_streams(self._plan, self._ledger))
        return bool(missing)

    def _record_stop(self, key: CellKey, reason: str | None) -> None:
        self._ledger.studies.stop_cell(self._plan.study, key[0], cell=key[1], reason=reason, lease=self._lease)

    def _is_exhausted(self, stream: Stream) -> bool:
        """Return whether a stream is exhausted; also record the stream's planned count, which this check may change."""
        exhausted = stream.exhausted
        self._record_planned(stream)
        return exhausted

    def _record_planned(self, stream: Stream) -> None:
        """Record the planned count of a cell if it has changed."""
        key = stream.cell.key
        if stream.planned != self._planned[key]:
            self._planned[key] = stream.planned
            self._ledger.studies.set_planned(self._plan.study, *key, planned=stream.planned, lease=self._lease)

    def _streams_of(self, suggestion: Suggestion) -> list[Stream]:
        return [stream for stream in self._streams if stream.cell.key == suggestion.cell_key]


def open_streams(plan: StudyPlan, ledger: Ledger) -> Iterator[Stream]:
    """Yield the streams of all cells, phase by phase, resumed from the ledger."""
    opened: dict[CellKey, Stream] = {}
    for phase in plan.phases:
        snapshot = PhaseSnapshot(ledger, plan.study, phase)
        for cell in (cell for cell in plan.cells if cell.phase == phase):
            sampled = plan.sampled(cell)
            stream = cell.sampler.open(sampled, CellHistory(snapshot, sampled, opened))
            opened[stream.cell.key] = stream
            yield stream


def open_stream(plan: StudyPlan, cell: CellPlan, ledger: Ledger) -> Stream:
    """Return the stream of one cell, resumed from the ledger."""
    sampled = plan.sampled(cell)
    return cell.sampler.open(sampled, CellHistory(PhaseSnapshot(ledger, plan.study, cell.phase), sampled, {}))


class PhaseSnapshot:
    """The rows of a phase at the start of a run, read once for all of its cells.

    Attributes:
        unfinished_rows: interrupted rows, and failed rows to retry.
        retried: keys of the failed rows to retry.
        excluded_keys: keys of the rows that ended and are not retried.
    """

    def __init__(self, ledger: Ledger, study: str, phase: str) -> None:
        self.ledger, self.study, self.phase = ledger, study, phase
        failed = ledger.trials.page(study, phase=phase, state=TrialState.FAILED, limit=None).rows
        interrupted = ledger.trials.page(study, phase=phase, state=TrialState.INTERRUPTED, limit=None).rows
        to_retry = [row for row in failed if needs_retry(row)]
        self.unfinished_rows = [*interrupted, *to_retry]
        self.retried = {row.key for row in to_retry}
        states = ledger.trials.states(study, phase=phase).items()
        self.excluded_keys = {key for (_, key), (state, _) in states if state.is_terminal and key not in self.retried}


class CellHistory:
    """The ledger rows of one cell for its sampler; implements the `History` protocol of `samplers/stream.py`.

    Args:
        streams: streams of the run by cell; later phases are added as they are opened.
    """

    def __init__(self, snapshot: PhaseSnapshot, cell: Cell, streams: Mapping[CellKey, Stream]) -> None:
        self._snapshot, self._cell, self._streams = snapshot, cell, streams

    @property
    def excluded_keys(self) -> Collection[str]:
        """Keys of the phase's trials that have ended and are not retried, which the sampler must not suggest."""
        return self._snapshot.excluded_keys

    @property
    def unfinished_rows(self) -> Sequence[TrialRow]:
        """Rows of the cell that are unfinished or need a retry."""
        return [row for row in self._snapshot.unfinished_rows if row.cell == self._cell.label]

    @property
    def terminal_keys(self) -> Collection[str]:
        """Keys of the cell's trials that have ended."""
        columns = self._ledger.trials.columns(
            self._snapshot.study, ["key", "state"], phase=self._snapshot.phase, cell=self._cell.label, state=None
        )
        return [key for key, state in zip(columns["key"], columns["state"], strict=True) if state in TERMINAL]

    def rows(self) -> Sequence[TrialRow]:
        """Return every row of the cell; rows to retry have the state INTERRUPTED."""
        retried = self._snapshot.retried
        rows = self.rows_of(self._snapshot.phase)
        return [replace(row, state=TrialState.INTERRUPTED) if row.key in retried else row for row in rows]

    def curve(self, row: TrialRow) -> Mapping[int, float]:
        """Return the curve that pruners watch for this trial, negated if its direction differs from the objective's."""
        curves = self._ledger.trials.curves(row.study, row.phase, key=row.key)
        points = curves.get(self._cell.task.curve or "", ())
        return self._cell.as_scores({round(epoch): value for epoch, value in points})

    def is_complete(self, phase: str) -> bool:
        """Return whether every planned trial of the same-named cell in another phase has ended.

        A failed trial that this run retries has not ended until its stream has handed it out again.
        """
        study, key = self._snapshot.study, (phase, self._cell.label)
        if key in self._streams and not self._streams[key].exhausted:
            return False
        planned = self._ledger.studies.planned(study).get(key)
        counts = self._ledger.trials.counts(study)
        ended = sum(n for (p, c, state), n in counts.items() if (p, c) == key and state.is_terminal)
        return planned is not None and ended >= planned

    def rows_of(self, phase: str) -> Sequence[TrialRow]:
        """Return the rows of the same-named cell in another phase."""
        return self._ledger.trials.page(self._snapshot.study, phase=phase, cell=self._cell.label, limit=None).rows

    def sign_of(self, phase: str) -> int:
        """Return 1 if higher scores are better in the same-named cell of another phase, -1 if lower ones are."""
        record = self._ledger.studies.cells(self._snapshot.study).get((phase, self._cell.label))
        return -1 if record is not None and record.direction == "minimize" else 1

    @property
    def _ledger(self) -> Ledger:
        return self._snapshot.ledger
