"""Replicates over REST: means over seeds with their intervals."""

import pytest

from ..ledger.records import as_record
from .conftest import CELLS, STUDY, trial_config


def test_means_over_seeds_have_intervals(ledger, client_of):
    """Two seeds of a setting: n, mean, bounds at 95 %; none for a study of one seed."""
    ledger.studies.put(STUDY, {}, cells={})
    client = client_of(ledger)
    path = f"/v1/studies/{STUDY}/replicates"
    for number, accuracy in enumerate((0.70, 0.74)):
        trial = trial_config(CELLS[0])
        trial = trial.model_copy(update={"seed": number, "dataset": trial.dataset.model_copy(update={"seed": number})})
        token = ledger.trials.request(STUDY, "phase2", record=as_record(trial))
        metrics = {"val_accuracy": accuracy, "test_accuracy": accuracy, "all_psnr": 20.0 + number}
        ledger.trials.complete(STUDY, "phase2", key=trial.key, token=token, metrics=metrics)
        if number == 0:
            assert client.get(path).json() == {"confidence": 0.95, "rows": []}
    (row,) = client_of(ledger).get(path).json()["rows"]
    assert (row["cell"], row["phase"], len(row["keys"])) == (CELLS[0], "phase2", 2)
    mean = row["val_accuracy"]
    assert (mean["n"], mean["mean"]) == (2, pytest.approx(0.72))
    assert mean["high"] - mean["mean"] == pytest.approx(12.7062 * 0.02, rel=1e-4)
    assert mean["mean"] - mean["low"] == pytest.approx(mean["high"] - mean["mean"])
    assert row["quality"]["mean"] == 20.5
    assert client_of(ledger).get(f"{path}?phase=phase1").json()["rows"] == []
    assert client.get("/v1/studies/nope/replicates").status_code == 404
