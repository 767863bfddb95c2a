"""Ladders: trials that differ in their step count alone, and whether more fitting helped."""

from collections.abc import Sequence
from dataclasses import dataclass

from nefstudy.insight.table import mean_of
from nefstudy.insight.trials import Trials, is_number

LEAST_RUNGS = 3  # of a ladder with a shape: two points only say which is higher
OWN = ("phase", "cell", "dataset", "seed", "classifier")


@dataclass(frozen=True)
class Ladder:
    """The rungs of one ladder by rising steps, as indices of trials."""

    rungs: tuple[int, ...]
    steps: tuple[float, ...]
    y: tuple[float, ...]

    def peak(self, sign: int) -> int:
        """Return which rung is best; of equal ones the first."""
        return max(range(len(self.y)), key=lambda rung: (sign * self.y[rung], -rung))


def ladders(trials: Trials, *, y: str, by: Sequence[str] = ()) -> list[Ladder]:
    """Return the ladders of two or more rungs.

    Args:
        y: the metric along the ladder.
        by: further columns that must be equal within a ladder: free parameters other than the step count.
    """
    names = tuple(dict.fromkeys((*OWN, *(name for name in by if name != "steps"))))
    groups: dict[tuple[object, ...], list[int]] = {}
    steps, values = trials["steps"], trials[y]
    columns = [trials[name] for name in names]
    for index, key in enumerate(zip(*columns, strict=True)):
        if is_number(steps[index]) and is_number(values[index]):
            groups.setdefault(key, []).append(index)
    found = []
    for group in groups.values():
        rungs = sorted(group, key=lambda index: (steps[index], index))
        if len({steps[index] for index in rungs}) > 1:
            found.append(Ladder(tuple(rungs), tuple(steps[i] for i in rungs), tuple(values[i] for i in rungs)))
    return found


def climb_words(trials: Trials, found: Sequence[Ladder], *, y_label: str, score: str, sign: int, digits: int) -> str:
    """Return what is seen along the ladders: where the best one peaks, by how much it falls, and how many do."""
    shaped = [ladder for ladder in found if len(ladder.rungs) >= LEAST_RUNGS]
    if not shaped:
        return "No setting has three or more step counts yet, so nothing is known of over-training."
    scores = trials[score]

    def picked(ladder: Ladder) -> float:
        return max((sign * scores[rung] for rung in ladder.rungs if is_number(scores[rung])), default=float("-inf"))

    best = max(shaped, key=picked)
    return (
        f"{_best_words(best, y_label=y_label, sign=sign, digits=digits)} {_all_words(shaped, sign=sign, digits=digits)}"
    )


def _best_words(ladder: Ladder, *, y_label: str, sign: int, digits: int) -> str:
    peak = ladder.peak(sign)
    at, last = ladder.y[peak], ladder.y[-1]
    along = f"Along the best setting's ladder, {y_label}"
    if peak == len(ladder.y) - 1:
        return f"{along} is best at its last rung: {at:.{digits}f} after {ladder.steps[-1]:,.0f} steps."
    if at == last:
        return f"{along} stays at {at:.{digits}f} from {ladder.steps[peak]:,.0f} steps on."
    verb = "falls" if sign > 0 else "rises"
    return (
        f"Over-training: along the best setting's ladder, {y_label} is best after {ladder.steps[peak]:,.0f} steps "
        f"({at:.{digits}f}) and {verb} by {abs(at - last):.{digits}f} to {last:.{digits}f} after "
        f"{ladder.steps[-1]:,.0f}."
    )


def _all_words(shaped: Sequence[Ladder], *, sign: int, digits: int) -> str:
    losses = [sign * (ladder.y[ladder.peak(sign)] - ladder.y[-1]) for ladder in shaped]
    worse = sum(loss > 0 for loss in losses)
    mean = mean_of(losses)
    sure = "" if mean.half is None else f" ± {mean.half:.{digits}f} (95 % interval)"
    return (
        f"{worse:,} of {len(shaped):,} ladders end worse than their best rung; the mean loss over all of them is "
        f"{mean.mean:.{digits}f}{sure}."
    )
