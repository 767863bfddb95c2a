"""Laws of a trial without Ray: complete numbers, repeatable numbers, one fit for all rungs."""

import json
import time

import pytest
import torch
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
from nefstudy.fitting.choice import choose
from nefstudy.neural_dataset import write
from nefstudy.neural_dataset.read import open_neural_dataset
from nefstudy.tasks.artifacts import EMBEDDED
from nefstudy.tasks.classification import ClassificationConfig, run_classification, survivors
from nefstudy.tasks.progress import Working
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import Setting

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
def test_a_trial_says_everything_the_study_asks(tmp_path):
    """Accuracies on all splits, quality on and off the grid, NMI, counts, curves over rungs and epochs, a picture."""
    found = run(trial(), tmp_path)
    wanted = {"train_accuracy", "val_accuracy", "test_accuracy", "all_psnr", "test_psnr", "all_ssim", "all_nmi"}
    wanted |= {"all_off_grid_psnr", "all_off_grid_ratio", "diverged", "signals", "field_steps", "fit_seconds"}
    assert wanted <= set(found.metrics)
    assert found.metrics["signals"] == 120
    assert found.metrics["field_steps"] == 120 * 4
    assert [step for step, _ in found.curves["all_psnr"]] == [2, 4]
    assert [epoch for epoch, _ in found.curves["val_accuracy"]] == [1, 2]
    assert (tmp_path / found.artifacts["reconstruction.png"]).read_bytes().startswith(b"\x89PNG")
    assert sum(map(sum, found.confusion)) > 0
    kept = json.loads((tmp_path / found.artifacts["confusion.json"]).read_text())
    assert (kept["split"], kept["confusion"], kept["classes"]) == ("test", found.confusion, [str(d) for d in range(10)])
    assert kept["accuracy"] == [row[i] / sum(row) for i, row in enumerate(found.confusion)]
    assert TrialResult.from_json(found.to_json()) == found


@pytest.mark.slow
@pytest.mark.parametrize("views", [1, 2])
def test_a_trial_keeps_its_classifier(tmp_path, views):
    """Read back, it answers every test field as it did in the trial: the same confusion and learned features."""
    asked = trial(init="random", views=views)
    found = run(asked, tmp_path)
    kept = load_classifier(tmp_path / found.artifacts["classifier.safetensors"])
    dataset = open_neural_dataset(str(tmp_path), asked.dataset.digest)
    data = survivors(asked, dataset, dataset.rung(asked.steps))
    assert [list(row) for row in score(kept.reader, data, "test").confusion] == found.confusion
    learned = load_file(tmp_path / found.artifacts["embedding.safetensors"])
    rows = data.rows("test")[:EMBEDDED]
    assert torch.equal(embeddings_of(kept.reader, data.parameters[rows]), learned["features"])
    assert torch.equal(data.labels[rows], learned["labels"])
    assert learned["features"].std() > 0


@pytest.mark.slow
def test_learned_features_are_scored_by_their_clusters(tmp_path):
    """NMI of the test split's features is a number in (0, 1], beside that of the weights themselves."""
    metrics = run(trial(), tmp_path).metrics
    assert 0 < metrics["test_embedding_nmi"] <= 1
    assert metrics["test_embedding_nmi"] != metrics["all_nmi"]


@pytest.mark.slow
def test_training_is_timed_by_both_clocks(tmp_path):
    """CPU seconds are there where a CPU clock is given, and never among what must repeat."""
    ticking = iter(range(100))
    with_clock = run(trial(), tmp_path / "a", cpu_clock=lambda: float(next(ticking)))
    without = run(trial(), tmp_path / "b")
    assert with_clock.metrics["classify_cpu_seconds"] == 1.0
    assert "classify_cpu_seconds" not in without.metrics


@pytest.mark.slow
def test_the_rungs_of_a_ladder_are_fitted_once(tmp_path):
    """The second trial on the same neural dataset finds it and fits nothing."""
    first = run(trial(steps=4), tmp_path)
    second = run(trial(steps=2), tmp_path)
    assert (first.fitted, second.fitted) == (True, False)
    assert second.metrics["field_steps"] == 0
    assert first.dataset == second.dataset
    assert second.metrics["all_psnr"] < first.metrics["all_psnr"]


@pytest.mark.slow
def test_views_are_fields_of_one_signal(tmp_path):
    """Two fits of each signal: both are fitted, and both are averaged into one answer a signal."""
    one, two = (run(trial(init="random", views=n), tmp_path) for n in (1, 2))
    assert sum(map(sum, two.confusion)) == sum(map(sum, one.confusion)) > 0
    assert (one.metrics["signals"], two.metrics["signals"]) == (120, 120)
    assert two.metrics["field_steps"] == 2 * one.metrics["field_steps"] == 2 * 120 * 4
    assert one.dataset != two.dataset


@pytest.mark.slow
def test_equal_trials_find_equal_numbers_in_any_place(tmp_path):
    """Two roots, the same configuration: every number but the durations is the same; another seed differs."""
    numbers = [run(trial(init="random"), tmp_path / name).metrics for name in "ab"]
    timeless = [{k: v for k, v in found.items() if not k.endswith("_seconds")} for found in numbers]
    assert timeless[0] == timeless[1]
    other = run(trial(init="random", seed=1), tmp_path / "c").metrics
    assert other["all_psnr"] != numbers[0]["all_psnr"]


def test_a_diverged_fit_says_so(tmp_path):
    """A learning rate far too high: not numbers, but an error that names rate and step count."""
    with pytest.raises(FitDiverged, match="diverged within 4 steps at lr 1e\\+09") as caught:
        run(trial(lr=1e9, field="rffnet"), tmp_path)
    assert caught.value.cause == "diverged"


def test_changed_data_is_refused(tmp_path):
    """A configuration pinned to other content does not run on this one."""
    pinned = DIGITS.model_copy(update={"content": "0" * 64})
    with pytest.raises(BadSignals):
        run(trial(signals=pinned), tmp_path)


def test_fits_that_share_a_shape_are_known_to_the_choice_of_an_engine(tmp_path, monkeypatch):
    """What the study counted reaches the choice; a trial on its own has no count."""
    counts: list[int | None] = []

    def choosing(config, *given, **options):
        counts.append(config.fits)
        return choose(config, *given, **options)

    monkeypatch.setattr(write, "choose", choosing)
    for fits, root in ((7, tmp_path / "study"), (None, tmp_path / "alone")):
        run(trial(), root, fits=fits)
    assert counts[0] == 7
    assert set(counts) == {7, None}


@pytest.mark.slow
def test_progress_is_told(tmp_path):
    """Fitting counts fields, classifying counts epochs; both reach their total."""
    heard: list[Working] = []
    run(trial(), tmp_path, on_progress=heard.append)
    assert {(one.what, one.done, one.total) for one in heard} >= {("fitting", 120, 120), ("classifying", 2, 2)}
    fits = [one for one in heard if one.what == "fitting"]
    assert all(one.steps == 4 and 0 < one.psnr < 60 for one in fits)
    assert [one.seconds for one in fits] == sorted(one.seconds for one in fits)
    assert fits[-1].eta_s == 0
