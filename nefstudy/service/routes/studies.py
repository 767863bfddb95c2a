"""Routes that list the studies and return one study's plan, progress and best trials."""

import time
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from nefstudy.errors import NoLedger
from nefstudy.insight.progress import Progress, best_of, coverage_of, progress, rank
from nefstudy.insight.status import card
from nefstudy.insight.study_data import StudyData
from nefstudy.insight.work import CoverageByCell
from nefstudy.ledger import Ledger
from nefstudy.service.models import BestTrials, StudyDetail, StudyList
from nefstudy.service.responses import (
    CellName,
    LedgerIn,
    PhaseName,
    StudyName,
    encode,
    etag_response,
    require_study,
    unknown_study,
)
from nefstudy.service.snapshot import Snapshots

router = APIRouter(prefix="/v1/studies", tags=["studies"])

PACE_AGE_S = 5.0  # the pace changes with time alone
COVERAGE_FACTOR = 200  # reading takes 0.1 s for 30,000 trials, which are then read every 20 s


@router.get("", response_model=StudyList)
def list_studies(request: Request, ledger: LedgerIn) -> Response:
    """Return all studies, most recently changed first, with counts over all phases and cells."""
    with suppress(NoLedger):
        rows = sorted(ledger.studies.all(), key=lambda row: -row.updated_at)
        return etag_response(request, encode(StudyList(studies=[card(ledger, row) for row in rows])))
    return etag_response(request, encode(StudyList(studies=[])))


@router.get("/{study}", response_model=StudyDetail)
def get_study(request: Request, study: StudyName, ledger: LedgerIn) -> Response:
    """Return one study with its plan."""
    row = ledger.studies.get(study)
    if row is None:
        raise HTTPException(404, unknown_study(study))
    return etag_response(request, encode(StudyDetail(plan=row.plan, **card(ledger, row).model_dump())))


@router.get("/{study}/progress", response_model=Progress)
async def get_progress(request: Request, study: StudyName) -> Response:
    """Return progress by phase and cell: counts, fits, best trials so far, pace and ETA.

    The response is at most half a second old.
    """
    snapshots: Snapshots = request.app.state.snapshots
    body = snapshots.fresh(study, "progress")
    if body is None:
        body = await run_in_threadpool(_progress_now, snapshots, request.app.state.coverages, study)
    return etag_response(request, body)


def _progress_now(snapshots: Snapshots, coverages: "Coverages", study: str) -> bytes:
    def compute() -> bytes:
        require_study(coverages.ledger, study)
        return encode(progress(coverages.ledger, study, coverage=coverages.of(study)))

    return snapshots.take(study, "progress", compute, age_s=PACE_AGE_S)


class Coverages:
    """A cache of each study's coverage; coverage that is slow to read is cached for longer."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._cache: dict[str, tuple[CoverageByCell, float]] = {}

    def of(self, study: str) -> CoverageByCell:
        """Return a study's coverage, cached for at most COVERAGE_FACTOR times as long as reading it took."""
        cached = self._cache.get(study)
        start = time.monotonic()
        if cached is not None and start < cached[1]:
            return cached[0]
        covered = coverage_of(self.ledger, study)
        end = time.monotonic()
        self._cache[study] = covered, end + COVERAGE_FACTOR * (end - start)
        return covered


@router.get("/{study}/best", response_model=BestTrials)
def get_best(
    request: Request,
    study: StudyName,
    *,
    ledger: LedgerIn,
    phase: PhaseName = None,
    cell: CellName = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="trials per phase and cell")] = 1,
) -> Response:
    """Return the best complete trials of each phase and cell by the cell's objective, best first."""
    require_study(ledger, study)
    declared = StudyData(ledger, study).declared
    best = [best_of(row, declared) for row in ledger.trials.best(study, phase=phase, cell=cell, limit=limit)]
    return etag_response(request, encode(BestTrials(best=sorted(best, key=lambda item: (item.objective, -rank(item))))))
