"""Routes of a study: the list of them, one, its progress and its best trials."""

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from nefstudy.errors import NoLedger
from nefstudy.ledger import Ledger
from nefstudy.service.answers import CellName, LedgerIn, PhaseName, StudyName, answer, encode, require_study, unknown
from nefstudy.service.models import BestTrials, Progress, Studies, StudyDetail
from nefstudy.service.progress import best_of, card, progress
from nefstudy.service.snapshot import Snapshots

router = APIRouter(prefix="/v1/studies", tags=["studies"])

PACE_AGE_S = 5.0  # the pace changes with time alone


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
    """Progress by phase and cell: counts, best so far, pace and time left. At most half a second old."""
    snapshots: Snapshots = request.app.state.snapshots
    body = snapshots.fresh(study, "progress")
    if body is None:
        body = await run_in_threadpool(_progress_now, snapshots, request.app.state.ledger, study)
    return answer(request, body)


def _progress_now(snapshots: Snapshots, ledger: Ledger, study: str) -> bytes:
    def compute() -> bytes:
        require_study(ledger, study)
        return encode(progress(ledger, study))

    return snapshots.take(study, "progress", compute, age_s=PACE_AGE_S)


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
    """The best complete trials of each phase and cell by validation accuracy, best first."""
    require_study(ledger, study)
    best = [best_of(row) for row in ledger.trials.best(study, phase=phase, cell=cell, limit=limit)]
    best.sort(key=lambda item: (item.val_accuracy is None, -(item.val_accuracy or 0.0)))
    return answer(request, encode(BestTrials(best=best)))
