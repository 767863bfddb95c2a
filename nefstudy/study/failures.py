"""The failures of one run: attempts of each trial, and equal failures that stop the study."""

from collections import Counter
from typing import final

from nefstudy.study.rules import message_class, rule_of


@final
class Failures:
    """Counts of failed attempts by trial, as (phase, key), and of failed trials by kind of message.

    Args:
        most_equal: failed trials with one kind of message after which the study stops.

    Attributes:
        halvings: how often the chunk of a trial's next attempt is halved.
    """

    def __init__(self, *, most_equal: int) -> None:
        self.halvings: Counter[tuple[str, str]] = Counter()
        self._most_equal = most_equal
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._equal: Counter[str] = Counter()
        self._passing = 0

    @property
    def in_storm(self) -> bool:
        """Whether the machine's trouble hits trial after trial, so that none should be begun until it has passed."""
        return self._passing >= self._most_equal

    def is_retried(self, trial: tuple[str, str], cause: str) -> bool:
        """Count a failed attempt; return whether the rule of its cause allows another one."""
        rule = rule_of(cause)
        self._attempts[trial] += 1
        if self._attempts[trial] >= rule.attempts:
            return False
        self.halvings[trial] += rule.halves
        self._passing += rule.pause_s > 0
        return True

    def pause_s(self, trial: tuple[str, str], cause: str) -> float:
        """Return the seconds to wait before the trial's next attempt."""
        return rule_of(cause).pause_after(self._attempts[trial])

    def forgive(self, trial: tuple[str, str]) -> None:
        """Reset a trial's attempts: the user asked for it again."""
        self._attempts.pop(trial, None)

    def end_row(self) -> None:
        """Reset what counts in a row: a trial completed."""
        self._passing = 0
        for kind in [kind for kind in self._equal if rule_of(kind.partition(":")[0]).counts == "in a row"]:
            del self._equal[kind]

    def count(self, cause: str, error: str) -> str | None:
        """Count a failed trial; return why the study stops, if it does."""
        if rule_of(cause).counts == "never":
            return None
        kind = message_class(cause, error)
        self._equal[kind] += 1
        number = self._equal[kind]
        return f"{number} trials failed alike ({cause}: {error})" if number >= self._most_equal else None
