"""Tests of comparisons of two studies, which pair the configurations that both studies ran."""

import csv
import math

import numpy as np
import pytest
from PIL import Image

from nefstudy.config import ClassifierConfig, FieldConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.insight.questions import comparison
from nefstudy.ledger import Ledger
from nefstudy.report.comparison_page import compare, write_comparison
from nefstudy.report.report import write_report
from nefstudy.tasks.classification import ClassificationConfig

from ..ledger.records import as_record
from ..present import present


def config(*, steps: int, classifier: str = "mlp", seed: int = 0) -> ClassificationConfig:
    dataset = NeuralDatasetConfig(
        signals=SignalsConfig(name="digits8"), field=FieldConfig(name="siren"), init="shared", seed=seed
    )
    return ClassificationConfig(dataset=dataset, steps=steps, classifier=ClassifierConfig(name=classifier), seed=seed)


def finish(ledger: Ledger, study: str, trial: ClassificationConfig, *, accuracy: float) -> None:
    with pytest.MonkeyPatch.context() as before:  # as accepted by versions without the rule for names
        before.setattr("nefstudy.ledger.studies.study_name", str)
        ledger.studies.put(study, {}, cells={})
    token = ledger.trials.request(study, "phase2", record=as_record(trial))
    metrics = {"val_accuracy": accuracy, "test_accuracy": accuracy - 0.1, "all_psnr": 20.0}
    ledger.trials.complete(study, "phase2", key=trial.key, token=token, metrics=metrics)


@pytest.fixture
def two(tmp_path):
    """Yield studies `a` and `b <&>` in two ledgers; three settings are common, and each study has one more."""
    left, right = (Ledger.open(f"sqlite:///{tmp_path}/{name}.db") for name in ("left", "right"))
    with left, right:
        for steps, accuracy in ((5, 0.5), (25, 0.6), (75, 0.7), (200, 0.9)):
            finish(left, "a", config(steps=steps), accuracy=accuracy)
        for steps, accuracy in ((5, 0.53), (25, 0.61), (75, 0.75), (1000, 0.95)):
            finish(right, "b <&>", config(steps=steps), accuracy=accuracy)
        yield (left, "a"), (right, "b <&>")


def test_pairs_are_common_configurations(two):
    """The mean difference and its t interval are computed over the three common configurations.

    Swapping the studies flips the sign.
    """
    result = compare(*two)
    assert len(result.pairs) == 3
    difference = present(result.differences(None, "test_accuracy"))
    assert difference.n == 3
    assert difference.mean == pytest.approx(0.03)
    assert difference.half == pytest.approx(4.30265 * 0.02 / math.sqrt(3), rel=1e-4)
    swapped = present(compare(two[1], two[0]).differences(("phase2", "digits8/siren"), "test_accuracy"))
    assert (swapped.mean, swapped.half) == pytest.approx((-0.03, difference.half))
    _, body = comparison.differences(result).texts()
    assert [line[:4] for line in body] == [
        ["digits8/siren", "phase2", "3", "+0.0300 ± 0.0497"],
        ["all", "", "3", body[0][3]],
    ]


def test_cells_show_the_best_and_the_mean_of_each(two):
    """For each study, the table shows the accuracies of the best trial and the mean accuracy over all trials.

    The best trial is the one with the best validation score.
    """
    _, body = comparison.cells(compare(*two)).texts()
    assert body[0] == ["digits8/siren", "phase2", "a", "0.900", "0.800", "0.575 ± 0.171", "4"]
    assert body[1][:5] == ["digits8/siren", "phase2", "b <&>", "0.950", "0.850"]


def test_parameters_can_be_ignored_for_pairing(two):
    """If pairing ignores classifiers, trials with different classifiers can form a pair.

    A pair compares means over seeds.
    """
    (ledger, _), _ = two
    for seed in (0, 1):
        finish(ledger, "c", config(steps=5, classifier="gnn", seed=seed), accuracy=0.6 + 0.02 * seed)
    assert compare((ledger, "a"), (ledger, "c")).pairs == ()
    (pair,) = compare((ledger, "a"), (ledger, "c"), without=["classifier"]).pairs
    assert (len(pair.left), len(pair.right)) == (1, 2)
    assert pair.difference("val_accuracy") == pytest.approx(0.11)


def test_the_page_is_complete_and_self_contained(two, tmp_path):
    """The page of a comparison needs no other file and escapes names.

    A CSV file lists every pair, and writing the comparison again yields identical files.
    """
    page = write_comparison(compare(*two), tmp_path / "out")
    text = page.read_text()
    assert "b &lt;&amp;&gt;" in text
    assert "<&>" not in text
    assert "+0.0300 ± 0.0497" in text
    assert "http" not in text.replace("http-equiv", "")
    with (tmp_path / "out" / "pairs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(float(row["difference_test_accuracy"]) for row in rows) == pytest.approx([0.01, 0.03, 0.05])
    with Image.open(tmp_path / "out" / "pairs.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 3
    before = {path.name: path.read_bytes() for path in page.parent.iterdir()}
    write_comparison(compare(*two), tmp_path / "out")
    assert {path.name: path.read_bytes() for path in page.parent.iterdir()} == before


def test_a_report_shows_means_over_seeds(two, tmp_path):
    """If a setting has two seeds, the report shows its mean, interval and n, on the page and as CSV.

    If every setting has a single seed, the report has no such table.
    """
    (ledger, _), _ = two
    single = write_report(ledger, "a", root=tmp_path, out=tmp_path / "single")
    assert "Replicates" not in single.read_text()
    assert not (tmp_path / "single" / "replicates.csv").exists()
    finish(ledger, "a", config(steps=5, seed=1), accuracy=0.54)
    text = write_report(ledger, "a", root=tmp_path, out=tmp_path / "both").read_text()
    assert "Replicates" in text
    assert "0.520 ± 0.254" in text
    assert "95 % confidence interval" in text
    with (tmp_path / "both" / "replicates.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["n"] == "2"
    assert float(row["test_accuracy.mean"]) == pytest.approx(0.42)


def test_no_common_configuration_is_reported(two, tmp_path):
    """If two studies share no configuration, the page states this and suggests `--without classifier`.

    An unknown study is an error.
    """
    (ledger, _), _ = two
    finish(ledger, "d", config(steps=7), accuracy=0.5)
    text = write_comparison(compare((ledger, "a"), (ledger, "d")), tmp_path).read_text()
    assert "share no configuration" in text
    assert "--without classifier" in text
    with pytest.raises(BadConfig, match=r"'nope'.*: a"):
        compare((ledger, "a"), (ledger, "nope"))
