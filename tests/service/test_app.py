"""Tests of the service as a whole: its imports, API description and error responses."""

import json
import subprocess
import sys

import pytest
from pydantic import TypeAdapter

from nefstudy.insight import catalog
from nefstudy.insight.figure import Figure
from nefstudy.insight.gallery import Gallery
from nefstudy.insight.progress import Progress
from nefstudy.insight.table import Table
from nefstudy.ledger import Ledger
from nefstudy.names import NAME_LENGTH
from nefstudy.service import models

from ..ledger.records import as_cells
from .small_study import OPERATOR_SECRET, STUDY

READ = {
    "/v1/studies": models.StudyList,
    f"/v1/studies/{STUDY}": models.StudyDetail,
    f"/v1/studies/{STUDY}/progress": Progress,
    f"/v1/studies/{STUDY}/best": models.BestTrials,
    "/v1/neural-datasets": models.NeuralDatasetList,
    f"/v1/studies/{STUDY}/commands": models.CommandList,
    f"/v1/studies/{STUDY}/trials": models.TrialPage,
    f"/v1/studies/{STUDY}/reconstructions": Gallery,
    **{f"/v1/studies/{STUDY}/figures/{name}": Figure for name in catalog.FIGURES},
    **{f"/v1/studies/{STUDY}/tables/{name}": Table for name in catalog.TABLES},
}

BAD = [
    ("GET", "/nope", 404),
    ("GET", "/v1/studies/none", 404),
    ("GET", "/v1/studies/none/progress", 404),
    ("GET", "/v1/studies/none/trials", 404),
    ("GET", "/v1/studies/none/best", 404),
    ("GET", "/v1/studies/none/figures/ladders", 404),
    ("GET", "/v1/studies/none/tables/best", 404),
    ("GET", f"/v1/studies/{STUDY}/figures/none", 422),
    ("GET", f"/v1/studies/{STUDY}/tables/none", 422),
    ("GET", "/v1/studies/none/events", 404),
    ("GET", "/v1/trials/" + "0" * 20, 404),
    ("GET", "/v1/trials/" + "0" * 20 + "/artifacts/reconstruction.png", 404),
    ("GET", "/v1/neural-datasets/" + "0" * 20, 404),
    ("GET", "/v1/neural-datasets/..", 404),
    ("GET", "/v1/neural-datasets/XYZ", 422),
    ("GET", "/page/none.js", 404),
    ("DELETE", "/v1/studies", 405),
    ("POST", f"/v1/studies/{STUDY}/progress", 405),
    ("PUT", "/healthz", 405),
    ("GET", "/v1/studies/%00", 422),
    ("GET", "/v1/studies/' OR 1=1 --/progress", 422),
    ("GET", "/v1/trials/XYZ", 422),
    ("GET", f"/v1/studies/{STUDY}/trials?limit=0", 422),
    ("GET", f"/v1/studies/{STUDY}/trials?limit=1001", 422),
    ("GET", f"/v1/studies/{STUDY}/trials?limit=many", 422),
    ("GET", f"/v1/studies/{STUDY}/trials?state=DONE", 422),
    ("GET", f"/v1/studies/{STUDY}/trials?cursor=abc", 422),
    ("GET", f"/v1/studies/{STUDY}/trials?cursor=W10", 422),
    ("GET", f"/v1/studies/{STUDY}/trials?sort=nothing", 422),
    ("GET", f"/v1/studies/{STUDY}/trials?sort=a;drop", 422),
    ("GET", f"/v1/studies/{STUDY}/trials?filter=nothing>1", 422),
    ("GET", f"/v1/studies/{STUDY}/trials?filter=steps>many", 422),
    ("GET", f"/v1/studies/{STUDY}/trials?filter=%00", 422),
    ("GET", f"/v1/studies/{STUDY}/trials?fields=a'b", 422),
    ("GET", f"/v1/studies/{STUDY}/trials?format=xml", 422),
    ("GET", f"/v1/studies/{STUDY}/best?limit=-1", 422),
]


@pytest.mark.parametrize(("method", "path", "status"), BAD)
def test_every_error_is_a_problem(client, method, path, status):
    """Each bad request gets the expected status, and problem details with a one-line reason."""
    response = client.request(method, path)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    problem = response.json()
    assert problem["status"] == status
    assert problem["detail"]
    assert "\n" not in problem["detail"]
    if status == 405:
        assert response.headers["allow"]


@pytest.mark.parametrize("path", READ)
def test_responses_match_their_models(client, path):
    """Every response conforms to its documented model."""
    response = client.get(path)
    assert response.status_code == 200
    TypeAdapter(READ[path]).validate_json(response.content, strict=False)


@pytest.mark.parametrize("path", READ)
def test_an_unchanged_response_is_304(client, path):
    """A request with the current ETag gets 304 without a body.

    A request with another ETag gets the full response.
    """
    etag = client.get(path).headers["etag"]
    again = client.get(path, headers={"If-None-Match": etag})
    if path.endswith("progress") and again.status_code == 200:
        pytest.fail("progress changed within half a second without an event")
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_operations_have_stable_names(client):
    """Each operation is named after its function, and operation names are unique."""
    schema = client.get("/v1/openapi.json").json()
    names = [operation["operationId"] for path in schema["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
    assert {"list_studies", "get_progress", "list_trials", "get_trial", "get_best", "pause_study"} <= set(names)
    assert schema["openapi"].startswith("3.1")


def test_responses_disclose_no_internals(client, filled):
    """No response contains a directory, traceback or SQL, even if a recorded error does."""
    _, root, keys = filled
    paths = [*READ, *(path for method, path, _ in BAD if method == "GET"), f"/v1/trials/{keys[0]}", "/metrics"]
    paths.append(f"/v1/studies/{STUDY}/trials?state=FAILED")
    text = "\n".join(client.get(path).text for path in paths)
    for secret in (str(root), OPERATOR_SECRET, "/secret", "Traceback", "SELECT", "sqlalchemy", "site-packages"):
        assert secret not in text
    assert "no luck in model.py" in text


def test_a_fault_of_the_service_is_a_problem_without_details(filled, client_of):
    """An unexpected exception becomes a 500 problem response that omits the exception's message."""
    client = client_of(filled[0])

    class Broken:
        def studies(self):
            raise RuntimeError("secret detail")

    client.app.state.ledger = Broken()
    response = client.get("/v1/studies")
    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in response.text


def test_a_ledger_that_goes_away_is_503_and_health_stays(tmp_path, client_of):
    """While the ledger cannot be read, the service is live but not ready.

    Requests get 503 with Retry-After.
    """
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as writer:
        writer.studies.put(STUDY, {}, cells={})
    with Ledger.open(str(path), read_only=True, timeout_s=0.1) as ledger:
        client = client_of(ledger)
        assert client.get("/readyz").status_code == 200
        for file in tmp_path.iterdir():
            file.write_bytes(b"not a database, not any more" * 200)
        for gone in ("/readyz", "/v1/studies", f"/v1/studies/{STUDY}/trials"):
            response = client.get(gone)
            assert (response.status_code, response.headers["content-type"]) == (503, "application/problem+json")
            assert response.headers["retry-after"]
            assert str(tmp_path) not in response.text
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("module", ["nefstudy.service.app", "nefstudy.cli.main"])
def test_the_service_imports_nothing_heavy(module):
    """The service and its command do not import torch, ray, mlflow, optuna, pandas or pyarrow."""
    code = f"import {module}, sys, json; print(json.dumps(sorted(m for m in sys.modules if '.' not in m)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not {"torch", "ray", "mlflow", "optuna", "pandas", "pyarrow"} & set(json.loads(done.stdout))


@pytest.mark.parametrize("name", ["s", "phase-1.b", "A_9", "0", "x" * NAME_LENGTH])
def test_every_name_that_a_ledger_accepts_is_served(tmp_path, client_of, name):
    """Every study, phase and cell name that the ledger accepts can be requested."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    cell = f"{name}/{name}"
    with Ledger.open(url) as writer:
        writer.studies.put(name, {}, cells=as_cells({(name, cell): 1}))
    with Ledger.open(url, read_only=True) as ledger:
        client = client_of(ledger)
        for page in ("", "/progress", "/best", "/tables/failures", f"/trials?phase={name}&cell={cell}"):
            assert client.get(f"/v1/studies/{name}{page}").status_code == 200
