"""Properties of every invariant classifier and preset on every field, in both readings.

`mlp`, the documented exception, is tested in test_sign_gnn. A network that reads centered features receives each field
together with the training mean (`framed`), so that a symmetry can move both.
"""

from collections.abc import Callable

import pytest
import torch

from nefstudy import seeds
from nefstudy.classifiers.catalog import build, classifier_names
from nefstudy.classifiers.classifier import WeightClassifier
from nefstudy.config import ClassifierConfig
from nefstudy.fields.actions import act, random_element
from nefstudy.fields.field import NeuralField, flatten, parameter_count, unflatten
from nefstudy.scalars import Scalar

MakeRows = Callable[..., torch.Tensor]
F = 5
# One step per layer of the deepest field, so that every weight can influence the scores.
SMALL: dict[str, dict[str, Scalar]] = {
    "gnn": {"width": 8, "steps": 5, "node_hidden": 12, "edge_hidden": 8},
    "gnn-thin": {"width": 8, "pooled": 8},
    "gnn-sign": {"width": 8, "pooled": 8},
    "transformer": {"width": 8, "edge_width": 6, "heads": 2, "rounds": 2},
    "dws": {"width": 8, "depth": 2, "pooled": 8},
    "gnn-published": {"width": 8, "steps": 5, "node_hidden": 12, "edge_hidden": 8, "lift": 5},
    "transformer-published": {"width": 8, "edge_width": 6, "heads": 2, "rounds": 2, "lift": 5},
}
INVARIANT = pytest.mark.parametrize("name", list(SMALL))
READINGS = pytest.mark.parametrize("reading", ["plain", "centered"])


def network_of(name: str, field: NeuralField, rows: torch.Tensor, reading: str = "plain") -> WeightClassifier:
    """Return a calibrated float64 network in evaluation mode, with running statistics computed from the rows."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = ClassifierConfig(name=name, params=SMALL[name], reading=reading)
        network = build(config, field, classes=4).double()
    network.calibrate(rows)
    with torch.no_grad():
        for _ in range(20):
            network(rows)
    return network.eval()


def difference(network: WeightClassifier, rows: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference between the scores of two batches, relative to the scores' standard deviation."""
    with torch.no_grad():
        scores = network(rows)
        return ((scores - network(other)).abs().max() / scores.std(dim=0).mean()).item()


def moved(field: NeuralField, rows: torch.Tensor, **only: bool) -> torch.Tensor:
    """Move each field, and the mean that `framed` puts next to it, by one random element of the symmetry group."""
    kinds = {name: only.get(name, False) for name in ("permute", "flip", "turn")}
    element = random_element(field, len(rows), rng=seeds.stream(5, "test", "element"), **kinds)
    return torch.cat([act(field, part, element) for part in rows.split(parameter_count(field), dim=1)], dim=1)


def changed(field: NeuralField, rows: torch.Tensor, name: str, change: Callable[..., torch.Tensor]) -> torch.Tensor:
    params = {k: v.clone() for k, v in unflatten(field, rows).items()}
    params[name] = change(params[name])
    return flatten(field, params)


def test_every_classifier_is_tested_here() -> None:
    """This file tests every classifier and preset of the catalog except `mlp`, which is not invariant."""
    assert set(SMALL) == set(classifier_names()) - {"mlp"}


@READINGS
@INVARIANT
def test_permuting_units_changes_no_score(field: NeuralField, make_rows: MakeRows, name: str, reading: str) -> None:
    """Scores do not depend on the order of hidden units, if the mean that a network reads has the same order."""
    rows = make_rows(field, F)
    network = network_of(name, field, rows, reading)
    rows = network.framed(rows)
    assert difference(network, rows, moved(field, rows, permute=True)) < 1e-10


@INVARIANT
def test_permuting_units_without_the_mean_changes_scores(field: NeuralField, make_rows: MakeRows, name: str) -> None:
    """A centered network compares entries with their own means, so permuting only the fields changes its scores."""
    rows = make_rows(field, F)
    network = network_of(name, field, rows, "centered")
    assert difference(network, network.framed(rows), rows) == 0.0
    assert difference(network, rows, moved(field, rows, permute=True)) > 1e-3


@READINGS
@INVARIANT
def test_only_gnn_sign_is_invariant_to_flips(field: NeuralField, make_rows: MakeRows, name: str, reading: str) -> None:
    """Flips and phase shifts leave the scores of `gnn-sign` unchanged and change those of every other classifier."""
    rows = make_rows(field, F)
    network, symmetry = network_of(name, field, rows, reading), field.symmetry
    rows = network.framed(rows)
    for kind in [kind for kind, declared in (("flip", symmetry.flips), ("turn", symmetry.phase_shifts)) if declared]:
        change = difference(network, rows, moved(field, rows, **{kind: True}))
        assert change < 1e-10 if name == "gnn-sign" else change > 1e-8


@INVARIANT
def test_permuting_one_kernel_alone_changes_scores(field: NeuralField, make_rows: MakeRows, name: str) -> None:
    """Permuting the columns of only one kernel, but not the units' other weights, changes the scores."""
    rows = make_rows(field, F)
    network = network_of(name, field, rows)
    for kernel in [p.name for p in field.layout if len(p.shape) == 2 and p.shape[1] > 2 and p.shape[0] > 2]:
        assert difference(network, rows, changed(field, rows, kernel, lambda v: v.roll(1, dims=2))) > 1e-9, kernel


@INVARIANT
def test_a_shuffled_layer_changes_scores(field: NeuralField, make_rows: MakeRows, name: str) -> None:
    """Shuffling all weights within one kernel of each field changes the scores."""
    rows = make_rows(field, F)
    network = network_of(name, field, rows)
    for kernel in [p.name for p in field.layout if len(p.shape) == 2 and min(p.shape) > 2]:
        order = torch.from_numpy(seeds.stream(1, "test", kernel).permutation(unflatten(field, rows)[kernel][0].numel()))
        shuffled = changed(field, rows, kernel, lambda v, order=order: v.flatten(1)[:, order].reshape(v.shape))
        assert difference(network, rows, shuffled) > 1e-9, kernel


@READINGS
@INVARIANT
def test_every_weight_matters(field: NeuralField, make_rows: MakeRows, name: str, reading: str) -> None:
    """Scores depend on every parameter, so invariance is not achieved by ignoring some parameters.

    A centered network also depends on every entry of the mean.
    """
    network = network_of(name, field, make_rows(field, F), reading)
    rows = network.framed(make_rows(field, F)).requires_grad_(True)
    (gradient,) = torch.autograd.grad(network(rows)[:, 0].sum(), rows)
    assert (gradient.abs().amax(dim=0) > 0).all()


@INVARIANT
def test_a_centered_network_reads_small_differences(field: NeuralField, make_rows: MakeRows, name: str) -> None:
    """Scores of fields that differ by a millionth of their weights do not depend on the size of the differences.

    A plain network gives all of them nearly the same scores.
    """
    start, spread = make_rows(field, 1), make_rows(field, F, seed=1)
    close, closer = (start + size * spread for size in (1e-6, 1e-7))
    with torch.no_grad():
        one, other = (network_of(name, field, rows, "centered")(rows) for rows in (close, closer))
        plain = network_of(name, field, start + spread)(close)
    assert (one - other).abs().max() < 1e-3 * one.std(dim=0).mean()
    assert plain.std(dim=0).max() < 1e-3 * one.std(dim=0).mean()


@pytest.mark.parametrize("name", ["gnn-sign", "gnn-thin", "gnn", "gnn-published", "transformer-published"])
@pytest.mark.parametrize("spread", [1e-2, 1e-6])
def test_a_field_far_from_the_training_fields_has_finite_scores(
    field: NeuralField, make_rows: MakeRows, name: str, spread: float
) -> None:
    """A centered network scores a field of another init, however much farther it is from the mean."""
    start, directions, other = make_rows(field, 1), make_rows(field, F, seed=1), make_rows(field, 1, seed=2)
    network = network_of(name, field, start + spread * directions, "centered").float()
    with torch.no_grad():
        assert network(other.float()).isfinite().all()
