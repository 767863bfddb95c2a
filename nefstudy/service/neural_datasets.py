"""Routes of neural datasets: what was fitted, by which recipe's digest, and whether it is still there."""

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from starlette.exceptions import HTTPException

from nefstudy.errors import NoLedger
from nefstudy.ledger import NeuralDatasetRow
from nefstudy.service.answers import LedgerIn, answer, encode
from nefstudy.service.models import NeuralDataset, NeuralDatasets

router = APIRouter(prefix="/v1/neural-datasets", tags=["neural datasets"])

Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{8,64}$", description="digest of the recipe")]


@router.get("", response_model=NeuralDatasets)
def list_neural_datasets(request: Request, ledger: LedgerIn) -> Response:
    """Every neural dataset the ledger knows, oldest first; none before the first study starts."""
    found: list[NeuralDataset] = []
    with suppress(NoLedger):
        found = [_shown(row) for row in ledger.datasets.all()]
    return answer(request, encode(NeuralDatasets(neural_datasets=found)))


@router.get("/{digest}", response_model=NeuralDataset)
def get_neural_dataset(request: Request, digest: Digest, ledger: LedgerIn) -> Response:
    """One neural dataset."""
    row = ledger.datasets.get(digest)
    if row is None:
        raise HTTPException(404, f"no neural dataset {digest}; GET /v1/neural-datasets lists them")
    return answer(request, encode(_shown(row)))


def _shown(row: NeuralDatasetRow) -> NeuralDataset:
    return NeuralDataset(**{name: getattr(row, name) for name in NeuralDataset.model_fields})
