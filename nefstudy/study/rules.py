"""What a failure means for its trial, its cell and its study: one rule for each cause."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nefstudy.ledger import TrialRow, TrialState


@dataclass(frozen=True)
class Rule:
    """What follows from a failure.

    Attributes:
        attempts: how often a run of the study tries such a trial before it counts as failed.
        halves: whether each further attempt takes half the fields at a time; no result depends on that.
        stops_cell: whether the rest of the cell is left alone, for it would fail likewise.
        counts: toward the number of equal failures that stops the study: never, only while no trial
            completes in between, or always.
        anew: whether a later run of the study tries the trial again unasked, since what was wrong lay outside it.
        pause_s: seconds before the second attempt; each later pause is twice as long.
    """

    attempts: int = 1
    halves: bool = False
    stops_cell: bool = False
    counts: Literal["never", "in a row", "always"] = "never"
    anew: bool = False
    pause_s: float = 0.0

    def pause_after(self, attempts: int) -> float:
        """Return the seconds to wait after that many attempts."""
        return self.pause_s * 2.0 ** (attempts - 1)


RULES: Mapping[str, Rule] = {
    "diverged": Rule(),  # a finding, not a fault
    "bad_data": Rule(stops_cell=True, anew=True),
    "oom": Rule(attempts=4, halves=True, counts="in a row"),
    "disk": Rule(counts="in a row", anew=True),
    # pauses of five minutes in all: a file server that restarts, a link that comes back
    "machine": Rule(attempts=7, counts="in a row", anew=True, pause_s=5.0),
    # a worker killed for its memory by the system dies without a word, so it gets less to hold as well
    "worker_lost": Rule(attempts=3, halves=True, counts="in a row"),
    "preempted": Rule(attempts=20, counts="in a row", anew=True),
    "timeout": Rule(counts="in a row"),  # a second attempt would take as long
    "too_big": Rule(counts="in a row", anew=True),  # for the free space; computes nothing
    "withdrawn": Rule(),  # at the user's request; `retry` and `enqueue` repeat it
    "bug": Rule(counts="always"),
}

_VARIES = re.compile(r"0x[0-9a-fA-F]+|[0-9a-f]{12,}|[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")


def known_cause(cause: str | None) -> str:
    """Return a cause that has a rule: the given one, or `bug`, as user code may name any."""
    return cause if cause is not None and cause in RULES else "bug"


def rule_of(cause: str | None) -> Rule:
    """Return the rule of a cause; an unknown one is a bug."""
    return RULES[known_cause(cause)]


def message_class(cause: str, error: str) -> str:
    """An error's first line without the numbers and digests that vary from trial to trial."""
    lines = error.strip().splitlines()
    return f"{cause}: {_VARIES.sub('#', lines[0] if lines else '')}"


def is_to_do(row: TrialRow) -> bool:
    """Whether a run that finds this row failed is to try its trial anew."""
    return row.state is TrialState.FAILED and rule_of(row.cause).anew
