from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from nefstudy.classifiers import train as module
from nefstudy.classifiers.catalog import CLASSIFIERS
from nefstudy.classifiers.scores import Scores, logits_of, score
from nefstudy.classifiers.train import learning_rate_factor, train_classifier
from nefstudy.classifiers.weights import WeightData
from nefstudy.config import ClassifierConfig
from nefstudy.errors import BadConfig, FitDiverged
from nefstudy.fields.siren import Siren

MakeData = Callable[..., WeightData]
FIELD = Siren(in_dim=2, out_dim=1, hidden=4)
SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"width": 16, "dropout": 0.1},
    "gnn": {"width": 16, "steps": 2, "node_hidden": 16, "edge_hidden": 16},
    "transformer": {"width": 16, "edge_width": 8, "rounds": 2},
    "dws": {"width": 8, "depth": 2, "pooled": 16, "dropout": 0.1},
    "gnn-thin": {"width": 8, "pooled": 8, "dropout": 0.1},
    "gnn-sign": {"width": 8, "pooled": 8, "dropout": 0.1},
}


def config(name: str = "gnn-sign", *, epochs: int = 4, **more: Any) -> ClassifierConfig:
    return ClassifierConfig(name=name, params=SMALL[name], epochs=epochs, batch_size=16, lr=1e-2, **more)


def test_the_small_settings_cover_the_catalogue() -> None:
    """Every classifier of the catalogue goes through the laws of this file."""
    assert set(SMALL) == set(CLASSIFIERS)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SMALL))
def test_what_can_be_learned_is_learned(make_data: MakeData, name: str) -> None:
    """Classes that differ in the size of their weights are told apart, and by no classifier before training."""
    trained = train_classifier(config(name, epochs=12), make_data(FIELD, count=150), seed=0)
    assert trained.test.accuracy > 0.6
    assert trained.epochs[0].train_loss > trained.epochs[-1].train_loss


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SMALL))
def test_the_same_seed_gives_the_same_bits(make_data: MakeData, name: str) -> None:
    """Equal seeds: equal weights and curves, whatever random numbers others draw; another seed: others."""
    data = make_data(FIELD)
    first = train_classifier(config(name), data, seed=1)
    torch.rand(7)
    again, other = (train_classifier(config(name), data, seed=seed) for seed in (1, 2))
    assert first.epochs == again.epochs
    assert first.test == again.test
    assert all(torch.equal(a, b) for a, b in zip(first.reader.parameters(), again.reader.parameters(), strict=True))
    assert first.epochs != other.epochs


def test_training_leaves_the_global_random_state_alone(make_data: MakeData) -> None:
    """Whoever calls train_classifier draws the same numbers afterwards as before."""
    state = torch.random.get_rng_state()
    train_classifier(config(epochs=1), make_data(FIELD), seed=0)
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_reported_weights_are_those_of_the_best_epoch(make_data: MakeData) -> None:
    """Validation scores of the returned reader equal the best epoch's, and no epoch has a higher accuracy."""
    trained = train_classifier(config(epochs=6), make_data(FIELD), seed=3)
    best = trained.epochs[trained.best_epoch - 1]
    assert (best.val_loss, best.val_accuracy) == (trained.val.loss, trained.val.accuracy)
    assert all((e.val_accuracy, -e.val_loss) <= (best.val_accuracy, -best.val_loss) for e in trained.epochs)
    assert score(trained.reader, make_data(FIELD), "test") == trained.test


def test_the_test_split_is_read_once_at_the_end(make_data: MakeData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all scorings, only the last is of the test split."""
    asked: list[str] = []

    def watched(reader: Any, data: WeightData, split: Any) -> Scores:
        asked.append(split)
        return score(reader, data, split)

    monkeypatch.setattr(module, "score", watched)
    train_classifier(config(epochs=3), make_data(FIELD), seed=0)
    assert asked == ["val", "val", "val", "train", "val", "test"]


def test_test_labels_and_rows_change_nothing_but_the_test_scores(make_data: MakeData) -> None:
    """Weights, curves and validation scores do not depend on the test split."""
    data = make_data(FIELD)
    spoiled_rows = data.parameters.clone()
    spoiled_rows[data.rows("test")] *= 100.0
    spoiled = replace(data, parameters=spoiled_rows, labels=torch.where(data.split == 2, 0, data.labels))
    one, two = (train_classifier(config(), each, seed=0) for each in (data, spoiled))
    assert one.epochs == two.epochs
    assert one.test != two.test


def test_patience_stops_an_epoch_that_no_longer_improves(make_data: MakeData) -> None:
    """Training ends `patience` epochs after the best one."""
    trained = train_classifier(config(epochs=60, patience=3), make_data(FIELD), seed=0)
    assert len(trained.epochs) == trained.best_epoch + 3 < 60


def test_the_callback_sees_every_epoch_as_it_ends(make_data: MakeData) -> None:
    """on_epoch is given the very epochs of the result, in order."""
    seen: list[Any] = []
    trained = train_classifier(config(), make_data(FIELD), seed=0, on_epoch=seen.append)
    assert tuple(seen) == trained.epochs
    assert trained.curves["val_accuracy"] == [(e.number, e.val_accuracy) for e in seen]


def test_scores_agree_with_a_count_by_hand(make_data: MakeData) -> None:
    """Accuracy, loss, confusion and per-class accuracy equal those of a plain loop."""
    data = make_data(FIELD)
    trained = train_classifier(config(), data, seed=0)
    rows = data.rows("test")
    logits = logits_of(trained.reader, data.parameters[rows])
    labels = data.labels[rows]
    confusion = [[0] * 3 for _ in range(3)]
    for label, answer in zip(labels.tolist(), logits.argmax(dim=1).tolist(), strict=True):
        confusion[label][answer] += 1
    assert [list(row) for row in trained.test.confusion] == confusion
    assert trained.test.accuracy == sum(confusion[i][i] for i in range(3)) / len(rows)
    assert trained.test.loss == pytest.approx(nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert trained.test.per_class == tuple(confusion[i][i] / sum(confusion[i]) for i in range(3))


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    """Warm-up is a straight line to one, then half a cosine; without warm-up it starts at one."""
    factors = [learning_rate_factor(step, 100, warmup=0.1) for step in range(101)]
    assert max(factors) == pytest.approx(1.0)
    assert factors.index(max(factors)) == 10
    assert all(a < b for a, b in pairwise(factors[:11]))
    assert all(a > b for a, b in pairwise(factors[10:]))
    assert factors[100] == pytest.approx(0.0)
    assert learning_rate_factor(0, 100, warmup=0.0) == 1.0


def test_fields_that_are_not_finite_are_refused_and_can_be_left_out(make_data: MakeData) -> None:
    """NaN rows are an error that says how to exclude them; `finite` excludes and counts them."""
    data = make_data(FIELD)
    data.parameters[4, 2] = float("nan")
    with pytest.raises(FitDiverged, match=r"1 of 60 fields are not finite; leave them out"):
        train_classifier(config(), data, seed=0)
    kept, left_out = data.finite()
    assert (len(kept), left_out) == (59, 1)
    train_classifier(config(epochs=1), kept, seed=0)


def test_a_loss_that_is_not_finite_ends_the_training(make_data: MakeData) -> None:
    """A classifier that diverges is a failed trial with a cause, not a score."""
    with pytest.raises(FitDiverged, match=r"training loss nan in epoch .*; lower the classifier's learning rate"):
        train_classifier(config(epochs=30).model_copy(update={"lr": 1e30}), make_data(FIELD), seed=0)


def test_a_class_missing_from_training_is_named(make_data: MakeData) -> None:
    """A classifier is not trained on fewer classes than the signals have."""
    data = make_data(FIELD)
    kept = torch.nonzero((data.labels != 1) | (data.split != 0)).flatten()
    with pytest.raises(FitDiverged, match=r"classes \[1\] of 3 have no field in the training split"):
        train_classifier(config(), data.select(kept), seed=0)


@pytest.mark.parametrize(("split", "number"), [("train", 0), ("val", 1), ("test", 2)])
def test_an_empty_split_is_named(make_data: MakeData, split: str, number: int) -> None:
    """Each split must have a field."""
    data = make_data(FIELD)
    with pytest.raises(FitDiverged, match=f"no field is left in the {split} split"):
        train_classifier(config(), data.select(torch.nonzero(data.split != number).flatten()), seed=0)


def test_rows_of_another_architecture_are_refused(make_data: MakeData) -> None:
    """The number of parameters must be the field's."""
    data = make_data(FIELD)
    with pytest.raises(BadConfig, match="rows of 37 parameters, but"):
        train_classifier(config(), replace(data, field=Siren(2, 1, hidden=5)), seed=0)
