"""Tests that the searches in dashboards/mlflow.md find what is described there, in a real MLflow store."""

import re
from pathlib import Path
from typing import Any

import pytest

from nefstudy.config import FieldConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.tasks.classification import ClassificationConfig
from nefstudy.tracking.export import drain
from nefstudy.tracking.store import store_of

from ..ledger.records import as_record

PAGE = (Path(__file__).parents[2] / "dashboards" / "mlflow.md").read_text()
SEARCHES = re.findall(r"```text\n\s*(.+?)\n\s*```", PAGE)
(SNIPPET,) = re.findall(r"```python\n(.+?)```", PAGE, flags=re.DOTALL)
STUDY, PHASE = "digits", "phase2"

pytestmark = pytest.mark.mlflow


def trial_of(*, init: str, hidden: int, steps: int) -> ClassificationConfig:
    """Return a trial of the grid."""
    field = FieldConfig(name="siren", params={"hidden": hidden})
    dataset = NeuralDatasetConfig(signals=SignalsConfig(name="digits8"), field=field, init=init)
    return ClassificationConfig(dataset=dataset, steps=steps)


@pytest.fixture
def exported(ledger, root) -> dict[str, dict[str, float]]:
    """Export eight complete trials and two failures; return the complete trials' metrics by trial key."""
    scores = {}
    for init in ("shared", "random"):
        for hidden in (16, 32):
            for steps in (75, 1000):
                trial = trial_of(init=init, hidden=hidden, steps=steps)
                token = ledger.trials.request(STUDY, PHASE, record=as_record(trial))
                ledger.trials.start(STUDY, PHASE, key=trial.key, token=token)
                accuracy = (0.9 if init == "shared" else 0.6) - (0.2 if steps == 1000 else 0.0)
                metrics = {
                    "val_accuracy": accuracy,
                    "test_accuracy": 0.85,  # searches select by validation
                    "all_psnr": 15.0 if steps == 75 else 30.0,
                }
                ledger.trials.complete(STUDY, PHASE, key=trial.key, token=token, metrics=metrics)
                scores[trial.key] = metrics
    for number, cause in enumerate(("oom", "nan")):
        failing = trial_of(init="random", hidden=64, steps=5 + number)
        token = ledger.trials.request(STUDY, PHASE, record=as_record(failing))
        ledger.trials.fail(STUDY, PHASE, key=failing.key, token=token, cause=cause, error="9 GiB wanted")
    assert drain(ledger, root=root) == 0
    return scores


def test_the_five_searches_match_their_descriptions(ledger, runs, exported):
    """Each search in dashboards/mlflow.md finds exactly the trials that its description specifies."""
    assert len(SEARCHES) == 5
    rows = {row.key: row for row in ledger.trials.page(STUDY, limit=None).rows}
    one = next(iter(exported))
    good, setting, overfitted, failed, same_dataset = (
        {run.data.tags["nefstudy.key"] for run in runs(f"{STUDY}/digits8/siren/{PHASE}", where)}
        for where in (search.replace("DIGEST", rows[one].dataset) for search in SEARCHES)
    )
    assert good == {
        key for key in exported if rows[key].parameters["init"] == "shared" and exported[key]["val_accuracy"] > 0.8
    }
    assert setting == {
        key for key in exported if rows[key].parameters["hidden"] == 32 and rows[key].parameters["steps"] == 1000
    }
    assert overfitted == {
        key for key in exported if rows[key].parameters["init"] == "random" and rows[key].parameters["steps"] == 1000
    }
    assert failed == {key for key, row in rows.items() if row.cause == "oom"}
    assert same_dataset == {key for key in exported if rows[key].dataset == rows[one].dataset}
    assert [len(keys) for keys in (good, setting, overfitted, failed, same_dataset)] == [2, 2, 2, 1, 2]


def test_the_snippet_runs(root, exported, capsys, monkeypatch):
    """The Python code in dashboards/mlflow.md runs unchanged and prints the two best trials."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_of(root))
    names: dict[str, Any] = {}
    exec(compile(SNIPPET, "mlflow.md", "exec"), names)
    assert len(names["runs"]) == 2
    assert capsys.readouterr().out.count("digits8/siren") == 2


def test_the_page_lists_the_tags_of_a_run(runs, exported):
    """A run has every tag that dashboards/mlflow.md lists."""
    (listed,) = re.findall(r"values to filter by \((.+?)\)", PAGE, flags=re.DOTALL)
    (run, *_) = runs(f"{STUDY}/digits8/siren/{PHASE}", SEARCHES[3])
    assert set(re.findall(r"`(\w+)`", listed)) <= set(run.data.tags)
