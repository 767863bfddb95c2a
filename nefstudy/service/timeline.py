"""A study over time: how many trials completed when, and how the best grew."""

import math
from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from nefstudy.service.answers import LedgerIn, StudyName, answer, encode, require_study
from nefstudy.service.figure_models import Timeline
from nefstudy.service.snapshot import Snapshots

router = APIRouter(prefix="/v1/studies/{study}", tags=["figures"])

SPANS = 60  # bars that can be told apart on a phone
LEAST_ENDED = 4  # trials a span on average: a count of n errs by its root, so fewer would tell of luck, not of pace
MINUTE, HOUR, DAY = 60, 3600, 86_400
WIDTHS = (
    MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
    HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 28 * DAY,
)  # fmt: skip


@router.get("/timeline", response_model=Timeline)
def get_timeline(request: Request, study: StudyName, ledger: LedgerIn) -> Response:
    """Complete trials by time of their end in at most sixty equal spans of the clock, with the best so far."""
    require_study(ledger, study)

    def compute() -> bytes:
        columns = ledger.trials.columns(study, ("ended_at", "val_accuracy"))
        return encode(timeline(columns["ended_at"], columns["val_accuracy"]))

    snapshots: Snapshots = request.app.state.snapshots
    return answer(request, snapshots.take(study, "timeline", compute))


def timeline(ends: Sequence[float | None], scores: Sequence[float | None]) -> Timeline:
    """Counts over equal spans of the clock (UTC seconds), the best by the end of each, and when the best rose."""
    known = sorted((end, score) for end, score in zip(ends, _ranked(scores), strict=True) if end is not None)
    if not known:
        return Timeline(from_s=0.0, width_s=0.0, ended=[], best=[], last_s=0.0, rose_s=[], rose_to=[])
    first, last = known[0][0], known[-1][0]
    width = span_width(first, last, trials=len(known))
    start = first // width
    count = int(last // width - start) + 1
    ended, best = [0] * count, [-math.inf] * count
    rises: list[tuple[float, float]] = []
    for end, score in known:
        span = int(end // width - start)
        ended[span] += 1
        if score > (rises[-1][1] if rises else -math.inf):
            rises.append((end, score))
        best[span] = rises[-1][1] if rises else -math.inf
    for span in range(1, count):
        best[span] = max(best[span], best[span - 1])
    return Timeline(
        from_s=start * width,
        width_s=width,
        ended=ended,
        best=[None if value == -math.inf else value for value in best],
        last_s=last,
        rose_s=[end for end, _ in rises],
        rose_to=[score for _, score in rises],
    )


def span_width(first: float, last: float, *, trials: int) -> float:
    """Seconds of a span: a round time of the clock, a minute at least, of which few enough cover both ends."""
    most = min(SPANS, max(2, trials // LEAST_ENDED))
    fitting = (width for width in WIDTHS if last // width - first // width < most)
    return float(next(fitting, math.ceil((last - first) / WIDTHS[-1] / (most - 1)) * WIDTHS[-1]))


def _ranked(scores: Sequence[float | None]) -> list[float]:
    """The scores with less than any for those that are none."""
    return [-math.inf if score is None else score for score in scores]
