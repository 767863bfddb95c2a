"""Liveness and readiness of the service."""

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from nefstudy.errors import NoLedger
from nefstudy.service.problems import NO_STUDIES
from nefstudy.service.responses import LedgerIn

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """Response of the health endpoints; `status` is always `ok`."""

    status: str = "ok"


@router.get("/healthz")
async def get_health() -> Health:
    """Confirm that the process responds, without checking the ledger."""
    return Health()


@router.get("/readyz")
def get_readiness(ledger: LedgerIn) -> Health:
    """Confirm that the ledger can be read; respond with 503 while the ledger is unavailable or does not exist."""
    try:
        ledger.events.last_seq()
    except NoLedger:
        raise HTTPException(503, NO_STUDIES, headers={"Retry-After": "5"}) from None
    return Health()
