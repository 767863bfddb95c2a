"""Whether the service lives, and whether it can answer."""

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from nefstudy.errors import NoLedger
from nefstudy.service.answers import LedgerIn
from nefstudy.service.problems import NO_STUDIES

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """`ok` when the service can do its work."""

    status: str = "ok"


@router.get("/healthz")
async def get_health() -> Health:
    """The process answers; says nothing of the ledger."""
    return Health()


@router.get("/readyz")
def get_readiness(ledger: LedgerIn) -> Health:
    """The ledger answers too; 503 while it does not, or is not there yet."""
    try:
        ledger.events.last_seq()
    except NoLedger:
        raise HTTPException(503, NO_STUDIES, headers={"Retry-After": "5"}) from None
    return Health()
