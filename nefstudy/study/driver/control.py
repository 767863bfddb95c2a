"""Commands for a running study: pause, resume, stop, enqueue, retry, withdraw, concurrency.

Commands are rows of the ledger, written by the command line or the status service. The driver processes them
about once a second and records the outcome of each.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from nefstudy.errors import BadConfig, BadInput
from nefstudy.ledger import CommandRow, TrialState
from nefstudy.ledger.sql.rows import OPEN
from nefstudy.outside_text import safe_error, shortened
from nefstudy.study.driver.rules import needs_retry
from nefstudy.study.driver.run import StudyRun
from nefstudy.study.estimate.disk import GB
from nefstudy.study.estimate.trial_price import Prices, machine_memory
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.study.samplers.stream import Suggestion

PERIOD_S = 1.0
MAX_INTEGER = 2**31 - 1  # the largest that a column of the ledger holds
MAX_SHOWN = 80  # characters of a refused value
MAX_REQUEST_HOURS = 1000.0  # of a request's fit, unless --budget-hours or --max-trial-hours sets another limit
WITHDRAWABLE = (*OPEN, TrialState.INTERRUPTED)
DRIVER_VERBS = ("pause", "resume", "stop")  # concern the running driver, not trials


class Control:
    """The execution of users' commands for one running study.

    Args:
        stop: set by the stop command; trials in flight still finish.
        max_hours: a request is refused if the lower estimate of its fit time exceeds this.
    """

    def __init__(self, run: StudyRun, *, stop: threading.Event, max_hours: float | None = None) -> None:
        self._run = run
        self._stop = stop
        self._max_hours = MAX_REQUEST_HOURS if max_hours is None else max_hours
        self._prices = Prices(run.plan)
        self._checked_at = 0.0

    def step(self) -> None:
        """Process waiting commands if a second has passed since the last check."""
        if time.monotonic() - self._checked_at >= PERIOD_S:
            self.process()
            self._checked_at = time.monotonic()

    def process(self, *, starting: bool = False) -> None:
        """Process all waiting commands in order of arrival.

        Args:
            starting: whether the driver is just starting; pause, resume and stop were then meant for an earlier one.
        """
        for command in self._run.ledger.commands.unsettled(self._run.plan.study):
            stale = starting and command.verb in DRIVER_VERBS
            outcome = "no driver was running" if stale else self._outcome(command)
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
        return "paused; trials in flight will finish"

    def _resume(self, _body: Mapping[str, Any]) -> str:
        self._run.paused = False
        self._run.ledger.studies.set_state(self._run.plan.study, "running", lease=self._run.lease)
        return "resumed"

    def _end(self, _body: Mapping[str, Any]) -> str:
        self._stop.set()
        return "stopping; trials in flight will finish, and running the study again continues it"

    def _limit(self, body: Mapping[str, Any]) -> str:
        trials = body.get("trials")
        if not isinstance(trials, int) or isinstance(trials, bool) or trials < 1:
            raise BadConfig(f"concurrency {trials!r}: pass a whole number of trials, 1 or more")
        self._run.limit = trials
        return f"at most {trials} trials at once"

    def _enqueue(self, body: Mapping[str, Any]) -> str:
        suggestion = requested_trial(self._run.plan, body)
        self._check_price(suggestion)
        self._run.enqueue(suggestion)
        return f"enqueued {suggestion.trial.key}"

    def _check_price(self, suggestion: Suggestion) -> None:
        """Raise BadConfig if a requested trial exceeds this machine's disk space or memory, or the time limit."""
        name = f"enqueue {suggestion.trial.key}"
        refusal = None if self._run.disk is None else self._run.disk.refusal(suggestion, asked=True)
        if refusal is not None:
            raise BadConfig(f"{name}: {refusal}")
        price = self._prices.fit(suggestion, of=self._run.missing(suggestion))
        if price is None:
            return
        if price.memory > machine_memory():
            raise BadConfig(
                f"{name}: its smallest chunk takes {price.memory / GB:,.1f} GB of memory and this machine has "
                f"{machine_memory() / GB:,.1f}; request a smaller field or fewer points"
            )
        if price.hours > self._max_hours:
            raise BadConfig(
                f"{name}: its fit takes {price.hours:,.1f} hours or more and {self._max_hours:g} are allowed; request "
                "fewer steps, views or hidden units, or run the study with a larger --budget-hours or --max-trial-hours"
            )

    def _retry(self, body: Mapping[str, Any]) -> str:
        cause = _text_or_none(body, "cause")
        study = self._run.plan.study
        rows = self._run.ledger.trials.page(study, state=TrialState.FAILED, limit=None).rows
        chosen = [row for row in rows if cause is None or row.cause == cause]
        for row in chosen:
            self._run.enqueue(self._run.cells.suggestion(row))
        return f"{len(chosen)} failed trials queued for retry"

    def _withdraw(self, body: Mapping[str, Any]) -> str:
        key, phase = _text_or_none(body, "key"), _text_or_none(body, "phase")
        study = self._run.plan.study
        rows = [self._run.ledger.trials.get(key or "", study=study, phase=name) for name in self._run.plan.phases]
        matching = [row for row in rows if row is not None and phase in (None, row.phase)]
        pending = [row for row in matching if row.state in WITHDRAWABLE or needs_retry(row)]
        if not pending:
            states = ", ".join(f"{row.state} in {row.phase}" for row in matching) or "not a trial of this study"
            raise BadConfig(f"withdraw {_shown(key)}: {states}; pass the key of a trial that is queued or running")
        ended = [self._run.withdraw(self._run.cells.suggestion(row)) for row in pending]
        return f"withdrawn {key}" if any(ended) else f"{key} is already complete"


def _text_or_none(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise BadConfig(f"{name} {_shown(value)} is not a string; correct the body")
    return value


def requested_trial(plan: StudyPlan, body: Mapping[str, Any]) -> Suggestion:
    """Return the trial requested by `{"phase", "cell", "point"}`, with the cell's fixed parameters added.

    Raises:
        BadConfig: a phase or cell that the plan does not have, or a point that is not a valid trial.
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
    cells = ", ".join(f"{cell.phase} {cell.cell}" for cell in plan.cells)
    raise BadConfig(f"no cell {_shown(body.get('phase'))} {_shown(body.get('cell'))} in this study; it has {cells}")


def _check_scalar(name: str, value: object) -> None:
    if not isinstance(value, str | int | float) or (isinstance(value, int) and abs(value) > MAX_INTEGER):
        raise BadConfig(
            f"enqueue: {_shown(name)} = {_shown(value)} is not a valid value of a point; "
            f"use a string, a number (integers up to {MAX_INTEGER:,}), true or false"
        )


def _shown(value: object) -> str:
    return shortened(repr(value), MAX_SHOWN)
