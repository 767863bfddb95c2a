"""Tests of classification trials without Ray: metrics are complete and repeatable, and one fit yields all rungs."""

import json
import math
import time
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from nefstudy.classifiers.save import load_classifier
from nefstudy.classifiers.scores import embeddings_of, score
from nefstudy.config import (
    ClassifierConfig,
    FieldConfig,
    NeuralDatasetConfig,
    OptimizerConfig,
    SignalsConfig,
)
from nefstudy.errors import BadSignals, FitDiverged
from nefstudy.fields.catalog import complete
from nefstudy.fitting.engines.choice import choose
from nefstudy.inits.catalog import INITS
from nefstudy.inits.drawn import SharedInit
from nefstudy.neural_dataset import write
from nefstudy.neural_dataset.read import open_neural_dataset
from nefstudy.signals.kinds import IMAGE
from nefstudy.signals.signal import SPLITS
from nefstudy.tasks.artifacts import EMBEDDED
from nefstudy.tasks.classification import (
    CLASSIFICATION,
    ClassificationConfig,
    accuracy_over_all,
    run_classification,
    survivors,
)
from nefstudy.tasks.progress import TrialProgress
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import Catalogs, Setting
from nefstudy.tasks.task import SignalTraits

DIGITS = SignalsConfig(name="digits8", subset=120)


def trial(
    *,
    steps: int = 4,
    lr: float = 1e-3,
    init: str = "shared",
    seed: int = 0,
    signals=DIGITS,
    field: str = "siren",
    views: int = 1,
) -> ClassificationConfig:
    dataset = NeuralDatasetConfig(
        signals=signals,
        field=complete(FieldConfig(name=field, params={"hidden": 8})),
        init=init,
        optimizer=OptimizerConfig(lr=lr),
        seed=seed,
        views=views,
    )
    return ClassificationConfig(
        dataset=dataset, steps=steps, classifier=ClassifierConfig(name="mlp", epochs=2), seed=seed
    )


def run(config: ClassificationConfig, root, **more) -> TrialResult:
    """Run a trial whose ladder has the rungs 2 and 4."""
    ladders = {config.dataset.digest: (2, 4)}
    return run_classification(config, setting=Setting(root=str(root), clock=time.monotonic, ladders=ladders, **more))


@pytest.mark.slow
def test_a_trial_reports_everything_that_the_study_needs(tmp_path):
    """A trial reports accuracies, quality on and off the grid, NMI, counts, curves and a picture."""
    result = run(trial(), tmp_path)
    expected = {"train_accuracy", "val_accuracy", "test_accuracy", "all_psnr", "test_psnr", "all_ssim", "all_nmi"}
    expected |= {"all_off_grid_psnr", "all_off_grid_ratio_bilinear", "all_off_grid_ratio_published"}
    expected |= {"all_off_grid_nmse_ratio", "diverged", "constant", "signals", "field_steps", "fit_seconds"}
    expected |= {"all_ami", "test_embedding_ami", "clustered", "val_accuracy_all", "test_accuracy_all"}
    assert expected <= set(result.metrics)
    traits = SignalTraits(IMAGE, count=120, classes=10)
    assert set(result.metrics) | {"classify_cpu_seconds"} == {metric.name for metric in CLASSIFICATION.metrics(traits)}
    assert result.metrics["signals"] == result.metrics["clustered"] == 120
    assert result.metrics["constant"] == 0
    assert result.metrics["field_steps"] == 120 * 4
    assert [step for step, _ in result.curves["all_psnr"]] == [2, 4]
    assert [epoch for epoch, _ in result.curves["val_accuracy"]] == [1, 2]
    assert (tmp_path / result.artifacts["reconstruction.png"]).read_bytes().startswith(b"\x89PNG")
    assert result.metrics["test_signals"] == sum(map(sum, result.confusion)) > 0
    split = open_neural_dataset(str(tmp_path), result.datasets[0].digest).rung(4).split
    assert result.metrics["val_signals"] == int((split == SPLITS["val"]).sum())
    saved = json.loads((tmp_path / result.artifacts["confusion.json"]).read_text())
    assert (saved["split"], saved["confusion"]) == ("test", result.confusion)
    assert saved["classes"] == [str(d) for d in range(10)]
    assert saved["accuracy"] == [row[i] / sum(row) for i, row in enumerate(result.confusion)]
    assert TrialResult.from_json(result.to_json()) == result


@pytest.mark.slow
def test_a_trial_without_test_signals_reports_validation_alone(tmp_path):
    """Without test signals, a trial has every declared metric, none of them of the test split and none NaN.

    Its confusion matrix, learned features and picture are those of validation signals.
    """
    config = trial(signals=DIGITS.model_copy(update={"without_test": True}))
    result = run(config, tmp_path)
    traits = SignalTraits(IMAGE, test=False, count=120, classes=10)
    declared = CLASSIFICATION.metrics(traits)
    assert set(result.metrics) | {"classify_cpu_seconds"} == {metric.name for metric in declared}
    assert not [name for name in result.metrics if name.startswith("test_")]
    assert not [metric for metric in declared if metric.split == "test"]
    assert all(map(math.isfinite, result.metrics.values()))
    assert {"val_accuracy", "val_accuracy_all", "val_psnr", "val_embedding_nmi"} <= set(result.metrics)
    assert result.metrics["val_signals"] == sum(map(sum, result.confusion)) > 0
    saved = json.loads((tmp_path / result.artifacts["confusion.json"]).read_text())
    assert (saved["split"], saved["confusion"]) == ("val", result.confusion)
    with safe_open(tmp_path / result.artifacts["embedding.safetensors"], "pt") as embedding:
        assert embedding.metadata()["split"] == "val"
        assert len(embedding.get_tensor("labels")) == result.metrics["val_signals"]
    assert (tmp_path / result.artifacts["reconstruction.png"]).read_bytes().startswith(b"\x89PNG")
    assert TrialResult.from_json(result.to_json()) == result


@pytest.mark.slow
@pytest.mark.parametrize("views", [1, 2])
def test_a_trial_keeps_its_classifier(tmp_path, views):
    """The saved classifier reproduces the trial's confusion matrix and learned features."""
    config = trial(init="random", views=views)
    result = run(config, tmp_path)
    saved = load_classifier(tmp_path / result.artifacts["classifier.safetensors"])
    dataset = open_neural_dataset(str(tmp_path), config.dataset.digest)
    data = survivors(config, dataset, dataset.rung(config.steps))
    assert [list(row) for row in score(saved.network, data, "test").confusion] == result.confusion
    learned = load_file(tmp_path / result.artifacts["embedding.safetensors"])
    rows = data.rows("test")[:EMBEDDED]
    assert torch.equal(embeddings_of(saved.network, data.parameters[rows]), learned["features"])
    assert torch.equal(data.labels[rows], learned["labels"])
    assert learned["features"].std() > 0


@pytest.mark.slow
@pytest.mark.parametrize(("init", "reading"), [("shared", "centered"), ("random", "plain"), ("mine", "centered")])
def test_the_init_determines_the_reading(tmp_path, init, reading):
    """A classifier reads fields relative to their mean if their init, built in or from a plan, is shared."""
    result = run(trial(init=init), tmp_path, catalogs=Catalogs(inits=INITS | {"mine": SharedInit}))
    assert load_classifier(tmp_path / result.artifacts["classifier.safetensors"]).config.reading == reading


@pytest.mark.slow
def test_learned_features_are_scored_by_their_clusters(tmp_path):
    """The learned features of the test split have an NMI in (0, 1] that differs from the NMI of the weights."""
    metrics = run(trial(), tmp_path).metrics
    assert 0 < metrics["test_embedding_nmi"] <= 1
    assert metrics["test_embedding_nmi"] != metrics["all_nmi"]
    assert metrics["test_embedding_ami"] < metrics["test_embedding_nmi"]


@pytest.mark.slow
def test_training_is_timed_by_both_clocks(tmp_path):
    """CPU seconds of training are reported if and only if a CPU clock is given."""
    ticking = iter(range(100))
    with_clock = run(trial(), tmp_path / "a", cpu_clock=lambda: float(next(ticking)))
    without = run(trial(), tmp_path / "b")
    assert with_clock.metrics["classify_cpu_seconds"] == 1.0
    assert "classify_cpu_seconds" not in without.metrics


@pytest.mark.slow
def test_the_rungs_of_a_ladder_are_fitted_once(tmp_path):
    """A second trial on the same neural dataset fits nothing."""
    first = run(trial(steps=4), tmp_path)
    second = run(trial(steps=2), tmp_path)
    assert [used.fitted for used in (*first.datasets, *second.datasets)] == [True, False]
    assert second.metrics["field_steps"] == 0
    assert first.datasets[0].digest == second.datasets[0].digest
    assert second.metrics["all_psnr"] < first.metrics["all_psnr"]


@pytest.mark.slow
def test_views_are_fields_of_one_signal(tmp_path):
    """With two views, each signal is fitted twice but counted once in the scores."""
    one, two = (run(trial(init="random", views=n), tmp_path) for n in (1, 2))
    assert sum(map(sum, two.confusion)) == sum(map(sum, one.confusion)) > 0
    assert (one.metrics["signals"], two.metrics["signals"]) == (120, 120)
    assert two.metrics["field_steps"] == 2 * one.metrics["field_steps"] == 2 * 120 * 4
    assert one.datasets[0].digest != two.datasets[0].digest


@pytest.mark.slow
def test_the_probabilities_of_views_are_averaged(tmp_path):
    """With several views, all scores are computed from each signal's mean class probabilities."""
    config = trial(init="random", views=3)
    result = run(config, tmp_path)
    network = load_classifier(tmp_path / result.artifacts["classifier.safetensors"]).network.eval()
    rung = open_neural_dataset(str(tmp_path), config.dataset.digest).rung(config.steps)
    assert not rung.diverged.any()
    by_hand: dict[str, float] = {}
    for split in ("train", "val", "test"):
        confusion, losses = torch.zeros(10, 10, dtype=torch.int64), []
        for signal in rung.ids[rung.split == SPLITS[split]].unique():
            rows = torch.nonzero(rung.ids == signal).flatten()
            assert len(rows) == 3
            with torch.no_grad():
                views = torch.cat([network(rung.parameters[row : row + 1]) for row in rows.tolist()]).double()
            probabilities, label = views.softmax(dim=1).mean(dim=0), int(rung.labels[rows[0]])
            confusion[label, probabilities.argmax()] += 1
            losses.append(-float(probabilities[label].log()))
        by_hand[f"{split}_accuracy"] = float(confusion.trace() / confusion.sum())
        by_hand[f"{split}_loss"] = sum(losses) / len(losses)
    assert confusion.tolist() == result.confusion
    del by_hand["test_loss"]  # not a metric
    assert {name: result.metrics[name] for name in by_hand} == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.slow
def test_equal_trials_have_equal_metrics_in_any_root(tmp_path):
    """Equal trials in different roots have equal metrics, except for durations. A different seed changes them."""
    one, two = (run(trial(init="random"), tmp_path / name).metrics for name in "ab")
    assert one.keys() == two.keys()
    assert all(one[name] == two[name] for name in one if not name.endswith("_seconds"))
    other = run(trial(init="random", seed=1), tmp_path / "c").metrics
    assert other["all_psnr"] != one["all_psnr"]


@pytest.mark.slow
@pytest.mark.parametrize("views", [1, 2])
def test_diverged_fields_count_as_wrong_over_all(tmp_path, views):
    """`accuracy_all` divides by all signals of a split, and `accuracy` only by those with a surviving field."""
    config = trial(init="random", views=views)
    result = run(config, tmp_path)
    for split in ("val", "test"):
        assert result.metrics[f"{split}_accuracy_all"] == result.metrics[f"{split}_accuracy"]
    dataset = open_neural_dataset(str(tmp_path), config.dataset.digest)
    rung = dataset.rung(config.steps)
    tested = torch.nonzero(rung.split == SPLITS["test"]).flatten()
    count = len(tested) // views
    lost = torch.isin(rung.ids, rung.ids[tested[:3]])
    one_view = torch.isin(rung.ids, rung.ids[tested[3:5]]) & (rung.views == 1)
    broken = replace(rung, diverged_at=torch.where(lost | one_view, 2, rung.diverged_at))
    data = survivors(config, dataset, broken)
    network = load_classifier(tmp_path / result.artifacts["classifier.safetensors"]).network
    scores = score(network, data, "test")
    assert sum(map(sum, scores.confusion)) == count - 3
    assert accuracy_over_all(scores, broken, "test") == scores.correct / count
    assert scores.accuracy == pytest.approx(scores.correct / (count - 3))


def test_a_diverged_fit_raises(tmp_path):
    """A learning rate that is far too high raises an error that names the learning rate and the step count."""
    with pytest.raises(FitDiverged, match=r"4 steps .*lr 1e\+09") as caught:
        run(trial(lr=1e9, field="rffnet"), tmp_path)
    assert caught.value.cause == "diverged"


def test_changed_data_is_refused(tmp_path):
    """If the data do not have the content hash that the configuration contains, the trial raises BadSignals."""
    pinned = DIGITS.model_copy(update={"content": "0" * 64})
    with pytest.raises(BadSignals):
        run(trial(signals=pinned), tmp_path)


def test_the_engine_is_chosen_with_the_number_of_fits_per_shape(tmp_path, monkeypatch):
    """The function that chooses an engine receives the study's number of fits per shape, or None outside a study."""
    counts: list[int | None] = []

    def recorded(config, *given, **options):
        counts.append(config.fits_per_shape)
        return choose(config, *given, **options)

    monkeypatch.setattr(write, "choose", recorded)
    for fits, root in ((7, tmp_path / "study"), (None, tmp_path / "alone")):
        run(trial(), root, fits_per_shape=fits)
    assert counts[0] == 7
    assert set(counts) == {7, None}


@pytest.mark.slow
def test_progress_is_reported(tmp_path):
    """A trial reports how many fields it has fitted and how many epochs it has trained, up to the totals."""
    reports: list[TrialProgress] = []
    run(trial(), tmp_path, on_progress=reports.append)
    assert {(one.what, one.done, one.total) for one in reports} >= {("fitting", 120, 120), ("classifying", 2, 2)}
    fits = [one for one in reports if one.what == "fitting"]
    assert all(one.steps == 4 and 0 < one.psnr < 60 for one in fits)
    assert [one.seconds for one in fits] == sorted(one.seconds for one in fits)
    assert fits[-1].eta_s == 0
