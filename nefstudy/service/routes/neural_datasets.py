"""Routes that list the neural datasets and return a single neural dataset by its digest."""

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from starlette.exceptions import HTTPException

from nefstudy.errors import NoLedger
from nefstudy.ledger import NeuralDatasetRow
from nefstudy.service.models import NeuralDatasetList, NeuralDatasetView
from nefstudy.service.responses import LedgerIn, encode, etag_response

router = APIRouter(prefix="/v1/neural-datasets", tags=["neural datasets"])

Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{8,64}$", description="digest of the recipe")]


@router.get("", response_model=NeuralDatasetList)
def list_neural_datasets(request: Request, ledger: LedgerIn) -> Response:
    """Return all neural datasets in the ledger, oldest first, or an empty list before the first study starts."""
    datasets: list[NeuralDatasetView] = []
    with suppress(NoLedger):
        datasets = [_view(row) for row in ledger.datasets.all()]
    return etag_response(request, encode(NeuralDatasetList(neural_datasets=datasets)))


@router.get("/{digest}", response_model=NeuralDatasetView)
def get_neural_dataset(request: Request, digest: Digest, ledger: LedgerIn) -> Response:
    """Return one neural dataset."""
    row = ledger.datasets.get(digest)
    if row is None:
        raise HTTPException(404, f"no neural dataset {digest}; GET /v1/neural-datasets lists them")
    return etag_response(request, encode(_view(row)))


def _view(row: NeuralDatasetRow) -> NeuralDatasetView:
    return NeuralDatasetView(**{name: getattr(row, name) for name in NeuralDatasetView.model_fields})
