"""One run of a study's driver: what to try next, and what the ledger is told. Knows no Ray.

Trials of all cells form one stream: of the streams of the earliest unfinished phase, the one with the
fewest trials under way goes first, and later phases fill in when it has nothing to give. Two trials never
fit the same neural dataset at once (single flight).
"""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from math import isfinite
from typing import Any

from nefstudy.errors import StaleAttempt
from nefstudy.ledger import Lease, Ledger
from nefstudy.outside_text import safe_error
from nefstudy.study.cells import Cells
from nefstudy.study.failures import Failures
from nefstudy.study.judge import NONE, Judge
from nefstudy.study.plan import StudyPlan
from nefstudy.study.ready import Ready
from nefstudy.study.rules import known_cause, rule_of
from nefstudy.study.samplers.stream import WITHDRAWN, Suggestion
from nefstudy.study.shares import Shares
from nefstudy.study.turns import Disk, Queue, Room, UnderWay, Wish
from nefstudy.tasks.progress import Working
from nefstudy.tasks.result import TrialResult


class StudyRun:
    """Hands out trials and records how they end; the study's only writer of trials.

    Args:
        plan: the pinned plan.
        lease: proof that this driver holds the study.
        pruner: by which searched trials end early.
        max_equal_failures: trials failed with one kind of message after which the study stops.
        clock: monotonic seconds, for pauses before retries.

    Attributes:
        halted: why nothing more is handed out although something is left; None while all is well.
        stopped: why a (phase, cell) is skipped.
        disk: asked before a trial is handed out, if there is one.
        abandoned: trials in flight whose workers are to be killed, by the caller's ids.
    """

    def __init__(
        self,
        plan: StudyPlan,
        *,
        ledger: Ledger,
        lease: Lease,
        pruner: str = NONE,
        max_equal_failures: int = 5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan = plan
        self.ledger = ledger
        self.lease = lease
        self.under_way: dict[str, UnderWay] = {}
        self.ended: Counter[str] = Counter()
        self.paused = False
        self.limit: int | None = None
        self.disk: Disk | None = None
        self.abandoned: set[str] = set()
        self.room = Room()
        self.shares = Shares()
        self.halted: str | None = None
        self._failures = Failures(most_equal=max_equal_failures)
        self.judge = Judge(plan, ledger, name=pruner)
        self._wished = Queue(clock)
        self._ready = Ready(ledger, lease)
        self.cells = Cells(plan, ledger, lease)
        self.stopped = self.cells.stopped

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to hand out."""
        return not self._wished and self.cells.exhausted

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left and the ledger holds the end of every trial that was asked for."""
        ended = self.exhausted and not self.under_way and not self.stopped and self.halted is None
        return ended and not self.cells.missing()

    def resumes(self) -> bool:
        """Return whether an exhausted run goes on, because the ledger lacks the end of some trials; it is read again.

        Raises:
            StudyStopped: the same trials were missing before.
        """
        if not self.exhausted or self.under_way or self.halted is not None:
            return False
        return self.cells.read_again()

    def share_gpus(self, whole: float, *, fixed: bool) -> None:
        """Ask for so much of a GPU from now on: always, or until a trial's class has shown how little it needs."""
        rows = () if fixed else self.ledger.trials.page(self.plan.study, limit=None).rows
        self.shares = Shares(whole, fixed=fixed, rows=rows)

    @property
    def wanted(self) -> set[str]:
        """Neural datasets of trials that are in flight or queued."""
        return {digest for suggestion in self._open for digest in suggestion.datasets}

    @property
    def _open(self) -> list[Suggestion]:
        return [trial.suggestion for trial in self.under_way.values()] + [wish.suggestion for wish in self._wished]

    def is_ready(self, suggestion: Suggestion) -> bool:
        """Return whether trials of this run have found all that a trial needs: nothing must be fitted."""
        return not self._ready.missing(suggestion)

    def forget(self, dataset: str) -> None:
        """Note that a neural dataset is no longer there: the next trial that needs it fits it."""
        self._ready.forget(dataset)

    def put_first(self, suggestion: Suggestion) -> None:
        """Hand this trial out before anything a stream would suggest; its stream will not suggest it again.

        Somebody wishes it, so earlier failures do not count against it, and its cell is worked on again. Its row is
        open from here on: a run that ends before the trial's turn leaves it to the next. What is open is not doubled.
        """
        if any(s.place == suggestion.place for s in self._open):
            return
        self._failures.forgive(suggestion.place)
        self.cells.reopen(suggestion)
        self.cells.adopt(suggestion)
        token = self._claim(suggestion)
        if token is not None:
            self._wished.append(Wish(suggestion, token))

    def next(self, trial_id: str) -> Suggestion | None:
        """The next trial to run, under the caller's id for it; None while all that is left must wait.

        A trial whose whole digest is complete elsewhere is answered from the ledger and never run.
        """
        while (wish := self._suggest()) is not None:
            suggestion = wish.suggestion
            if self.disk is not None and self.disk.must_wait(suggestion):
                self._wished.put_back(wish)
                return None
            token = self._claim(suggestion) if wish.token is None else wish.token
            if token is None:
                continue
            self.under_way[trial_id] = UnderWay(
                suggestion,
                token,
                gpus=self.shares.of(suggestion.trial),
                halvings=self._failures.halvings[suggestion.place],
            )
            refusal = None if self.disk is None else self.disk.refusal(suggestion)
            if refusal is None:
                return suggestion
            self.failed(trial_id, cause="too_big", error=refusal)
        return None

    def _claim(self, suggestion: Suggestion) -> int | None:
        """The token of a new attempt; None where the trial is complete, by itself or elsewhere, and was answered."""
        study, phase = self.plan.study, suggestion.phase
        token = self.ledger.trials.claim(study, phase, record=suggestion.record, lease=self.lease)
        if token is None:
            row = self.ledger.trials.get(suggestion.trial.key, study=study, phase=phase)
            self.cells.tell(suggestion, None if row is None else row.score)
            self.judge.learn(phase, suggestion.cell, key=suggestion.trial.key, pruned=False)
            self.ended["reused"] += 1
        return token

    def started(self, trial_id: str) -> None:
        """The trial began to run."""
        trial = self.under_way.get(trial_id)
        if trial is not None and not trial.started:
            trial.started = True
            s = trial.suggestion
            with suppress(StaleAttempt):  # its end will find the same, and is counted
                self.ledger.trials.start(self.plan.study, s.phase, key=s.trial.key, token=trial.token, lease=self.lease)

    def progressed(self, trial_id: str, progress: Working) -> None:
        """The trial said how far it is."""
        if trial_id in self.under_way:
            self.under_way[trial_id].progress = progress

    def completed(self, trial_id: str, result: TrialResult) -> None:
        """The trial ended with a result: one row, complete for good."""
        trial = self.under_way.get(trial_id)
        if trial is None:
            return
        s, value = trial.suggestion, result.metrics[trial.suggestion.objective]
        try:
            found = {"artifacts": result.artifacts, **trial.outcome(result, self.lease)}
            self.ledger.trials.complete(self.plan.study, s.phase, metrics=result.metrics, **found)
        except StaleAttempt:
            del self.under_way[trial_id]
            self.ended["stale"] += 1
            return
        del self.under_way[trial_id]  # not before: a result that the ledger refuses fails the trial
        self._ready.record(s, result)
        self.shares.learn(s.trial, result.metrics)
        self.ended["complete"] += 1
        self._failures.end_row()
        self.judge.learn(s.phase, s.cell, key=s.trial.key, pruned=False)
        self.cells.tell(s, value if isfinite(value) else None)  # as the ledger answers a later run

    def prunes(self, trial_id: str, result: TrialResult) -> bool:
        """Whether the trial ends here, by what it has found so far; then its row is closed as PRUNED."""
        trial = self.under_way.get(trial_id)
        if trial is None:
            return True  # given up: nobody waits for it
        s = trial.suggestion
        curve = self.judge.curve(s.phase, s.cell, result.curves)
        if not self.judge.prunes(s.phase, s.cell, own=curve):
            return False
        metrics = result.metrics | self.judge.best(s.phase, s.cell, curve)
        try:
            self.ledger.trials.prune(self.plan.study, s.phase, metrics=metrics, **trial.outcome(result, self.lease))
        except StaleAttempt:
            del self.under_way[trial_id]
            self.ended["stale"] += 1
            return True
        del self.under_way[trial_id]
        self._ready.record(s, result)
        self.ended["pruned"] += 1
        self.judge.learn(s.phase, s.cell, key=s.trial.key, pruned=True)
        self.cells.pruned(s, curve)
        return True

    def failed(self, trial_id: str, *, cause: str, error: str) -> None:
        """The trial could not be completed: by the rule of the cause it is tried again, or a row says why not."""
        trial = self.under_way.pop(trial_id, None)
        if trial is None:
            return
        s, cause, error = trial.suggestion, known_cause(cause), " ".join(safe_error(error).split())
        rule, again = rule_of(cause), self._failures.is_retried(s.place, cause)
        said: dict[str, Any] = {"key": s.trial.key, "token": trial.token, "cause": cause, "error": error}
        try:
            if again:
                self.ledger.trials.retry(self.plan.study, s.phase, **said, lease=self.lease)
            else:
                self.ledger.trials.fail(self.plan.study, s.phase, **said, lease=self.lease)
        except StaleAttempt:
            self.ended["stale"] += 1
            return
        if again:
            self.ended["retried"] += 1
            if (s.phase, s.cell) not in self.stopped:  # of a cell that is left alone, the next run tries it again
                self._wished.append(Wish(s), pause_s=self._failures.pause_s(s.place, cause))
            return
        self.ended["failed"] += 1
        self.cells.tell(s, None)
        if rule.stops_cell:
            if self.cells.stop(s, f"{cause}: {error}"):
                self._wished.keep(lambda wish: (wish.suggestion.phase, wish.suggestion.cell) != (s.phase, s.cell))
        else:
            reason = self._failures.count(cause, error)
            self.halted = self.halted or reason

    def abandon(self, trial_id: str, *, cause: str, error: str) -> None:
        """End a trial in flight as failed, and have its worker killed."""
        if trial_id in self.under_way:
            self.abandoned.add(trial_id)
            self.failed(trial_id, cause=cause, error=error)

    def withdraw(self, suggestion: Suggestion) -> bool:
        """End a trial that is queued, in flight or left open by an earlier run; return False if it is complete.

        Its row is FAILED, so that no run repeats it unless a user asks for it again.
        """
        running = next((i for i, t in self.under_way.items() if t.suggestion.place == suggestion.place), None)
        if running is not None:
            self.abandoned.add(running)
        held = self._wished.take(suggestion.place) if running is None else self.under_way.pop(running)
        token = self._claim(suggestion) if held is None or held.token is None else held.token
        self.cells.adopt(suggestion)
        if token is None:
            return False
        claim: dict[str, Any] = {"key": suggestion.trial.key, "token": token, "lease": self.lease}
        with suppress(StaleAttempt):
            self.ledger.trials.fail(self.plan.study, suggestion.phase, cause=WITHDRAWN, error=WITHDRAWN, **claim)
        self.ended["failed"] += 1
        return True

    def _suggest(self) -> Wish | None:
        if self.paused or self.halted is not None or self._full:
            return None
        going = [trial.suggestion for trial in self.under_way.values()]
        busy = {digest for suggestion in going for digest in self._ready.missing(suggestion)}
        wish = self._wished.pop(busy)
        if wish is not None or (self._failures.in_storm and self._wished.pauses):
            return wish
        load = Counter((t.suggestion.phase, t.suggestion.cell) for t in self.under_way.values())
        suggestion = self.cells.next(busy, load=load)
        return None if suggestion is None else Wish(suggestion)

    @property
    def _full(self) -> bool:
        trials = min(self.room.trials, self.room.trials if self.limit is None else self.limit)
        gpus = sum(trial.gpus for trial in self.under_way.values())
        return len(self.under_way) >= trials or gpus >= self.room.gpus
