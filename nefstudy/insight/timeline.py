"""A study over time: how many trials completed when, and how the best grew."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nefstudy.insight.declared import Declared
from nefstudy.insight.figure import Axis, Figure, Mark
from nefstudy.insight.trials import Trials, is_number

SPANS = 60  # bars that are distinct on a phone
LEAST_ENDED = 4  # trials a span on average: a count of n errs by its root, so fewer would show luck, not pace
MINUTE, HOUR, DAY = 60, 3600, 86_400
WIDTHS = (
    MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
    HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 28 * DAY,
)  # fmt: skip


@dataclass(frozen=True)
class Spans:
    """Counts of trials over equal spans of the clock (UTC seconds) from `from_s` on."""

    from_s: float
    width_s: float
    ended: tuple[int, ...]


def time_axis(found: Spans) -> Axis:
    """Return the axis of the clock over all spans."""
    ends = (found.from_s, found.from_s + len(found.ended) * found.width_s)
    return Axis("time", scale="time", domain=ends if found.ended else None)


def spans(ends: Sequence[float]) -> Spans:
    """Return how many ends fall into each span; none without ends."""
    if not ends:
        return Spans(0.0, 0.0, ())
    first, last = min(ends), max(ends)
    width = span_width(first, last, trials=len(ends))
    start = first // width
    counts = [0] * (int(last // width - start) + 1)
    for end in ends:
        counts[int(end // width - start)] += 1
    return Spans(start * width, width, tuple(counts))


def span_width(first: float, last: float, *, trials: int) -> float:
    """Return the seconds of a span: a round time of the clock, a minute at least, so that few spans cover both ends."""
    most = min(SPANS, max(2, trials // LEAST_ENDED))
    fitting = (width for width in WIDTHS if last // width - first // width < most)
    return float(next(fitting, math.ceil((last - first) / WIDTHS[-1] / (most - 1)) * WIDTHS[-1]))


def pace_figure(trials: Trials) -> Figure:
    """Return a bar for each span of the clock: complete trials a minute."""
    found = spans([end for end in trials["ended_at"] if end is not None])
    starts = [found.from_s + i * found.width_s for i in range(len(found.ended))]
    rates = [60 * count / found.width_s for count in found.ended]
    words = "No trial has completed yet."
    if rates:
        each = _span_words(found.width_s)
        words = f"{sum(found.ended):,} complete trials, a bar for each {each}; at most {max(rates):.3g} a minute."
    return Figure(
        id="pace",
        title="Trials over time",
        caption=words,
        x=time_axis(found),
        y=Axis("trials a minute"),
        marks=(
            Mark(
                "bar",
                {"x1": starts, "x2": [s + found.width_s for s in starts], "y": rates, "ended": list(found.ended)},
            ),
        ),
        of=sum(found.ended),
    )


def _span_words(seconds: float) -> str:
    if seconds < HOUR:
        return f"{seconds / MINUTE:g} min"
    return f"{seconds / HOUR:g} h" if seconds < DAY else f"{seconds / DAY:g} d"


def best_over_time(trials: Trials, own: Declared) -> Figure:
    """Return the best value of a cell's objective so far, a step for each trial that improved it."""
    scores = trials[own.objective]
    order = sorted((i for i, s in enumerate(scores) if is_number(s) and trials["ended_at"][i] is not None),
                   key=lambda i: (trials["ended_at"][i], i))  # fmt: skip
    rises: list[int] = []
    for index in order:
        if not rises or own.sign * scores[index] > own.sign * scores[rises[-1]]:
            rises.append(index)
    metric = own.objective_metric
    x = [trials["ended_at"][i] for i in rises]
    y = [scores[i] for i in rises]
    columns = {name: [trials[name][i] for i in rises] for name in ("key", "phase", "cell")}
    words = "No trial has a result yet."
    if order:
        words = f"Best {metric.label} so far: {y[-1]:.{metric.digits}f}, after {len(order):,} complete trials."
        for column in columns.values():
            column.append(column[-1])  # the line reaches the latest trial
        x.append(trials["ended_at"][order[-1]])
        y.append(y[-1])
    return Figure(
        id="best-over-time",
        title=f"Best {metric.label} over time",
        caption=words,
        x=time_axis(spans([end for end in trials["ended_at"] if end is not None])),
        y=Axis(f"best {metric.label}", metric.unit),
        marks=(Mark("step", {"x": x, "y": y, **columns}),),
        of=len(order),
    )
