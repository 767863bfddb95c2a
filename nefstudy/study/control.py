"""What may be asked of a running study, and how the driver obeys: pause, resume, stop, enqueue, retry, withdraw,
concurrency.

Requests are rows of the ledger's commands, put there by the command line or the status service. The driver
takes them about once a second; each is settled with how it ended, so nobody has to guess.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from nefstudy.errors import BadConfig, BadInput
from nefstudy.ledger import CommandRow, TrialState
from nefstudy.ledger.rows import OPEN
from nefstudy.outside_text import safe_error, shortened
from nefstudy.study.disk import GB
from nefstudy.study.plan import StudyPlan
from nefstudy.study.price import Prices, machine_memory
from nefstudy.study.rules import is_to_do
from nefstudy.study.run import StudyRun
from nefstudy.study.samplers.stream import Suggestion

PERIOD_S = 1.0
WHOLE = 2**31 - 1  # what a column of the ledger holds
SHOWN = 80  # characters of a refused value
REQUEST_HOURS = 1000.0  # the most of a request, where no --budget-hours says another number
WITHDRAWABLE = (*OPEN, TrialState.INTERRUPTED)
PASSING = ("pause", "resume", "stop")  # about the driver at work, not about trials


class Control:
    """Obeys the commands of one study.

    Args:
        stop: set when the study is asked to stop; trials under way still end.
        max_hours: a request whose fit takes longer, by the least estimate, is refused.
    """

    def __init__(self, run: StudyRun, *, stop: threading.Event, max_hours: float | None = None) -> None:
        self._run = run
        self._stop = stop
        self._most_hours = REQUEST_HOURS if max_hours is None else max_hours
        self._prices = Prices(run.plan)
        self._looked = 0.0

    def step(self) -> None:
        """Obey what waits, at most once a second."""
        if time.monotonic() - self._looked >= PERIOD_S:
            self.obey()
            self._looked = time.monotonic()

    def obey(self, *, starting: bool = False) -> None:
        """Obey every waiting command in the order it was given.

        Args:
            starting: the driver only begins: what asks a driver to wait or end was not meant for this one.
        """
        for command in self._run.ledger.commands.unsettled(self._run.plan.study):
            late = starting and command.verb in PASSING
            outcome = "no driver was at work" if late else self._outcome(command)
            self._run.ledger.commands.settle(command.id, outcome=safe_error(outcome), lease=self._run.lease)

    def _outcome(self, command: CommandRow) -> str:
        verbs: dict[str, Callable[[Mapping[str, Any]], str]] = {
            "pause": self._pause,
            "resume": self._resume,
            "stop": self._end,
            "enqueue": self._enqueue,
            "retry": self._retry,
            "withdraw": self._withdraw,
            "concurrency": self._limit,
        }
        if command.verb not in verbs:
            return f"refused: unknown command {_shown(command.verb)}; allowed are {', '.join(verbs)}"
        try:
            return verbs[command.verb](command.body)
        except BadInput as error:
            return f"refused: {error}"

    def _pause(self, _body: Mapping[str, Any]) -> str:
        self._run.paused = True
        self._run.ledger.studies.set_state(self._run.plan.study, "paused", lease=self._run.lease)
        return "paused; trials under way end"

    def _resume(self, _body: Mapping[str, Any]) -> str:
        self._run.paused = False
        self._run.ledger.studies.set_state(self._run.plan.study, "running", lease=self._run.lease)
        return "resumed"

    def _end(self, _body: Mapping[str, Any]) -> str:
        self._stop.set()
        return "stopping; trials under way end, running the study again continues it"

    def _limit(self, body: Mapping[str, Any]) -> str:
        trials = body.get("trials")
        if not isinstance(trials, int) or isinstance(trials, bool) or trials < 1:
            raise BadConfig(f"concurrency {trials!r}: give a whole number of trials, 1 or more")
        self._run.limit = trials
        return f"at most {trials} trials at once"

    def _enqueue(self, body: Mapping[str, Any]) -> str:
        suggestion = requested_trial(self._run.plan, body)
        self._check_price(suggestion)
        self._run.put_first(suggestion)
        return f"enqueued {suggestion.trial.key}"

    def _check_price(self, suggestion: Suggestion) -> None:
        """Raise BadConfig for a request that this machine has no room, memory or time for."""
        name = f"enqueue {suggestion.trial.key}"
        refusal = None if self._run.disk is None else self._run.disk.refusal(suggestion, asked=True)
        if refusal is not None:
            raise BadConfig(f"{name}: {refusal}")
        price = self._prices.fit(suggestion)
        if price is None or self._run.is_ready(suggestion):
            return
        if price.memory > machine_memory():
            raise BadConfig(
                f"{name}: its smallest chunk takes {price.memory / GB:,.1f} GB of memory and this machine has "
                f"{machine_memory() / GB:,.1f}; ask for a smaller field or fewer points"
            )
        if price.hours > self._most_hours:
            raise BadConfig(
                f"{name}: its fit takes {price.hours:,.1f} hours or more and {self._most_hours:g} are allowed; ask for "
                "fewer steps, views or hidden units, or run the study with a larger --budget-hours or --max-trial-hours"
            )

    def _retry(self, body: Mapping[str, Any]) -> str:
        cause = _text_or_none(body, "cause")
        study = self._run.plan.study
        rows = self._run.ledger.trials.page(study, state=TrialState.FAILED, limit=None).rows
        chosen = [row for row in rows if cause is None or row.cause == cause]
        for row in chosen:
            self._run.put_first(self._run.cells.suggestion(row))
        return f"{len(chosen)} failed trials put back"

    def _withdraw(self, body: Mapping[str, Any]) -> str:
        key, phase = _text_or_none(body, "key"), _text_or_none(body, "phase")
        study = self._run.plan.study
        rows = [self._run.ledger.trials.get(key or "", study=study, phase=name) for name in self._run.plan.phases]
        found = [row for row in rows if row is not None and phase in (None, row.phase)]
        to_do = [row for row in found if row.state in WITHDRAWABLE or is_to_do(row)]
        if not to_do:
            states = ", ".join(f"{row.state} in {row.phase}" for row in found) or "not a trial of this study"
            raise BadConfig(f"withdraw {_shown(key)}: {states}; give the key of a trial that is queued or running")
        ended = [self._run.withdraw(self._run.cells.suggestion(row)) for row in to_do]
        return f"withdrawn {key}" if any(ended) else f"{key} is complete already"


def _text_or_none(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise BadConfig(f"{name} {_shown(value)} is not a text; correct the body")
    return value


def requested_trial(plan: StudyPlan, body: Mapping[str, Any]) -> Suggestion:
    """Return the trial that `{"phase", "cell", "point"}` names, over the cell's fixed parameters.

    Raises:
        BadConfig: a phase or cell the plan does not have, or a point that is no trial of it.
    """
    unknown = sorted(set(body) - {"phase", "cell", "point"})
    point = body.get("point")
    if unknown or not isinstance(point, dict):
        raise BadConfig(f'enqueue takes {{"phase", "cell", "point": {{...}}}}, not {sorted(body)}; correct the body')
    for name, value in point.items():
        _check_scalar(name, value)
    for cell in plan.cells:
        if cell.cell == body.get("cell") and cell.phase == body.get("phase", cell.phase):
            sampled = plan.sampled(cell)
            return sampled.suggest(sampled.trial(point))
    have = ", ".join(f"{cell.phase} {cell.cell}" for cell in plan.cells)
    raise BadConfig(f"no cell {_shown(body.get('phase'))} {_shown(body.get('cell'))} in this study; it has {have}")


def _check_scalar(name: str, value: object) -> None:
    if not isinstance(value, str | int | float) or (isinstance(value, int) and abs(value) > WHOLE):
        raise BadConfig(
            f"enqueue: {_shown(name)} = {_shown(value)} is no value of a point; "
            f"give a text, a number, whole ones up to {WHOLE:,}, or true or false"
        )


def _shown(value: object) -> str:
    return shortened(repr(value), SHOWN)
