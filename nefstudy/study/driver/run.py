"""One run of a study's driver: chooses trials and records their outcomes. Independent of Ray.

Trials of all cells form one stream: within the earliest unfinished phase, the cell with the fewest trials in
flight goes first, and later phases fill in when that phase has nothing to suggest. Two trials never fit the same
neural dataset at once (single flight).
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
from nefstudy.study.driver.cells import Cells
from nefstudy.study.driver.failures import Failures
from nefstudy.study.driver.gpu_share import GpuShares
from nefstudy.study.driver.pruning import NONE, TrialPruner
from nefstudy.study.driver.ready_datasets import ReadyDatasets
from nefstudy.study.driver.rules import known_cause, rule_of
from nefstudy.study.driver.schedule import Capacity, DiskCheck, QueuedTrial, TrialInFlight, TrialQueue
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.study.samplers.stream import WITHDRAWN, Suggestion
from nefstudy.tasks.progress import TrialProgress
from nefstudy.tasks.result import TrialResult


class StudyRun:
    """A run of a study, which hands out trials and records their outcomes as the study's only writer.

    Args:
        plan: the pinned plan.
        lease: this driver's lease on the study.
        pruner: name of the pruner that ends searched trials early.
        max_equal_failures: trials failed with the same class of message that abort the study.
        clock: monotonic seconds, for pauses before retries.

    Attributes:
        in_flight: trials that were handed out and have not ended, by the caller's ids.
        ended: counts of trials by how they ended in this run.
        limit: the user's limit on the number of trials in flight; None for no limit.
        disk: checks free space before a trial is handed out, if set.
        abandoned: ids of trials whose workers the caller must kill.
        abort_reason: why the study is aborted; None while it is not.
        stopped_cells: why each stopped cell is skipped.
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
        self.in_flight: dict[str, TrialInFlight] = {}
        self.ended: Counter[str] = Counter()
        self.paused = False
        self.limit: int | None = None
        self.disk: DiskCheck | None = None
        self.abandoned: set[str] = set()
        self.capacity = Capacity()
        self.shares = GpuShares()
        self.abort_reason: str | None = None
        self._failures = Failures(max_equal=max_equal_failures)
        self.pruner = TrialPruner(plan, ledger, name=pruner)
        self._queue = TrialQueue(clock)
        self._ready = ReadyDatasets(ledger, lease)
        self.cells = Cells(plan, ledger, lease)
        self.stopped_cells = self.cells.stopped

    @property
    def exhausted(self) -> bool:
        """Whether no trial is left to hand out."""
        return not self._queue and self.cells.exhausted

    @property
    def is_finished(self) -> bool:
        """Whether no trial is left and the ledger records the end of every planned trial."""
        skipped = self.in_flight or self.stopped_cells or self.abort_reason is not None
        return self.exhausted and not skipped and not self.cells.missing()

    def reload_missing(self) -> bool:
        """Reopen an exhausted run if the ledger lacks some trials' outcomes; return whether it was reopened.

        Raises:
            StudyStopped: some of the same trials were missing before.
        """
        if not self.exhausted or self.in_flight or self.abort_reason is not None:
            return False
        return self.cells.reload_missing()

    def share_gpus(self, whole: float, *, fixed: bool) -> None:
        """Set the GPU share of every trial to `whole` if `fixed`; otherwise derive the shares from measured memory."""
        rows = () if fixed else self.ledger.trials.page(self.plan.study, limit=None).rows
        self.shares = GpuShares(whole, fixed=fixed, rows=rows)

    @property
    def needed_datasets(self) -> set[str]:
        """Neural datasets that the trials in flight and the queued trials need."""
        return {digest for suggestion in self._pending for digest in suggestion.datasets}

    @property
    def _pending(self) -> list[Suggestion]:
        return [pending.suggestion for pending in (*self.in_flight.values(), *self._queue)]

    def missing(self, suggestion: Suggestion) -> set[str]:
        """Return a trial's neural datasets that no earlier trial of this run used and that may therefore need a fit."""
        return self._ready.missing(suggestion)

    def forget(self, dataset: str) -> None:
        """Forget a removed neural dataset, so that the next trial that needs this dataset fits it again."""
        self._ready.forget(dataset)

    def enqueue(self, suggestion: Suggestion) -> None:
        """Queue a user's requested trial ahead of all suggestions; the trial's stream will not suggest it again.

        Resets the trial's failure count and reopens its cell. Its row is claimed now, so that the next run starts
        the trial if this one ends before. Does nothing for a trial that is in flight or queued already.
        """
        if any(s.ref == suggestion.ref for s in self._pending):
            return
        self._failures.forgive(suggestion.ref)
        self.cells.reopen(suggestion)
        self.cells.add_requested(suggestion)
        token = self._claim(suggestion)
        if token is not None:
            self._queue.append(QueuedTrial(suggestion, token))

    def next(self, trial_id: str) -> Suggestion | None:
        """Return the next trial and mark it in flight under the caller's id; None while all remaining trials must wait.

        A trial that is complete in another study is answered from the ledger and not run.
        """
        while (queued := self._suggest()) is not None:
            suggestion = queued.suggestion
            if self.disk is not None and self.disk.must_wait(suggestion):
                self._queue.requeue(queued)
                return None
            token = self._claim(suggestion) if queued.token is None else queued.token
            if token is None:
                continue
            self.in_flight[trial_id] = TrialInFlight(
                suggestion,
                token,
                gpus=self.shares.share_of(suggestion.trial),
                chunk_halvings=self._failures.chunk_halvings[suggestion.ref],
            )
            refusal = None if self.disk is None else self.disk.refusal(suggestion)
            if refusal is None:
                return suggestion
            self.failed(trial_id, cause="too_big", error=refusal)
        return None

    def _claim(self, suggestion: Suggestion) -> int | None:
        """Return the token of a new attempt; None if this study or another one already has the trial's result."""
        study, phase = self.plan.study, suggestion.phase
        token = self.ledger.trials.claim(study, phase, record=suggestion.record, lease=self.lease)
        if token is None:
            row = self.ledger.trials.get(suggestion.trial.key, study=study, phase=phase)
            self.cells.tell(suggestion, None if row is None else row.score)
            self.pruner.learn(phase, suggestion.cell, key=suggestion.trial.key, pruned=False)
            self.ended["reused"] += 1
        return token

    def started(self, trial_id: str) -> None:
        """Record that a trial has started."""
        trial = self.in_flight.get(trial_id)
        if trial is not None and not trial.started:
            trial.started = True
            s = trial.suggestion
            with suppress(StaleAttempt):  # recording the outcome raises the same error and counts it
                self.ledger.trials.start(self.plan.study, s.phase, key=s.trial.key, token=trial.token, lease=self.lease)

    def progressed(self, trial_id: str, progress: TrialProgress) -> None:
        """Store a trial's latest progress report."""
        if trial_id in self.in_flight:
            self.in_flight[trial_id].progress = progress

    def completed(self, trial_id: str, result: TrialResult) -> None:
        """Record a trial's result and mark its row as COMPLETE."""
        trial = self.in_flight.get(trial_id)
        if trial is None:
            return
        s, value = trial.suggestion, result.metrics[trial.suggestion.objective]
        try:
            outcome = {"artifacts": result.artifacts, **trial.outcome(result, self.lease)}
            self.ledger.trials.complete(self.plan.study, s.phase, metrics=result.metrics, **outcome)
        except StaleAttempt:
            del self.in_flight[trial_id]
            self.ended["stale"] += 1
            return
        del self.in_flight[trial_id]  # only now: a result that the ledger refuses fails the trial
        self._ready.record(s, result)
        self.shares.learn(s.trial, result.metrics)
        self.ended["complete"] += 1
        self._failures.end_streaks()
        self.pruner.learn(s.phase, s.cell, key=s.trial.key, pruned=False)
        self.cells.tell(s, value if isfinite(value) else None)  # the same score that a later run reads from the ledger

    def prune_if_weak(self, trial_id: str, result: TrialResult) -> bool:
        """Mark a trial as PRUNED if its curve so far is weak; return whether the trial must end."""
        trial = self.in_flight.get(trial_id)
        if trial is None:
            return True  # abandoned: its result is not needed
        s = trial.suggestion
        curve = self.pruner.curve(s.phase, s.cell, result.curves)
        if not self.pruner.prunes(s.phase, s.cell, own=curve):
            return False
        metrics = result.metrics | self.pruner.best(s.phase, s.cell, curve)
        try:
            self.ledger.trials.prune(self.plan.study, s.phase, metrics=metrics, **trial.outcome(result, self.lease))
        except StaleAttempt:
            del self.in_flight[trial_id]
            self.ended["stale"] += 1
            return True
        del self.in_flight[trial_id]
        self._ready.record(s, result)
        self.ended["pruned"] += 1
        self.pruner.learn(s.phase, s.cell, key=s.trial.key, pruned=True)
        self.cells.pruned(s, curve)
        return True

    def failed(self, trial_id: str, *, cause: str, error: str) -> None:
        """Record a failed attempt; retry the trial or mark it as FAILED, according to the rule for the cause."""
        trial = self.in_flight.pop(trial_id, None)
        if trial is None:
            return
        s, cause, error = trial.suggestion, known_cause(cause), " ".join(safe_error(error).split())
        rule, is_retried = rule_of(cause), self._failures.count_attempt(s.ref, cause)
        failure: dict[str, Any] = {"key": s.trial.key, "token": trial.token, "cause": cause, "error": error}
        record = self.ledger.trials.retry if is_retried else self.ledger.trials.fail
        try:
            record(self.plan.study, s.phase, **failure, lease=self.lease)
        except StaleAttempt:
            self.ended["stale"] += 1
            return
        if is_retried:
            self.ended["retried"] += 1
            if s.cell_key not in self.stopped_cells:  # in a stopped cell, the next run retries it
                self._queue.append(QueuedTrial(s), pause_s=self._failures.pause_s(s.ref, cause))
            return
        self.ended["failed"] += 1
        self.cells.tell(s, None)
        if rule.stops_cell:
            if self.cells.stop(s, f"{cause}: {error}"):
                self._queue.keep(lambda queued: queued.suggestion.cell_key != s.cell_key)
        else:
            reason = self._failures.count_failure(cause, error)
            self.abort_reason = self.abort_reason or reason

    def abandon(self, trial_id: str, *, cause: str, error: str) -> None:
        """Mark a trial in flight as failed and have its worker killed."""
        if trial_id in self.in_flight:
            self.abandoned.add(trial_id)
            self.failed(trial_id, cause=cause, error=error)

    def withdraw(self, suggestion: Suggestion) -> bool:
        """Fail a trial that is queued, in flight or unfinished since an earlier run; return False if it is complete.

        Its row becomes FAILED, so that no run repeats it unless the user requests it again.
        """
        running = next((i for i, t in self.in_flight.items() if t.suggestion.ref == suggestion.ref), None)
        if running is not None:
            self.abandoned.add(running)
        pending = self._queue.take(suggestion.ref) if running is None else self.in_flight.pop(running)
        token = self._claim(suggestion) if pending is None or pending.token is None else pending.token
        self.cells.add_requested(suggestion)
        if token is None:
            return False
        claim: dict[str, Any] = {"key": suggestion.trial.key, "token": token, "lease": self.lease}
        with suppress(StaleAttempt):
            self.ledger.trials.fail(self.plan.study, suggestion.phase, cause=WITHDRAWN, error=WITHDRAWN, **claim)
        self.ended["failed"] += 1
        return True

    def _suggest(self) -> QueuedTrial | None:
        if self.paused or self.abort_reason is not None or self._full:
            return None
        running = [trial.suggestion for trial in self.in_flight.values()]
        busy = {digest for suggestion in running for digest in self.missing(suggestion)}
        queued = self._queue.pop(busy)
        if queued is not None or (self._failures.in_storm and self._queue.has_paused_retry):
            return queued
        suggestion = self.cells.next(busy, load=Counter(suggestion.cell_key for suggestion in running))
        return None if suggestion is None else QueuedTrial(suggestion)

    @property
    def _full(self) -> bool:
        trials = self.capacity.trials if self.limit is None else min(self.capacity.trials, self.limit)
        gpus = sum(trial.gpus for trial in self.in_flight.values())
        return len(self.in_flight) >= trials or gpus >= self.capacity.gpus
