"""Ladders: trials that differ only in their step count, to show whether more fitting steps help."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nefstudy.insight.table import capital, counted, mean_of
from nefstudy.insight.trials import TrialColumns, is_number

Z = 1.96  # 97.5 % quantile of the normal distribution
MIN_RUNGS = 3  # to describe the shape of a ladder: two rungs only show which is better
Interval = tuple[float, float]
SAME = ("phase", "cell", "dataset", "seed", "classifier")  # columns that are equal within a ladder


@dataclass(frozen=True)
class Ladder:
    """The rungs of one ladder, as indices of trials in order of their step counts.

    Attributes:
        picked: index, within the ladder, of the rung with the best objective; the first of equally good rungs.
        intervals: the 95 % interval of each y, or None if its number of signals is unknown.
        has_objective: whether a rung has the objective, without which none is picked.
    """

    rungs: tuple[int, ...]
    steps: tuple[float, ...]
    y: tuple[float, ...]
    picked: int
    intervals: tuple[Interval | None, ...]
    has_objective: bool

    @property
    def is_described(self) -> bool:
        """Whether the ladder has enough rungs to describe its shape, and a picked one."""
        return self.has_objective and len(self.rungs) >= MIN_RUNGS

    def loss(self, sign: int) -> float:
        """Return how much worse y is at the last rung than at the picked one; `sign` is -1 if y is minimized."""
        return sign * (self.y[self.picked] - self.y[-1])

    @property
    def half(self) -> float | None:
        """Distance from the difference between the picked and the last rung to the end of its 95 % interval, if known.

        The end is the one toward 0, by the square-and-add method (Newcombe 1998, method 10). It treats the rungs as
        independent; they share signals, so the actual interval is narrower.
        """
        picked, last = self.intervals[self.picked], self.intervals[-1]
        if picked is None or last is None:
            return None
        higher, lower = (picked, last) if self.y[self.picked] >= self.y[-1] else (last, picked)
        at_higher, at_lower = max(self.y[self.picked], self.y[-1]), min(self.y[self.picked], self.y[-1])
        return math.hypot(at_higher - higher[0], lower[1] - at_lower)


def ladders(trials: TrialColumns, *, y: str, scores: Sequence[float], by: Sequence[str] = ()) -> list[Ladder]:
    """Return the ladders with two or more rungs.

    Args:
        y: metric along the ladder.
        scores: score of each trial by the objective, larger is better.
        by: further columns that are equal within a ladder, such as free parameters; the step count is ignored.
    """
    names = tuple(dict.fromkeys((*SAME, *(name for name in by if name != "steps"))))
    groups: dict[tuple[object, ...], list[int]] = {}
    steps, values, counts = trials["steps"], trials[y], trials[count_column(y)]
    columns = [trials[name] for name in names]
    for index, key in enumerate(zip(*columns, strict=True)):
        if is_number(steps[index]) and is_number(values[index]):
            groups.setdefault(key, []).append(index)
    result = []
    for group in groups.values():
        rungs = sorted(group, key=lambda index: (steps[index], index))
        if len({steps[index] for index in rungs}) > 1:
            picked = max(range(len(rungs)), key=lambda rung: (scores[rungs[rung]], -rung))
            y_values = tuple(values[i] for i in rungs)
            intervals = tuple(accuracy_interval(values[i], counts[i]) for i in rungs)
            has_objective = math.isfinite(scores[rungs[picked]])
            at = tuple(steps[i] for i in rungs)
            result.append(Ladder(tuple(rungs), at, y_values, picked, intervals, has_objective))
    return result


def count_column(metric: str) -> str:
    """Return the column with the number of signals over which an accuracy is computed; empty for other metrics."""
    split, _, stem = metric.partition("_")
    return f"{split}_signals" if stem == "accuracy" else ""


def accuracy_interval(accuracy: float, n: object) -> Interval | None:
    """Return the 95 % interval of an accuracy in 0..1 over n signals (Wilson 1927), or None if there is none."""
    if not (is_number(n) and n >= 1 and 0 <= accuracy <= 1):
        return None
    center = (accuracy + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * math.sqrt(accuracy * (1 - accuracy) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    return max(0.0, center - half), min(1.0, center + half)


def ladders_caption(
    ladders: Sequence[Ladder], *, y_label: str, objective: str, scores: Sequence[float], sign: int, digits: int
) -> str:
    """Describe the best ladder from its picked rung to its last one, and count the ladders that decline.

    Args:
        objective: label of the metric that picks a rung of each ladder.
        scores: scores of all trials, larger is better; the best ladder contains the highest one.
        sign: 1 if larger values along the ladders are better, -1 if smaller ones are.
    """
    long = [ladder for ladder in ladders if ladder.is_described]
    if not long:
        return "No setting has three or more step counts yet, so over-training cannot be assessed."
    best = max(long, key=lambda ladder: max(scores[rung] for rung in ladder.rungs))
    of_best = _best_ladder(best, y_label=y_label, objective=objective, sign=sign, digits=digits)
    return f"{of_best} {_all_ladders(long, y_label=y_label, sign=sign, digits=digits)}"


def _best_ladder(ladder: Ladder, *, y_label: str, objective: str, sign: int, digits: int) -> str:
    at_best = counted(round(ladder.steps[ladder.picked]), "step")
    along = f"along the best setting's ladder, {objective} is best after {at_best}"
    at = f"{y_label} {ladder.y[ladder.picked]:.{digits}f}"
    if ladder.picked == len(ladder.y) - 1:
        return f"{capital(along)}, the last rung ({at})."
    loss, half = ladder.loss(sign), ladder.half
    change = "the same" if loss == 0 else f"{abs(loss):.{digits}f} {'worse' if loss > 0 else 'better'}"
    after = f"({at}); after {ladder.steps[-1]:,.0f}, the last rung, it is {change}"
    if half is None:
        return f"{capital(along)} {after}."
    if loss > half:
        return f"Over-training: {along} {after}, more than the 95 % interval of the difference, ± {half:.{digits}f}."
    return f"{capital(along)} {after}; the 95 % interval of the difference is ± {half:.{digits}f}."


def _all_ladders(ladders: Sequence[Ladder], *, y_label: str, sign: int, digits: int) -> str:
    losses = [ladder.loss(sign) for ladder in ladders]
    mean = mean_of(losses)
    known = [(loss, ladder.half) for loss, ladder in zip(losses, ladders, strict=True) if ladder.half is not None]
    worse = sum(loss > (half or 0) for loss, half in known or [(loss, 0.0) for loss in losses])
    beyond = " by more than its 95 % interval" if known else ""
    change = f"{abs(mean.mean):.{digits}f} {'better' if mean.mean < 0 else 'worse'}" if mean.mean else "the same"
    interval = "" if mean.half is None else f" (± {mean.half:.{digits}f}, 95 % interval)"
    return (
        f"From there to the last rung, {y_label} gets worse{beyond} in {worse:,} of "
        f"{counted(len(known) or len(losses), 'ladder')}; on average, it is "
        f"{change}{interval}."
    )
