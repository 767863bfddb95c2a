"""Routes of a study: the list of them, one, its progress and its best trials."""

import time
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from nefstudy.errors import NoLedger
from nefstudy.insight.progress import Covered, Progress, best_of, coverage_of, progress, rank
from nefstudy.insight.reading import Source
from nefstudy.insight.status import card
from nefstudy.ledger import Ledger
from nefstudy.service.answers import CellName, LedgerIn, PhaseName, StudyName, answer, encode, require_study, unknown
from nefstudy.service.models import BestTrials, Studies, StudyDetail
from nefstudy.service.snapshot import Snapshots

router = APIRouter(prefix="/v1/studies", tags=["studies"])

PACE_AGE_S = 5.0  # the pace changes with time alone
COVERAGE_SHARE = 200  # 0.1 s over 30,000 trials: then read every 20 s


@router.get("", response_model=Studies)
def list_studies(request: Request, ledger: LedgerIn) -> Response:
    """Every study, latest change first, with its counts over all phases and cells; none before the first starts."""
    with suppress(NoLedger):
        rows = sorted(ledger.studies.all(), key=lambda row: -row.updated_at)
        return answer(request, encode(Studies(studies=[card(ledger, row) for row in rows])))
    return answer(request, encode(Studies(studies=[])))


@router.get("/{study}", response_model=StudyDetail)
def get_study(request: Request, study: StudyName, ledger: LedgerIn) -> Response:
    """One study with its plan."""
    row = ledger.studies.get(study)
    if row is None:
        raise HTTPException(404, unknown(study))
    return answer(request, encode(StudyDetail(plan=row.plan, **card(ledger, row).model_dump())))


@router.get("/{study}/progress", response_model=Progress)
async def get_progress(request: Request, study: StudyName) -> Response:
    """Progress by phase and cell: counts, fits, best so far, pace and time left. At most half a second old."""
    snapshots: Snapshots = request.app.state.snapshots
    body = snapshots.fresh(study, "progress")
    if body is None:
        body = await run_in_threadpool(_progress_now, snapshots, request.app.state.coverages, study)
    return answer(request, body)


def _progress_now(snapshots: Snapshots, coverages: "Coverages", study: str) -> bytes:
    def compute() -> bytes:
        require_study(coverages.ledger, study)
        return encode(progress(coverages.ledger, study, covered=coverages.of(study)))

    return snapshots.take(study, "progress", compute, age_s=PACE_AGE_S)


class Coverages:
    """What the ended trials of each study cover, kept for long where it takes long to read."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._kept: dict[str, tuple[Covered, float]] = {}

    def of(self, study: str) -> Covered:
        """Return a study's coverage, at most COVERAGE_SHARE times as old as reading it takes."""
        kept = self._kept.get(study)
        began = time.monotonic()
        if kept is not None and began < kept[1]:
            return kept[0]
        covered = coverage_of(self.ledger, study)
        ended = time.monotonic()
        self._kept[study] = covered, ended + COVERAGE_SHARE * (ended - began)
        return covered


@router.get("/{study}/best", response_model=BestTrials)
def get_best(
    request: Request,
    study: StudyName,
    *,
    ledger: LedgerIn,
    phase: PhaseName = None,
    cell: CellName = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="trials of each phase and cell")] = 1,
) -> Response:
    """Return the best complete trials of each phase and cell by its objective, best first."""
    require_study(ledger, study)
    declared = Source(ledger, study).declared
    best = [best_of(row, declared) for row in ledger.trials.best(study, phase=phase, cell=cell, limit=limit)]
    return answer(request, encode(BestTrials(best=sorted(best, key=lambda item: (item.objective, -rank(item))))))
