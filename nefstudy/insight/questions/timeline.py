"""A study over time: completed trials per time span, and the best score so far."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nefstudy.insight.declared import Declared
from nefstudy.insight.figure import Axis, Figure, Mark
from nefstudy.insight.table import counted
from nefstudy.insight.trials import TrialColumns, is_number

MAX_SPANS = 60  # more bars would not be distinguishable on a phone
MIN_ENDED = 4  # mean trials per span: the error of a count n is its root, so fewer would show chance, not the pace
MINUTE, HOUR, DAY = 60, 3600, 86_400
WIDTHS = (
    MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
    HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 28 * DAY,
)  # fmt: skip


@dataclass(frozen=True)
class Spans:
    """Counts of the trials that ended in each of several equal time spans, which start at `from_s` (UTC seconds)."""

    from_s: float
    width_s: float
    ended: tuple[int, ...]


def time_axis(spans: Spans) -> Axis:
    """Return a time axis over all spans."""
    domain = (spans.from_s, spans.from_s + len(spans.ended) * spans.width_s)
    return Axis("time", scale="time", domain=domain if spans.ended else None)


def spans(ends: Sequence[float]) -> Spans:
    """Count the trials that ended in each time span; there are no spans if no trial has ended."""
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
    """Return the smallest round span width, in seconds, that does not give too many spans."""
    limit = min(MAX_SPANS, max(2, trials // MIN_ENDED))
    fitting = (width for width in WIDTHS if last // width - first // width < limit)
    return float(next(fitting, math.ceil((last - first) / WIDTHS[-1] / (limit - 1)) * WIDTHS[-1]))


def pace_figure(trials: TrialColumns) -> Figure:
    """Return a bar chart of completed trials per minute, with one bar per time span."""
    counts = spans([end for end in trials["ended_at"] if end is not None])
    starts = [counts.from_s + i * counts.width_s for i in range(len(counts.ended))]
    rates = [60 * count / counts.width_s for count in counts.ended]
    caption = "No trial has completed yet."
    if rates:
        width = _span_text(counts.width_s)
        complete = counted(sum(counts.ended), "complete trial")
        caption = f"{complete} in {width} intervals; peak rate {max(rates):.3g} per minute."
    return Figure(
        id="pace",
        title="Trials over time",
        caption=caption,
        x=time_axis(counts),
        y=Axis("trials per minute"),
        marks=(
            Mark(
                "bar",
                {"x1": starts, "x2": [s + counts.width_s for s in starts], "y": rates, "ended": list(counts.ended)},
            ),
        ),
        of=sum(counts.ended),
    )


def _span_text(seconds: float) -> str:
    if seconds < HOUR:
        return f"{seconds / MINUTE:g}-minute"
    return f"{seconds / HOUR:g}-hour" if seconds < DAY else f"{seconds / DAY:g}-day"


def best_over_time(trials: TrialColumns, own: Declared) -> Figure:
    """Return a step chart of the best value of a cell's objective so far."""
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
    caption = "No trial has a result yet."
    if order:
        caption = (
            f"Best {metric.label} so far: {y[-1]:.{metric.digits}f}, after {counted(len(order), 'complete trial')}."
        )
        for column in columns.values():
            column.append(column[-1])  # extends the line to the latest trial
        x.append(trials["ended_at"][order[-1]])
        y.append(y[-1])
    return Figure(
        id="best-over-time",
        title=f"Best {metric.label} over time",
        caption=caption,
        x=time_axis(spans([end for end in trials["ended_at"] if end is not None])),
        y=Axis(f"best {metric.label}", metric.unit),
        marks=(Mark("step", {"x": x, "y": y, **columns}),),
        of=len(order),
    )
