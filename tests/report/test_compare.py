"""Laws of a comparison: pairs are what both have run, differences are paired, intervals are Student's."""

import csv
import math

import numpy as np
import pytest
from PIL import Image

from nefstudy.config import ClassifierConfig, FieldConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.insight import comparison
from nefstudy.ledger import Ledger
from nefstudy.report.comparison_page import compare, write_comparison
from nefstudy.report.report import write_report
from nefstudy.tasks.classification import ClassificationConfig

from ..ledger.records import as_record


def config(*, steps: int, classifier: str = "mlp", seed: int = 0) -> ClassificationConfig:
    dataset = NeuralDatasetConfig(
        signals=SignalsConfig(name="digits8"), field=FieldConfig(name="siren"), init="shared", seed=seed
    )
    return ClassificationConfig(dataset=dataset, steps=steps, classifier=ClassifierConfig(name=classifier), seed=seed)


def finish(ledger: Ledger, study: str, trial: ClassificationConfig, *, accuracy: float) -> None:
    with pytest.MonkeyPatch.context() as before:  # as versions before the rule of names wrote it
        before.setattr("nefstudy.ledger.studies.study_name", str)
        ledger.studies.put(study, {}, cells={})
    token = ledger.trials.request(study, "phase2", record=as_record(trial))
    metrics = {"val_accuracy": accuracy, "test_accuracy": accuracy - 0.1, "all_psnr": 20.0}
    ledger.trials.complete(study, "phase2", key=trial.key, token=token, metrics=metrics)


@pytest.fixture
def two(tmp_path):
    """Two ledgers: what `a` found, and what `b` found elsewhere for three of its four settings and one more."""
    left, right = (Ledger.open(f"sqlite:///{tmp_path}/{name}.db") for name in ("left", "right"))
    with left, right:
        for steps, accuracy in ((5, 0.5), (25, 0.6), (75, 0.7), (200, 0.9)):
            finish(left, "a", config(steps=steps), accuracy=accuracy)
        for steps, accuracy in ((5, 0.53), (25, 0.61), (75, 0.75), (1000, 0.95)):
            finish(right, "b <&>", config(steps=steps), accuracy=accuracy)
        yield (left, "a"), (right, "b <&>")


def test_pairs_are_what_both_have_run(two):
    """Three common digests; mean difference and its t interval over the pairs; turned round, the sign turns."""
    found = compare(*two)
    assert len(found.pairs) == 3
    difference = found.differences(None, "test_accuracy")
    assert difference.n == 3
    assert difference.mean == pytest.approx(0.03)
    assert difference.half == pytest.approx(4.30265 * 0.02 / math.sqrt(3), rel=1e-4)
    turned = compare(two[1], two[0]).differences(("phase2", "digits8/siren"), "test_accuracy")
    assert (turned.mean, turned.half) == (pytest.approx(-0.03), pytest.approx(difference.half))
    _, body = comparison.differences(found).texts()
    assert [line[:4] for line in body] == [
        ["digits8/siren", "phase2", "3", "+0.0300 ± 0.0497"],
        ["all", "", "3", body[0][3]],
    ]


def test_cells_show_the_best_and_the_mean_of_each(two):
    """Validation picks; its test accuracy and the mean over all of a study's trials stand beside it."""
    _, body = comparison.cells(compare(*two)).texts()
    assert body[0] == ["digits8/siren", "phase2", "a", "0.900", "0.800", "0.575 ± 0.171", "4"]
    assert body[1][:5] == ["digits8/siren", "phase2", "b <&>", "0.950", "0.850"]


def test_what_differs_by_design_is_left_out_on_request(two):
    """Another classifier: no common digest; without the classifier, each setting is a pair, means over seeds."""
    (ledger, _), _ = two
    for seed in (0, 1):
        finish(ledger, "c", config(steps=5, classifier="gnn", seed=seed), accuracy=0.6 + 0.02 * seed)
    assert compare((ledger, "a"), (ledger, "c")).pairs == ()
    (pair,) = compare((ledger, "a"), (ledger, "c"), without=["classifier"]).pairs
    assert (len(pair.left), len(pair.right)) == (1, 2)
    assert pair.difference("val_accuracy") == pytest.approx(0.11)


def test_the_page_holds_all_and_needs_nothing(two, tmp_path):
    """One page with its figure inside, names escaped, and every pair as CSV; the same ledgers give the same bytes."""
    page = write_comparison(compare(*two), tmp_path / "out")
    said = page.read_text()
    assert "b &lt;&amp;&gt;" in said
    assert "<&>" not in said
    assert "+0.0300 ± 0.0497" in said
    assert "http" not in said.replace("http-equiv", "")
    with (tmp_path / "out" / "pairs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(float(row["difference_test_accuracy"]) for row in rows) == pytest.approx([0.01, 0.03, 0.05])
    with Image.open(tmp_path / "out" / "pairs.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 3
    before = {path.name: path.read_bytes() for path in page.parent.iterdir()}
    write_comparison(compare(*two), tmp_path / "out")
    assert {path.name: path.read_bytes() for path in page.parent.iterdir()} == before


def test_a_report_shows_means_over_seeds(two, tmp_path):
    """Two seeds of a setting: the study's page and CSV say mean, interval and n; one seed alone says nothing."""
    (ledger, _), _ = two
    alone = write_report(ledger, "a", root=tmp_path, out=tmp_path / "alone")
    assert "Replicates" not in alone.read_text()
    assert not (tmp_path / "alone" / "replicates.csv").exists()
    finish(ledger, "a", config(steps=5, seed=1), accuracy=0.54)
    said = write_report(ledger, "a", root=tmp_path, out=tmp_path / "both").read_text()
    assert "Replicates" in said
    assert "0.520 ± 0.254" in said
    assert "95 % interval" in said
    with (tmp_path / "both" / "replicates.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["n"], float(row["test_accuracy.mean"])) == ("2", pytest.approx(0.42))


def test_nothing_in_common_is_said(two, tmp_path):
    """Without a pair there is a page all the same, and what to do; an unknown study is bad input."""
    (ledger, _), _ = two
    finish(ledger, "d", config(steps=7), accuracy=0.5)
    said = write_comparison(compare((ledger, "a"), (ledger, "d")), tmp_path).read_text()
    assert "share no configuration" in said
    assert "--without classifier" in said
    with pytest.raises(BadConfig, match="the ledger knows a"):
        compare((ledger, "a"), (ledger, "nope"))
