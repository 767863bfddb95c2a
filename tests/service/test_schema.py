"""The service keeps what its own OpenAPI description promises, as an independent tool reads it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from nefstudy.ledger import Ledger
from nefstudy.service.app import create_app

from .conftest import STUDY, TOKEN, fill_study

EXAMPLES = int(os.environ.get("NEFSTUDY_EXAMPLES", "20"))  # of each operation: half a minute in all
STREAM = "follow_events"  # stays open; asked over a socket elsewhere
LOOKED_UP = {"list_trials"}  # a cursor, filter or sort may be well-formed and mean nothing in this ledger: 422
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def operations_of(ledger: Ledger) -> dict[str, Any]:
    """Every operation of the description by its id, of a service with a token."""
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", create_app(ledger, token=TOKEN), headers=BEARER)
    found = (result.ok() for result in schema.get_all_operations())
    return {operation.definition.raw["operationId"]: operation for operation in found}


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The operations of a service over a filled ledger that may be written."""
    path: Path = tmp_path_factory.mktemp("promised") / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        fill_study(ledger)
    with Ledger.follow(str(path), read_only=False, patience_s=1.0) as followed:
        yield operations_of(followed)


with Ledger.follow("nowhere.db") as nothing:
    NAMES = sorted(set(operations_of(nothing)) - {STREAM})


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("name", NAMES)
def test_every_operation_keeps_its_promises(operations: dict[str, Any], name: str, mode: GenerationMode) -> None:
    """No 5xx; only described statuses, media types and shapes; what the description forbids is refused."""

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(operations[name].as_strategy(generation_mode=mode), st.booleans())
    def keeps(case: schemathesis.Case, known: bool) -> None:
        if known and mode is GenerationMode.POSITIVE and "study" in case.path_parameters:
            case.path_parameters["study"] = STUDY
        case.call_and_validate(headers=BEARER, excluded_checks=[positive_data_acceptance] if name in LOOKED_UP else [])

    keeps()
