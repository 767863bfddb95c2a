"""Tests that MLflow works under a root of any name."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from nefstudy.ledger import Ledger
from nefstudy.paths import trial_file
from nefstudy.tracking.export import drain
from nefstudy.tracking.store import store_of

from ..ledger.records import as_record, cell_of

pytestmark = pytest.mark.mlflow


@pytest.mark.parametrize("name", ["run?lr=1 #50%", "a%41b größe;[x]"])
def test_a_picture_is_found_under_a_root_of_any_name(tmp_path, empty_store, make, name):
    """A run's artifacts are under the root, and MLflow lists and reads them."""
    root = tmp_path / "roots" / name
    root.mkdir(parents=True)
    shutil.copy(empty_store, root / "mlflow.db")
    trial = make()
    path = trial_file(trial.key, "reconstruction.png")
    (root / path).parent.mkdir(parents=True)
    (root / path).write_bytes(b"picture")
    with Ledger.open(str(root / "ledger.db")) as ledger:
        ledger.studies.put("s", {}, cells={})
        token = ledger.trials.request("s", "phase1", record=as_record(trial))
        ledger.trials.complete(
            "s", "phase1", key=trial.key, token=token, metrics={"val_accuracy": 0.5},
            artifacts={"reconstruction.png": path},
        )  # fmt: skip
        assert drain(ledger, root=str(root)) == 0
    client = MlflowClient(tracking_uri=store_of(str(root)))
    experiment = client.get_experiment_by_name(f"s/{cell_of(trial)}/phase1")
    (run,) = client.search_runs([experiment.experiment_id])
    assert [artifact.path for artifact in client.list_artifacts(run.info.run_id)] == ["reconstruction.png"]
    kept = client.download_artifacts(run.info.run_id, "reconstruction.png", str(tmp_path))
    assert Path(kept).read_bytes() == b"picture"
    assert len(list((root / "mlartifacts").rglob("reconstruction.png"))) == 1
    assert [folder.name for folder in (tmp_path / "roots").iterdir()] == [name]
