"""Failure rules: how each cause of failure affects the trial, its cell and the study."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nefstudy.ledger import TrialRow, TrialState


@dataclass(frozen=True)
class Rule:
    """The consequences of a failed attempt.

    Attributes:
        attempts: how often one run tries such a trial before it counts as failed.
        halves_chunk: whether each retry halves the number of fields per chunk; no result depends on that.
        stops_cell: whether the rest of the cell is skipped, because it would fail in the same way.
        counts: whether it counts toward the number of equal failures that aborts the study: never, only while no
            trial completes in between, or always.
        next_run_retries: whether the next run of the study retries the trial unasked, because the cause was outside
            the trial.
        pause_s: seconds before the second attempt; each later pause is twice as long.
    """

    attempts: int = 1
    halves_chunk: bool = False
    stops_cell: bool = False
    counts: Literal["never", "in a row", "always"] = "never"
    next_run_retries: bool = False
    pause_s: float = 0.0

    def pause_after(self, attempts: int) -> float:
        """Return the seconds to wait after the given number of attempts."""
        return self.pause_s * 2.0 ** (attempts - 1)


# A trial's process may report the causes in KNOWN of trial/causes.py. The driver itself sets `timeout`, `too_big` and
# `withdrawn`; `cause_of` turns these and unknown causes into `bug` when a trial raises them.
RULES: Mapping[str, Rule] = {
    "diverged": Rule(),  # a result, not an error
    "bad_data": Rule(stops_cell=True, next_run_retries=True),
    "oom": Rule(attempts=4, halves_chunk=True, counts="in a row"),
    "disk": Rule(counts="in a row", next_run_retries=True),
    # pauses of five minutes in total: enough for a file server or a network link to come back
    "machine": Rule(attempts=7, counts="in a row", next_run_retries=True, pause_s=5.0),
    # the system's OOM killer leaves no error message, so a lost worker's retry uses smaller chunks too
    "worker_lost": Rule(attempts=3, halves_chunk=True, counts="in a row"),
    "preempted": Rule(attempts=20, counts="in a row", next_run_retries=True),
    "timeout": Rule(counts="in a row"),  # a second attempt would take as long
    "too_big": Rule(counts="in a row", next_run_retries=True),  # for the free space; nothing was computed
    "withdrawn": Rule(),  # by the user; `retry` and `enqueue` run it again
    "bug": Rule(counts="always"),
}

_VARIES = re.compile(r"0x[0-9a-fA-F]+|[0-9a-f]{12,}|[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")


def known_cause(cause: str | None) -> str:
    """Return the cause if it has a rule, otherwise `bug`, because a process with user code may report any text."""
    return cause if cause is not None and cause in RULES else "bug"


def rule_of(cause: str | None) -> Rule:
    """Return the rule for a cause; unknown causes follow the rule for bugs."""
    return RULES[known_cause(cause)]


def message_class(cause: str, error: str) -> str:
    """Return the first line of an error without the numbers and digests that vary between trials."""
    lines = error.strip().splitlines()
    return f"{cause}: {_VARIES.sub('#', lines[0] if lines else '')}"


def needs_retry(row: TrialRow) -> bool:
    """Return whether a new run must retry this row's trial, because an external cause made it fail."""
    return row.state is TrialState.FAILED and rule_of(row.cause).next_run_retries
