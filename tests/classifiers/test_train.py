from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from nefstudy.classifiers import train as module
from nefstudy.classifiers.catalog import classifier_names
from nefstudy.classifiers.scores import Scores, logits_of, score
from nefstudy.classifiers.train import learning_rate_factor, train_classifier
from nefstudy.classifiers.weights import WeightData
from nefstudy.config import AugmentConfig, ClassifierConfig
from nefstudy.errors import BadConfig, FitDiverged
from nefstudy.fields.siren import Siren

from ..present import present

MakeData = Callable[..., WeightData]
FIELD = Siren(in_dim=2, out_dim=1, hidden=4)
SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"width": 16, "dropout": 0.1},
    "gnn": {"width": 16, "steps": 2, "node_hidden": 16, "edge_hidden": 16},
    "transformer": {"width": 16, "edge_width": 8, "rounds": 2},
    "dws": {"width": 8, "depth": 2, "pooled": 16, "dropout": 0.1},
    "gnn-thin": {"width": 8, "pooled": 8, "dropout": 0.1},
    "gnn-sign": {"width": 8, "pooled": 8, "dropout": 0.1},
    "gnn-published": {"width": 16, "steps": 2, "node_hidden": 16, "edge_hidden": 16, "lift": 16, "sigma": 0.5},
    "transformer-published": {"width": 16, "edge_width": 8, "rounds": 2, "lift": 16},
}


def config(name: str = "gnn-sign", *, epochs: int = 4, **more: Any) -> ClassifierConfig:
    return ClassifierConfig(name=name, params=SMALL[name], epochs=epochs, batch_size=16, lr=1e-2, **more)


def test_the_small_settings_cover_the_catalog() -> None:
    """This file tests every classifier and preset of the catalog."""
    assert set(SMALL) == set(classifier_names())


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SMALL))
def test_every_classifier_learns_an_easy_task(make_data: MakeData, name: str) -> None:
    """Training lowers the loss and separates classes that differ in the scale of their weights."""
    trained = train_classifier(config(name, epochs=12), make_data(FIELD, count=150), seed=0)
    assert present(trained.test).accuracy > 0.6
    assert trained.epochs[0].train_loss > trained.epochs[-1].train_loss


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SMALL))
def test_the_same_seed_gives_the_same_bits(make_data: MakeData, name: str) -> None:
    """Equal seeds yield equal weights and curves, even if other code draws random numbers.

    Different seeds yield different curves.
    """
    data = make_data(FIELD)
    first = train_classifier(config(name), data, seed=1)
    torch.rand(7)
    again, other = (train_classifier(config(name), data, seed=seed) for seed in (1, 2))
    assert first.epochs == again.epochs
    assert first.test == again.test
    assert all(torch.equal(a, b) for a, b in zip(first.network.parameters(), again.network.parameters(), strict=True))
    assert first.epochs != other.epochs


def test_training_does_not_change_the_global_random_state(make_data: MakeData) -> None:
    """The global random state is the same before and after train_classifier."""
    state = torch.random.get_rng_state()
    train_classifier(config(epochs=1), make_data(FIELD), seed=0)
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_reported_weights_are_those_of_the_best_epoch(make_data: MakeData) -> None:
    """The returned network is from the best epoch: no epoch has a higher validation accuracy."""
    trained = train_classifier(config(epochs=6), make_data(FIELD), seed=3)
    best = trained.epochs[trained.best_epoch - 1]
    assert (best.val_loss, best.val_accuracy) == (trained.val.loss, trained.val.accuracy)
    assert all((e.val_accuracy, -e.val_loss) <= (best.val_accuracy, -best.val_loss) for e in trained.epochs)
    assert score(trained.network, make_data(FIELD), "test") == trained.test


def test_the_test_split_is_read_once_at_the_end(make_data: MakeData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the last call of `score` uses the test split."""
    scored: list[str] = []

    def recorded(network: Any, data: WeightData, split: Any) -> Scores:
        scored.append(split)
        return score(network, data, split)

    monkeypatch.setattr(module, "score", recorded)
    train_classifier(config(epochs=3), make_data(FIELD), seed=0)
    assert scored == ["val", "val", "val", "train", "val", "test"]


def test_test_labels_and_rows_change_nothing_but_the_test_scores(make_data: MakeData) -> None:
    """Weights, curves and validation scores do not depend on the test split."""
    data = make_data(FIELD)
    spoiled_rows = data.parameters.clone()
    spoiled_rows[data.rows("test")] *= 100.0
    spoiled = replace(data, parameters=spoiled_rows, labels=torch.where(data.split == 2, 0, data.labels))
    one, two = (train_classifier(config(), each, seed=0) for each in (data, spoiled))
    assert one.epochs == two.epochs
    assert one.test != two.test


@pytest.mark.parametrize("shared", [False, True])
def test_augmenting_with_symmetries_changes_nothing_for_an_invariant_network(make_data: MakeData, shared: bool) -> None:
    """A symmetry moves the training mean with the field, so `gnn-sign` learns the same with and without it.

    A motion, which changes the function, changes what it learns.
    """
    data = replace(make_data(FIELD, dtype=torch.float64), shared=shared)
    plain, moved, turned = (
        train_classifier(config(augment=augment), data, seed=0)
        for augment in (AugmentConfig(), AugmentConfig(permute=True, flip=True, turn=True), AugmentConfig(rotate=20))
    )
    losses = [epoch.train_loss for epoch in plain.epochs]
    assert [epoch.train_loss for epoch in moved.epochs] == pytest.approx(losses, rel=1e-6)
    assert [epoch.train_loss for epoch in turned.epochs] != pytest.approx(losses, rel=1e-3)


@pytest.mark.slow
def test_fields_of_a_shared_init_are_read_relative_to_their_mean(make_data: MakeData) -> None:
    """For a shared init, classes that differ by a millionth of the weights are learned; `plain` cannot learn them."""
    data = make_data(FIELD, count=150)
    start = data.parameters[:1]
    close = replace(data, parameters=start + 1e-6 * data.labels[:, None] * start.abs().sqrt(), shared=True)
    centered, plain = (
        train_classifier(config(epochs=12, reading=reading), close, seed=0) for reading in ("auto", "plain")
    )
    assert (centered.config.reading, plain.config.reading) == ("centered", "plain")
    assert present(centered.test).accuracy > 0.9
    assert present(plain.test).accuracy < 0.6


def test_patience_stops_a_training_that_no_longer_improves(make_data: MakeData) -> None:
    """Training stops `patience` epochs after the best one."""
    trained = train_classifier(config(epochs=60, patience=3), make_data(FIELD), seed=0)
    assert len(trained.epochs) == trained.best_epoch + 3 < 60


def test_the_callback_sees_every_epoch_as_it_ends(make_data: MakeData) -> None:
    """`on_epoch` receives the epochs in order, as they appear in the result."""
    seen: list[Any] = []
    trained = train_classifier(config(), make_data(FIELD), seed=0, on_epoch=seen.append)
    assert tuple(seen) == trained.epochs
    assert trained.curves["val_accuracy"] == [(e.number, e.val_accuracy) for e in seen]


def test_scores_agree_with_a_count_by_hand(make_data: MakeData) -> None:
    """Accuracy, loss, confusion matrix and per-class accuracy equal those that a plain loop computes."""
    data = make_data(FIELD)
    trained = train_classifier(config(), data, seed=0)
    rows = data.rows("test")
    logits = logits_of(trained.network, data.parameters[rows])
    labels = data.labels[rows]
    confusion = [[0] * 3 for _ in range(3)]
    for label, answer in zip(labels.tolist(), logits.argmax(dim=1).tolist(), strict=True):
        confusion[label][answer] += 1
    assert [list(row) for row in present(trained.test).confusion] == confusion
    assert present(trained.test).accuracy == sum(confusion[i][i] for i in range(3)) / len(rows)
    assert present(trained.test).loss == pytest.approx(nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert present(trained.test).per_class == tuple(confusion[i][i] / sum(confusion[i]) for i in range(3))


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    """The learning rate rises linearly, then falls as half a cosine. Without warm-up, it starts at its maximum."""
    factors = [learning_rate_factor(step, 100, warmup=0.1) for step in range(101)]
    assert max(factors) == pytest.approx(1.0)
    assert factors.index(max(factors)) == 10
    assert all(a < b for a, b in pairwise(factors[:11]))
    assert all(a > b for a, b in pairwise(factors[10:]))
    assert factors[100] == pytest.approx(0.0)
    assert learning_rate_factor(0, 100, warmup=0.0) == 1.0


def test_fields_that_are_not_finite_are_refused_and_can_be_left_out(make_data: MakeData) -> None:
    """Training on rows with NaN raises an error that points to `finite`, which drops and counts such rows."""
    data = make_data(FIELD)
    data.parameters[4, 2] = float("nan")
    with pytest.raises(FitDiverged, match=r"1 of 60 .*WeightData\.finite\(\)"):
        train_classifier(config(), data, seed=0)
    kept, left_out = data.finite()
    assert (len(kept), left_out) == (59, 1)
    train_classifier(config(epochs=1), kept, seed=0)


def test_a_loss_that_is_not_finite_ends_the_training(make_data: MakeData) -> None:
    """A classifier that diverges raises FitDiverged instead of returning scores."""
    with pytest.raises(FitDiverged, match=r"loss nan .*learning rate"):
        train_classifier(config(epochs=30).model_copy(update={"lr": 1e30}), make_data(FIELD), seed=0)


def test_a_class_missing_from_training_is_named(make_data: MakeData) -> None:
    """Training is rejected when a class has no field in the training split, and the error names the class."""
    data = make_data(FIELD)
    kept = torch.nonzero((data.labels != 1) | (data.split != 0)).flatten()
    with pytest.raises(FitDiverged, match=r"\[1\] of 3 .*training split"):
        train_classifier(config(), data.select(kept), seed=0)


@pytest.mark.parametrize(("split", "number"), [("train", 0), ("val", 1), ("test", 2)])
def test_an_empty_split_is_named(make_data: MakeData, split: str, number: int) -> None:
    """An empty split is rejected with an error that names it."""
    data = make_data(FIELD)
    with pytest.raises(FitDiverged, match=f"{split} split"):
        train_classifier(config(), data.select(torch.nonzero(data.split != number).flatten()), seed=0)


def test_rows_of_another_architecture_are_refused(make_data: MakeData) -> None:
    """Rows whose length is not the field's number of parameters are rejected."""
    data = make_data(FIELD)
    with pytest.raises(BadConfig, match="37 parameters"):
        train_classifier(config(), replace(data, field=Siren(2, 1, hidden=5)), seed=0)


def test_without_test_signals_a_classifier_is_trained_and_not_tested(make_data: MakeData) -> None:
    """Data that declares no test split gives the same weights and no test scores; undeclared, it is an error."""
    data = make_data(FIELD)
    searched = replace(data.select(torch.nonzero(data.split != 2).flatten()), has_test=False)
    tested, trained = (train_classifier(config(), each, seed=0) for each in (data, searched))
    assert trained.test is None
    assert trained.val == tested.val
    assert (trained.held_out, tested.held_out) == (("val", trained.val), ("test", tested.test))
    assert set(tested.metrics) - set(trained.metrics) == {"test_accuracy"}
    with pytest.raises(FitDiverged, match="test split"):
        replace(searched, has_test=True).check()
    with pytest.raises(FitDiverged, match="val split"):
        searched.select(searched.rows("train")).check()
