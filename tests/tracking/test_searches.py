"""The searches that dashboards/mlflow.md recommends find what they say, in a real MLflow."""

import re
from pathlib import Path

import pytest

from nefstudy.config import FieldConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.tasks.classification import ClassificationConfig
from nefstudy.tracking import drain, store_of

from ..ledger.records import as_record

PAGE = (Path(__file__).parents[2] / "dashboards" / "mlflow.md").read_text()
SEARCHES = re.findall(r"```text\n\s*(.+?)\n\s*```", PAGE)
(SNIPPET,) = re.findall(r"```python\n(.+?)```", PAGE, flags=re.DOTALL)
STUDY, PHASE = "digits", "phase2"

pytestmark = pytest.mark.mlflow


def asked(*, init: str, hidden: int, steps: int) -> ClassificationConfig:
    """A trial of the grid."""
    field = FieldConfig(name="siren", params={"hidden": hidden})
    dataset = NeuralDatasetConfig(signals=SignalsConfig(name="digits8"), field=field, init=init)
    return ClassificationConfig(dataset=dataset, steps=steps)


@pytest.fixture
def exported(ledger, root) -> dict[str, dict[str, float]]:
    """Scores by key of eight complete trials, exported beside two failures of different causes."""
    scores = {}
    for init in ("shared", "random"):
        for hidden in (16, 32):
            for steps in (75, 1000):
                trial = asked(init=init, hidden=hidden, steps=steps)
                token = ledger.trials.request(STUDY, PHASE, record=as_record(trial))
                ledger.trials.start(STUDY, PHASE, key=trial.key, token=token)
                accuracy = (0.9 if init == "shared" else 0.6) - (0.2 if steps == 1000 else 0.0)
                metrics = {
                    "val_accuracy": accuracy,
                    "test_accuracy": accuracy,
                    "all_psnr": 15.0 if steps == 75 else 30.0,
                }
                ledger.trials.complete(STUDY, PHASE, key=trial.key, token=token, metrics=metrics)
                scores[trial.key] = metrics
    for number, cause in enumerate(("oom", "nan")):
        failing = asked(init="random", hidden=64, steps=5 + number)
        token = ledger.trials.request(STUDY, PHASE, record=as_record(failing))
        ledger.trials.fail(STUDY, PHASE, key=failing.key, token=token, cause=cause, error="9 GiB wanted")
    assert drain(ledger, root=root) == 0
    return scores


def test_the_five_searches_find_what_they_say(ledger, runs, exported):
    """Each finds the trials its sentence speaks of and no other."""
    assert len(SEARCHES) == 5
    rows = {row.key: row for row in ledger.trials.page(STUDY, limit=None).rows}
    one = next(iter(exported))
    good, setting, overtrained, failed, together = (
        {run.data.tags["nefstudy.key"] for run in runs(f"{STUDY}/digits8/siren/{PHASE}", where)}
        for where in (search.replace("DIGEST", rows[one].dataset) for search in SEARCHES)
    )
    assert good == {
        key for key in exported if rows[key].parameters["init"] == "shared" and exported[key]["test_accuracy"] > 0.8
    }
    assert setting == {
        key for key in exported if rows[key].parameters["hidden"] == 32 and rows[key].parameters["steps"] == 1000
    }
    assert overtrained == {
        key for key in exported if rows[key].parameters["init"] == "random" and rows[key].parameters["steps"] == 1000
    }
    assert failed == {key for key, row in rows.items() if row.cause == "oom"}
    assert together == {key for key in exported if rows[key].dataset == rows[one].dataset}
    assert [len(found) for found in (good, setting, overtrained, failed, together)] == [2, 2, 2, 1, 2]


def test_the_snippet_runs(root, exported, capsys, monkeypatch):
    """The Python of the page, as it stands, prints the two best trials."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_of(root))
    names: dict[str, object] = {}
    exec(compile(SNIPPET, "mlflow.md", "exec"), names)
    assert len(names["found"]) == 2
    assert capsys.readouterr().out.count("digits8/siren") == 2


def test_the_page_names_what_a_run_carries(runs, exported):
    """Every tag that the page lists is on a run."""
    (listed,) = re.findall(r"what people filter by \((.+?)\)", PAGE, flags=re.DOTALL)
    (run, *_) = runs(f"{STUDY}/digits8/siren/{PHASE}", SEARCHES[3])
    assert set(re.findall(r"`(\w+)`", listed)) <= set(run.data.tags)
