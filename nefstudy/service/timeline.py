"""A study over time: how many trials completed when, and how the best grew."""

import math
from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from nefstudy.service.answers import LedgerIn, StudyName, answer, encode, require_study
from nefstudy.service.figure_models import Timeline
from nefstudy.service.snapshot import Snapshots

router = APIRouter(prefix="/v1/studies/{study}", tags=["figures"])

SPANS = 60  # bars that can be told apart on a phone
LEAST_S = 1.0


@router.get("/timeline", response_model=Timeline)
def get_timeline(request: Request, study: StudyName, ledger: LedgerIn) -> Response:
    """Complete trials by time of their end in at most sixty equal spans, with the best so far."""
    require_study(ledger, study)

    def compute() -> bytes:
        columns = ledger.columns(study, ("ended_at", "val_accuracy"))
        return encode(timeline(columns["ended_at"], columns["val_accuracy"]))

    snapshots: Snapshots = request.app.state.snapshots
    return answer(request, snapshots.take(study, "timeline", compute))


def timeline(ends: Sequence[float | None], scores: Sequence[float | None]) -> Timeline:
    """Counts and the running best over equal spans between the first and the last end (UTC seconds)."""
    known = [(end, score) for end, score in zip(ends, scores, strict=True) if end is not None]
    if not known:
        return Timeline(from_s=0.0, width_s=0.0, ended=[], best=[])
    first, last = min(end for end, _ in known), max(end for end, _ in known)
    width = max(LEAST_S, (last - first) / SPANS)
    count = min(SPANS, int((last - first) / width) + 1)
    ended, best = [0] * count, [-math.inf] * count
    for end, score in known:
        span = min(count - 1, int((end - first) / width))
        ended[span] += 1
        if score is not None and score > best[span]:
            best[span] = score
    for span in range(1, count):
        best[span] = max(best[span], best[span - 1])
    return Timeline(
        from_s=first, width_s=width, ended=ended, best=[None if value == -math.inf else value for value in best]
    )
