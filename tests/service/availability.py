"""Checks of the service's routes while its ledger is missing, replaced or locked."""

from pathlib import Path

from nefstudy.ledger import Ledger

from ..ledger.records import as_cells
from .client import Client
from .small_study import STUDY

ROUTES = ("/v1/studies", f"/v1/studies/{STUDY}/progress", f"/v1/studies/{STUDY}/trials", "/metrics", "/readyz")


def make(path: Path | str, study: str) -> None:
    """Create a ledger with one empty study."""
    with Ledger.open(str(path)) as ledger:
        ledger.studies.put(study, {}, cells=as_cells({("phase1", "digits8/siren"): 4}))


def statuses(client: Client) -> list[int]:
    """Return the status code of a request to each route."""
    return [client.get(route).status_code for route in ROUTES]


def check_unavailable(client: Client, *, detail: str) -> None:
    """Check that every route returns a 503 problem response while /healthz still returns 200."""
    for route in ROUTES:
        response = client.get(route)
        assert (response.status_code, response.headers["content-type"]) == (503, "application/problem+json"), route
        assert detail in response.json()["detail"]
        assert response.headers["retry-after"]
    assert client.get("/healthz").status_code == 200
