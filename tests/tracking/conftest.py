"""A ledger with results, and a real MLflow store to which they are exported."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nefstudy.config import FieldConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.ledger import Ledger
from nefstudy.tasks.classification import ClassificationConfig
from nefstudy.tracking.store import store_of

from ..ledger.records import as_record


@pytest.fixture
def root(mlflow_root: str) -> str:
    """Return a root with an initialized MLflow store."""
    return mlflow_root


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.studies.put("digits", {}, cells={})
        yield ledger


class Search:
    """A function that searches the MLflow store of a root for the active runs of an experiment."""

    def __init__(self, root: str) -> None:
        from mlflow import MlflowClient

        self.root = root
        self.client = MlflowClient(tracking_uri=store_of(root))

    def __call__(self, experiment: str = "digits/digits8/siren/phase1", where: str = "") -> list:
        known = self.client.get_experiment_by_name(experiment)
        return self.client.search_runs([known.experiment_id], filter_string=where) if known else []


@pytest.fixture
def runs(root: str) -> Search:
    """Return a function that searches the active runs of an experiment in the test's store."""
    return Search(root)


@pytest.fixture
def make() -> Callable[..., ClassificationConfig]:
    """Return a function that makes trials that differ by seed or field."""

    def made(seed: int = 0, *, field: str = "siren") -> ClassificationConfig:
        signals = SignalsConfig(name="digits8", content="c0ffee")
        of_field = FieldConfig(name=field, params={"hidden": 16, "omega_0": 9.0})
        dataset = NeuralDatasetConfig(signals=signals, field=of_field, init="shared")
        return ClassificationConfig(dataset=dataset, steps=75, seed=seed)

    return made


@pytest.fixture
def finish(make) -> Callable[..., ClassificationConfig]:
    """Return a function that requests, starts and completes a trial of phase 1."""

    def run(ledger: Ledger, seed: int = 0, **options) -> ClassificationConfig:
        made = make(seed)
        token = ledger.trials.request("digits", "phase1", record=as_record(made))
        ledger.trials.start("digits", "phase1", key=made.key, token=token)
        metrics = {"val_accuracy": 0.1 + seed / 100, "test_accuracy": 0.1, "all_psnr": 20.0 + seed}
        ledger.trials.complete("digits", "phase1", key=made.key, token=token, **({"metrics": metrics} | options))
        return made

    return run


@pytest.fixture
def picture(root) -> Callable[[], dict[str, str]]:
    """Return a function that writes a picture under the root and returns artifacts that include the picture."""

    def write() -> dict[str, str]:
        Path(root, "trials").mkdir(exist_ok=True)
        Path(root, "trials", "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        return {"reconstruction.png": "trials/a.png", "weights.safetensors": "trials/a.safetensors"}

    return write
