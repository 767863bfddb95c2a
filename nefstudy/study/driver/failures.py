"""Counts of failed attempts and failed trials in one run; too many similar failures abort the study."""

from collections import Counter
from typing import final

from nefstudy.study.driver.rules import message_class, rule_of


@final
class Failures:
    """Counts of failed attempts by trial, and of failed trials by class of error message.

    Args:
        max_equal: failed trials with the same class of message that abort the study.

    Attributes:
        chunk_halvings: how often the chunk of a trial's next attempt is halved.
    """

    def __init__(self, *, max_equal: int) -> None:
        self.chunk_halvings: Counter[tuple[str, str]] = Counter()
        self._max_equal = max_equal
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._equal: Counter[str] = Counter()
        self._paused_in_a_row = 0

    @property
    def in_storm(self) -> bool:
        """Whether machine errors affect one trial after another, so that no new trial should start yet."""
        return self._paused_in_a_row >= self._max_equal

    def count_attempt(self, trial: tuple[str, str], cause: str) -> bool:
        """Count a failed attempt, and return whether the rule for its cause allows a retry."""
        rule = rule_of(cause)
        self._attempts[trial] += 1
        if self._attempts[trial] >= rule.attempts:
            return False
        self.chunk_halvings[trial] += rule.halves_chunk
        self._paused_in_a_row += rule.pause_s > 0
        return True

    def pause_s(self, trial: tuple[str, str], cause: str) -> float:
        """Return the seconds to wait before the trial's next attempt."""
        return rule_of(cause).pause_after(self._attempts[trial])

    def forgive(self, trial: tuple[str, str]) -> None:
        """Reset a trial's attempts, because the user requested it again."""
        self._attempts.pop(trial, None)

    def end_streaks(self) -> None:
        """Reset the counts of consecutive failures, because a trial completed."""
        self._paused_in_a_row = 0
        for failure in [one for one in self._equal if rule_of(one.partition(":")[0]).counts == "in a row"]:
            del self._equal[failure]

    def count_failure(self, cause: str, error: str) -> str | None:
        """Count a failed trial; return the reason to abort the study, or None if the study can continue."""
        if rule_of(cause).counts == "never":
            return None
        failure = message_class(cause, error)
        self._equal[failure] += 1
        number = self._equal[failure]
        return f"{number} trials failed the same way ({cause}: {error})" if number >= self._max_equal else None
