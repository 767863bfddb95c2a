"""Tests of trials that are requested over REST.

They are the ledger's rows, filtered, sorted and paged, in four formats.
"""

import csv
import io
import json

import pyarrow.parquet
import pytest

from nefstudy.ledger import TrialState
from nefstudy.service.models import TrialDetail

from ...ledger.records import as_cells, as_record
from ..small_study import CELLS, STUDY, trial_config

TRIALS = f"/v1/studies/{STUDY}/trials"


def every_page(client, query: str) -> list[dict]:
    """Return the trials of all pages, following the cursors."""
    rows, cursor = [], ""
    while True:
        page = client.get(f"{TRIALS}?{query}{cursor}").json()
        rows += page["trials"]
        if page["cursor"] is None:
            return rows
        cursor = f"&cursor={page['cursor']}"


@pytest.mark.parametrize("query", ["", "sort=-val_accuracy", "sort=all_psnr", "state=COMPLETE", "sort=-hidden"])
def test_pages_together_are_the_whole(client, query):
    """Pages of any size, followed to the end, contain the same trials as a single large page.

    Each trial occurs once, and the order is the same.
    """
    whole = [row["key"] for row in client.get(f"{TRIALS}?{query}&limit=1000").json()["trials"]]
    assert len(set(whole)) == len(whole) > 10
    for limit in (1, 3, 7):
        assert [row["key"] for row in every_page(client, f"{query}&limit={limit}")] == whole


def test_a_listed_trial_agrees_with_the_ledger(client, filled):
    """Every value on a page of trials equals the value in the ledger."""
    ledger = filled[0]
    for row in client.get(TRIALS).json()["trials"]:
        held = ledger.trials.get(row["key"], study=STUDY)
        for name in (
            "cell",
            "state",
            "score",
            "seed",
            "metrics",
            "dataset",
        ):
            assert row[name] == getattr(held, name)
        assert row["parameters"] == held.parameters


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("state=FAILED", lambda row: row["state"] == "FAILED"),
        (f"cell={CELLS[1]}", lambda row: row["cell"] == CELLS[1]),
        ("filter=init=random", lambda row: row["parameters"]["init"] == "random"),
        ("filter=all_psnr>=20", lambda row: row["metrics"].get("all_psnr", 0) >= 20),
        ("filter=steps<75&filter=steps>5", lambda row: 5 < row["parameters"]["steps"] < 75),
        ("filter=lr<=0.001", lambda row: row["parameters"]["lr"] <= 0.001),
    ],
)
def test_a_filter_keeps_what_holds_and_nothing_else(client, query, holds):
    """A filtered page contains exactly the trials that satisfy the filter's condition."""
    whole = client.get(f"{TRIALS}?limit=1000").json()["trials"]
    kept = client.get(f"{TRIALS}?limit=1000&{query}").json()["trials"]
    assert kept == [row for row in whole if holds(row)]
    assert len(kept) > 0


def test_fields_select_values(client):
    """The fields that a request selects can be columns, metrics or parameters.

    A missing value is null.
    """
    rows = client.get(f"{TRIALS}?fields=key,all_psnr,hidden,nothing&state=RUNNING").json()["trials"]
    assert [set(row) for row in rows] == [{"key", "all_psnr", "hidden", "nothing"}]
    assert rows[0]["all_psnr"] is None
    assert rows[0]["hidden"] == 16


def test_formats_hold_the_same_trials(client):
    """JSON, NDJSON, CSV and Parquet responses contain equal values and the same cursor."""
    query = f"{TRIALS}?fields=key,cell,steps,val_accuracy&limit=5"
    rows = client.get(query).json()
    lines = client.get(f"{query}&format=ndjson")
    assert [json.loads(line) for line in lines.text.splitlines()] == rows["trials"]
    assert lines.headers["x-next-cursor"] == rows["cursor"]
    table = list(csv.DictReader(io.StringIO(client.get(f"{query}&format=csv").text)))
    assert [{**row, "steps": int(row["steps"]), "val_accuracy": float(row["val_accuracy"])} for row in table] == rows[
        "trials"
    ]
    parquet = client.get(query, headers={"Accept": "application/vnd.apache.parquet"})
    assert pyarrow.parquet.read_table(io.BytesIO(parquet.content)).to_pylist() == rows["trials"]


def test_a_table_flattens_metrics_and_parameters(client):
    """CSV and Parquet have a column for each metric and parameter."""
    header = client.get(f"{TRIALS}?format=csv").text.splitlines()[0].split(",")
    assert {"key", "all_psnr", "lr", "classifier"} <= set(header)
    assert len(header) == len(set(header))
    columns = pyarrow.parquet.read_table(io.BytesIO(client.get(f"{TRIALS}?format=parquet").content)).column_names
    assert columns == header


def test_a_metric_with_a_parameters_name_is_not_lost(ledger, client_of):
    """If a metric and a parameter share a name, the name without a prefix refers to the parameter.

    The metric is called `metrics.NAME`.
    """
    ledger.studies.put(STUDY, {}, cells={})
    trial = trial_config(CELLS[0])
    token = ledger.trials.request(STUDY, "phase1", record=as_record(trial))
    ledger.trials.complete(STUDY, "phase1", key=trial.key, token=token, metrics={"signals": 50.0, "val_accuracy": 0.5})
    client = client_of(ledger)
    (row,) = client.get(f"{TRIALS}?fields=signals,metrics.signals,parameters.lr").json()["trials"]
    assert row == {"signals": "digits8", "metrics.signals": 50.0, "parameters.lr": 1e-3}
    assert len(client.get(f"{TRIALS}?filter=metrics.signals=50&sort=-metrics.signals").json()["trials"]) == 1
    (line,) = csv.DictReader(io.StringIO(client.get(f"{TRIALS}?format=csv").text))
    assert (line["signals"], line["metrics.signals"]) == ("digits8", "50.0")
    assert "metrics.val_accuracy" not in line


def test_a_trial_has_its_curves_and_artifacts(client, filled, keys):
    """The response for a single trial has the curves, artifacts and fingerprint from the ledger.

    It also has an ETag.
    """
    trial = client.get(f"/v1/trials/{keys[0]}").json()
    held = filled[0].trials.curves(STUDY, "phase2", key=keys[0])
    assert {name: [tuple(pair) for pair in pairs] for name, pairs in trial["curves"].items()} == held
    assert trial["artifacts"] == ["reconstruction.png"]
    assert trial["fingerprint"] == {"engine": "eager"}
    assert client.get(f"/v1/trials/{keys[0]}?study=other").status_code == 404
    response = client.get(f"/v1/trials/{keys[0]}")
    TrialDetail.model_validate_json(response.content, strict=False)
    labels = response.json()["labels"]
    assert set(labels) == {*response.json()["metrics"], *response.json()["curves"]}
    assert labels["all_psnr"] == {"label": "PSNR", "unit": "dB", "digits": 2, "split": "all"}
    again = client.get(f"/v1/trials/{keys[0]}", headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_picture_is_served_and_only_as_a_picture(client, keys):
    """A trial's picture is served as PNG, with `nosniff`."""
    response = client.get(f"/v1/trials/{keys[0]}/artifacts/reconstruction.png")
    assert response.status_code == 200
    assert response.content.startswith(b"\x89PNG")
    assert response.headers["content-type"] == "image/png"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "name", ["../ledger.db", "ledger.db", "..%2fledger.db", "%2e%2e/ledger.db", "reconstruction.svg"]
)
def test_no_other_file_is_served(client, keys, name):
    """A file name that is not among the trial's artifacts gets 404 or 422."""
    assert client.get(f"/v1/trials/{keys[0]}/artifacts/{name}").status_code in (404, 422)


def test_numbers_json_cannot_hold_are_null(ledger, client_of):
    """NaN and infinity in a trial's metrics and curves become null."""
    ledger.studies.put(STUDY, {}, cells=as_cells({("phase1", CELLS[0]): 1}))
    trial = trial_config(CELLS[0])
    token = ledger.trials.request(STUDY, "phase1", record=as_record(trial))
    bad = {"train_loss": float("nan"), "all_psnr": float("inf"), "val_accuracy": 0.5}
    ledger.trials.complete(
        STUDY, "phase1", key=trial.key, token=token, metrics=bad, curves={"val_loss": [(1, float("nan"))]}
    )
    client = client_of(ledger)
    (row,) = client.get(f"{TRIALS}?state={TrialState.COMPLETE}").json()["trials"]
    assert (row["metrics"]["train_loss"], row["metrics"]["all_psnr"], row["score"]) == (None, None, 0.5)
    assert client.get(f"/v1/trials/{trial.key}").json()["curves"] == {"val_loss": [[1, None]]}
    assert client.get(f"/v1/studies/{STUDY}/figures/ladders").json()["of"] == 0


def test_a_failed_trial_shows_the_end_of_its_log(ledger, client_of, tmp_path):
    """A failed trial shows the last lines of its log, without directories.

    Other trials show no log.
    """
    from ..small_study import trial_config

    ledger.studies.put(STUDY, {}, cells={})
    for cell, cause in ((CELLS[0], "bug"), (CELLS[1], None)):
        trial = trial_config(cell)
        token = ledger.trials.request(STUDY, "phase1", record=as_record(trial))
        if cause:
            ledger.trials.fail(STUDY, "phase1", key=trial.key, token=token, cause=cause, error="x")
        else:
            ledger.trials.complete(STUDY, "phase1", key=trial.key, token=token, metrics={"val_accuracy": 0.5})
        log = tmp_path / "trials" / trial.key / "log.txt"
        log.parent.mkdir(parents=True)
        log.write_text("early\n" * 100 + 'Traceback\n  File "/secret/place/mine.py", line 3\nZeroDivisionError')
        lines = client_of(ledger, root=tmp_path).get(f"/v1/trials/{trial.key}").json()["log"]
        if cause:
            assert lines[-3:] == ["Traceback", '  File "mine.py", line 3', "ZeroDivisionError"]
            assert len(lines) == 25
        else:
            assert lines == []
