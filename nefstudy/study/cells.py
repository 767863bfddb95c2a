"""The cells of a study that is run: what each may still give, and which of its trials have not ended by the ledger."""

from collections import Counter
from typing import final

from nefstudy.errors import StudyStopped
from nefstudy.ledger import Ledger
from nefstudy.study.plan import StudyPlan
from nefstudy.study.streams import DONE, Stream, Suggestion, open_streams


@final
class Cells:
    """The streams of all cells, those of earlier phases first.

    Attributes:
        stopped: why a (phase, cell) gives nothing more, although it is not exhausted.
    """

    def __init__(self, plan: StudyPlan, ledger: Ledger) -> None:
        self.stopped: dict[tuple[str, str], str] = {}
        self._plan, self._ledger = plan, ledger
        self._streams: list[Stream] = list(open_streams(plan, ledger))
        self._missed: set[tuple[str, str]] = set()

    @property
    def exhausted(self) -> bool:
        """Whether no stream will ever give a trial."""
        return all(stream.exhausted or _place(stream) in self.stopped for stream in self._streams)

    def giving(self, load: Counter[tuple[str, str]]) -> list[Stream]:
        """Return the streams that may give, of the earliest phase and the fewest trials in flight (`load`) first."""
        phases = {phase: order for order, phase in enumerate(self._plan.phases)}
        giving = [s for s in self._streams if not s.exhausted and _place(s) not in self.stopped]
        return sorted(giving, key=lambda s: (phases[s.cell.phase], load[_place(s)]))

    def of(self, suggestion: Suggestion) -> list[Stream]:
        """Return the streams of a trial's cell."""
        return [stream for stream in self._streams if _place(stream) == (suggestion.phase, suggestion.cell)]

    def tell(self, suggestion: Suggestion, value: float | None) -> None:
        """Report how a trial ended; None for a failure."""
        for stream in self.of(suggestion):
            stream.tell(suggestion.trial, value)

    def missing(self) -> set[tuple[str, str]]:
        """Return (phase, key) of the trials that were asked for and have not ended by the ledger."""
        going = [stream for stream in self._streams if _place(stream) not in self.stopped]
        asked: set[tuple[str, str]] = {(stream.cell.phase, key) for stream in going for key in stream.keys}
        return asked - {at for at, (state, _) in self._ledger.states(self._plan.study).items() if state in DONE}

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


def _place(stream: Stream) -> tuple[str, str]:
    return stream.cell.phase, stream.cell.cell
