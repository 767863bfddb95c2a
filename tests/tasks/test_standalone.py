"""Tests of classifiers outside a study: a saved classifier reproduces the accuracy of its trial."""

import csv
import json
import time
from dataclasses import replace

import pytest
import torch

from nefstudy.cli.main import cli
from nefstudy.config import ClassifierConfig, FieldConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.errors import BadConfig, BadNeuralDataset
from nefstudy.fields.catalog import complete
from nefstudy.ledger import Ledger
from nefstudy.neural_dataset.read import open_neural_dataset
from nefstudy.tasks.classification import ClassificationConfig, run_classification
from nefstudy.tasks.setting import Setting
from nefstudy.tasks.standalone import check_splits, classify_datasets, predict

from ..ledger.records import as_record

pytestmark = pytest.mark.slow


GNN = ClassifierConfig(
    name="gnn", params={"width": 16, "steps": 2, "node_hidden": 32, "edge_hidden": 32}, epochs=3, lr=5e-3
)


def trial(
    *, views: int = 1, hidden: int = 8, seed: int = 0, split_seed: int = 1, without_test: bool = False
) -> ClassificationConfig:
    """Return a small classification trial on bundled digits."""
    dataset = NeuralDatasetConfig(
        signals=SignalsConfig(name="digits8", subset=120, split_seed=split_seed, without_test=without_test),
        field=complete(FieldConfig(name="siren", params={"hidden": hidden})),
        init="shared" if views == 1 else "random",
        views=views,
        seed=seed,
    )
    return ClassificationConfig(dataset=dataset, steps=4, classifier=ClassifierConfig(name="mlp", epochs=2))


def run(config: ClassificationConfig, root):
    """Run a trial whose ladder has the rungs 2 and 4."""
    ladders = {config.dataset.digest: (2, 4)}
    return run_classification(config, setting=Setting(root=str(root), clock=time.monotonic, ladders=ladders))


@pytest.mark.parametrize("views", [1, 2])
def test_the_accuracies_of_the_trial_are_reproduced(tmp_path, views):
    """A saved classifier reproduces the trial's accuracy on every split, with one prediction per signal."""
    config = trial(views=views)
    metrics = run(config, tmp_path).metrics
    for split in ("train", "val", "test"):
        predictions = predict(str(tmp_path), config.key, config=config.model_dump(mode="json"), split=split)
        assert predictions.accuracy == metrics[f"{split}_accuracy"]
        assert predictions.interval[0] < predictions.accuracy < predictions.interval[1]
        assert len(set(predictions.signals.tolist())) == len(predictions.signals), "one row per signal"
        correct = [row["label"] == row["predicted"] for row in predictions.rows()]
        assert sum(correct) / len(correct) == predictions.accuracy


def test_another_rung_and_another_neural_dataset_are_classified(tmp_path):
    """A saved classifier accepts other rungs and datasets of the same field, but not fields of a different width."""
    own, other, wider = trial(), trial(seed=1), trial(hidden=16)
    for config in (own, other, wider):
        run(config, tmp_path)
    values = own.model_dump(mode="json")
    predictions = predict(str(tmp_path), own.key, config=values)
    shorter = predict(str(tmp_path), own.key, config=values, steps=2)
    elsewhere = predict(str(tmp_path), own.key, config=values, dataset=other.dataset.digest)
    assert (shorter.steps, elsewhere.dataset) == (2, other.dataset.digest)
    assert not shorter.probabilities.equal(predictions.probabilities)
    assert not elsewhere.probabilities.equal(predictions.probabilities)
    with pytest.raises(BadConfig, match="train one"):
        predict(str(tmp_path), own.key, config=values, dataset=wider.dataset.digest)


def test_missing_files_and_unknown_splits_are_named(tmp_path):
    """The error names the trial without a classifier, the unknown split or the missing neural dataset."""
    config = trial()
    values = config.model_dump(mode="json")
    with pytest.raises(BadConfig, match=config.key):
        predict(str(tmp_path), config.key, config=values)
    run(config, tmp_path)
    with pytest.raises(BadConfig, match="'tset'"):
        predict(str(tmp_path), config.key, config=values, split="tset")  # type: ignore[arg-type]
    with pytest.raises(BadNeuralDataset, match="0" * 12):
        predict(str(tmp_path), config.key, config=values, dataset="0" * 16)


def test_the_command_prints_and_writes_predictions(tmp_path, capsys):
    """`nefstudy predict KEY` prints the accuracy and its interval; `--out` writes one CSV row per signal."""
    config = trial()
    result = run(config, tmp_path)
    url = f"sqlite:///{tmp_path}/ledger.db"
    with Ledger.open(url) as ledger:
        ledger.studies.put("s", {}, cells={})
        token = ledger.trials.request("s", "phase2", record=as_record(config))
        recorded = {"metrics": result.metrics, "curves": result.curves, "fingerprint": result.provenance}
        ledger.trials.complete("s", "phase2", key=config.key, token=token, **recorded)
    out, where = tmp_path / "predictions.csv", ["--root", str(tmp_path), "--ledger", url]
    cli(["predict", config.key, "--out", str(out), *where], standalone_mode=False)
    output = capsys.readouterr().out
    assert f"test accuracy {result.metrics['test_accuracy']:.3f} (n = " in output
    assert "95 % interval" in output
    cli(["predict", config.key, "--json", *where], standalone_mode=False)
    answer = json.loads(capsys.readouterr().out)
    with out.open(newline="") as file:
        assert len(list(csv.DictReader(file))) == answer["n"] == len(answer["predictions"])


def digests(root, **changes) -> list[str]:
    """Fit fields of width 4, and fields with the given changes; return the digests of both neural datasets."""
    trials = trial(hidden=4), trial(**changes)
    for config in trials:
        run(config, root)
    return [config.dataset.digest for config in trials]


def test_one_classifier_is_trained_on_fields_of_two_widths(tmp_path, capsys):
    """A classifier trained on fields of two widths gets one accuracy per dataset. Equal seeds give equal results."""
    given = digests(tmp_path)
    found = classify_datasets(str(tmp_path), given, steps=None, classifier=GNN)
    assert found == classify_datasets(str(tmp_path), given, steps=None, classifier=GNN)
    assert found != classify_datasets(str(tmp_path), given, steps=None, classifier=GNN, seed=1)
    assert [row["dataset"] for row in found["datasets"]] == given
    assert [row["steps"] for row in found["datasets"]] == [4, 4]
    counts = {row["test_n"] for row in (found, *found["datasets"])}
    assert len(counts) == 1, "both datasets hold the same test signals"
    mean = sum(row["test_accuracy"] for row in found["datasets"]) / 2
    assert found["test_accuracy"] == pytest.approx(mean)
    for row in (found, *found["datasets"]):
        assert row["test_interval"][0] <= row["test_accuracy"] <= row["test_interval"][1]
    words = ["dataset", "classify", *given, "--classifier", "gnn", "--epochs", "1", "--root", str(tmp_path)]
    cli(words, standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["gnn:", *given]
    assert all(f"(n = {min(counts)}, 95 % interval " in line for line in lines)
    cli([*words, "--json"], standalone_mode=False)
    assert [row["dataset"] for row in json.loads(capsys.readouterr().out)["datasets"]] == given


def test_a_repeated_digest_and_one_architecture_take_the_dense_path(tmp_path):
    """A repeated digest counts once. An MLP can be trained on two neural datasets of one architecture."""
    narrow, other = trial(), trial(seed=1)
    for config in (narrow, other):
        run(config, tmp_path)
    one, two = narrow.dataset.digest, other.dataset.digest
    flat = ClassifierConfig(name="mlp", epochs=2)
    once = classify_datasets(str(tmp_path), [one], steps=2, classifier=flat)
    assert once == classify_datasets(str(tmp_path), [one, one], steps=2, classifier=flat)
    both = classify_datasets(str(tmp_path), [one, two], steps=2, classifier=flat)
    assert [row["dataset"] for row in both["datasets"]] == [one, two]


def test_neural_datasets_that_do_not_go_together_are_refused(tmp_path):
    """An error is raised if neural datasets differ in splits or content hashes, or in architecture for an MLP."""
    given = digests(tmp_path)
    with pytest.raises(BadConfig, match=r"'mlp' .*2 architectures: .*'gnn'"):
        classify_datasets(str(tmp_path), given, steps=None, classifier=ClassifierConfig(name="mlp", epochs=1))
    elsewhere = digests(tmp_path, split_seed=2)
    with pytest.raises(BadConfig, match=r"content hashes .*differ"):
        classify_datasets(str(tmp_path), elsewhere, steps=None, classifier=GNN)
    datasets = [open_neural_dataset(str(tmp_path), digest) for digest in given]
    rungs = [dataset.rung(4) for dataset in datasets]
    check_splits(datasets, rungs)
    ids, split = rungs[1].ids, rungs[1].split
    moved = replace(rungs[1], split=torch.where(ids == ids[7], (split + 1) % 3, split))
    with pytest.raises(BadConfig, match=f"signal {int(ids[7])} .*split of {given[1]} "):
        check_splits(datasets, [rungs[0], moved])


def test_neural_datasets_without_test_signals_are_scored_on_validation(tmp_path, capsys):
    """A classifier of fields without test signals reports validation accuracy, and predicts every split but `test`."""
    config = trial(without_test=True)
    run(config, tmp_path)
    digest, flat = config.dataset.digest, ClassifierConfig(name="mlp", epochs=1)
    found = classify_datasets(str(tmp_path), [digest], steps=None, classifier=flat)
    assert found["split"] == "val"
    assert not [name for row in (found, *found["datasets"]) for name in row if name.startswith("test")]
    assert found["val_accuracy"] == found["datasets"][0]["val_accuracy"]
    assert found["val_n"] == found["datasets"][0]["val_n"] > 0
    words = ["dataset", "classify", digest, "--classifier", "mlp", "--epochs", "1", "--root", str(tmp_path)]
    cli(words, standalone_mode=False)
    first, second = capsys.readouterr().out.splitlines()
    assert f", val {found['val_accuracy']:.3f} (n = {found['val_n']}, 95 % interval " in first
    assert "test" not in first + second
    values = config.model_dump(mode="json")
    assert len(predict(str(tmp_path), config.key, config=values, split="val").signals) == found["val_n"]
    with pytest.raises(BadConfig, match=f"{digest} has no test signals.*--split val"):
        predict(str(tmp_path), config.key, config=values)
    tested = trial(seed=1)
    run(tested, tmp_path)
    with pytest.raises(BadConfig, match="split"):
        classify_datasets(str(tmp_path), [digest, tested.dataset.digest], steps=None, classifier=flat)


def test_signals_with_and_without_a_test_split_are_not_mixed(tmp_path):
    """Neural datasets without a signal in common are refused if only some of them have test signals."""
    one, other = trial(), trial(without_test=True)
    for config in (one, other):
        run(config, tmp_path)
    datasets = [open_neural_dataset(str(tmp_path), config.dataset.digest) for config in (one, other)]
    rungs = [dataset.rung(4) for dataset in datasets]
    apart = replace(rungs[1], ids=rungs[1].ids + 10_000)
    with pytest.raises(BadConfig, match=f"{other.dataset.digest} have no test signals"):
        check_splits(datasets, [rungs[0], apart])
