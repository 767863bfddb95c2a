"""The laws of every invariant classifier on every field. `mlp` is the documented exception: see test_sign_gnn."""

from collections.abc import Callable

import pytest
import torch

from nefstudy import seeds
from nefstudy.classifiers.catalog import CLASSIFIERS, build
from nefstudy.classifiers.classifier import WeightReader
from nefstudy.config import ClassifierConfig
from nefstudy.fields.actions import act, random_element
from nefstudy.fields.field import NeuralField, flatten, unflatten
from nefstudy.scalars import Scalar

MakeRows = Callable[..., torch.Tensor]
F = 5
# As deep as the deepest field here, so that every weight can be heard of.
SMALL: dict[str, dict[str, Scalar]] = {
    "gnn": {"width": 8, "steps": 5, "node_hidden": 12, "edge_hidden": 8},
    "gnn-thin": {"width": 8, "pooled": 8},
    "gnn-sign": {"width": 8, "pooled": 8},
    "transformer": {"width": 8, "edge_width": 6, "heads": 2, "rounds": 2},
    "dws": {"width": 8, "depth": 2, "pooled": 8},
}
INVARIANT = pytest.mark.parametrize("name", list(SMALL))


def reader_of(name: str, field: NeuralField, rows: torch.Tensor) -> WeightReader:
    """A calibrated float64 reader in evaluation mode whose running statistics have seen the rows."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        reader = build(ClassifierConfig(name=name, params=SMALL[name]), field, classes=4).double()
    reader.calibrate(rows)
    with torch.no_grad():
        for _ in range(20):
            reader(rows)
    return reader.eval()


def difference(reader: WeightReader, rows: torch.Tensor, other: torch.Tensor) -> float:
    """Largest change of a score, relative to the spread of scores over fields."""
    with torch.no_grad():
        scores = reader(rows)
        return ((scores - reader(other)).abs().max() / scores.std(dim=0).mean()).item()


def moved(field: NeuralField, rows: torch.Tensor, **only: bool) -> torch.Tensor:
    kinds = {name: only.get(name, False) for name in ("permute", "flip", "turn")}
    return act(field, rows, random_element(field, len(rows), rng=seeds.stream(5, "test", "element"), **kinds))


def changed(field: NeuralField, rows: torch.Tensor, name: str, change: Callable[..., torch.Tensor]) -> torch.Tensor:
    params = {k: v.clone() for k, v in unflatten(field, rows).items()}
    params[name] = change(params[name])
    return flatten(field, params)


def test_every_classifier_is_under_these_laws() -> None:
    """A new classifier is invariant and listed here, or it is the flat baseline."""
    assert set(SMALL) == set(CLASSIFIERS) - {"mlp"}


@INVARIANT
def test_permuting_units_changes_no_score(field: NeuralField, make_rows: MakeRows, name: str) -> None:
    """Scores do not depend on the order of hidden units."""
    rows = make_rows(field, F)
    assert difference(reader_of(name, field, rows), rows, moved(field, rows, permute=True)) < 1e-10


@INVARIANT
def test_only_the_sign_reader_misses_flips(field: NeuralField, make_rows: MakeRows, name: str) -> None:
    """Flips and turns leave the scores of `gnn-sign` unchanged and move those of every other classifier."""
    rows = make_rows(field, F)
    reader, symmetry = reader_of(name, field, rows), field.symmetry
    for kind in [kind for kind, declared in (("flip", symmetry.flips), ("turn", symmetry.phases)) if declared]:
        change = difference(reader, rows, moved(field, rows, **{kind: True}))
        assert change < 1e-10 if name == "gnn-sign" else change > 1e-8


@INVARIANT
def test_permuting_one_kernel_alone_is_seen(field: NeuralField, make_rows: MakeRows, name: str) -> None:
    """Moving the columns of one kernel without what is attached to them changes scores."""
    rows = make_rows(field, F)
    reader = reader_of(name, field, rows)
    for kernel in [p.name for p in field.layout if len(p.shape) == 2 and p.shape[1] > 2 and p.shape[0] > 2]:
        assert difference(reader, rows, changed(field, rows, kernel, lambda v: v.roll(1, dims=2))) > 1e-9, kernel


@INVARIANT
def test_a_shuffled_layer_is_seen(field: NeuralField, make_rows: MakeRows, name: str) -> None:
    """Shuffling all weights of a kernel among themselves, per field, changes scores."""
    rows = make_rows(field, F)
    reader = reader_of(name, field, rows)
    for kernel in [p.name for p in field.layout if len(p.shape) == 2 and min(p.shape) > 2]:
        order = torch.from_numpy(seeds.stream(1, "test", kernel).permutation(unflatten(field, rows)[kernel][0].numel()))
        shuffled = changed(field, rows, kernel, lambda v, order=order: v.flatten(1)[:, order].reshape(v.shape))
        assert difference(reader, rows, shuffled) > 1e-9, kernel


@INVARIANT
def test_every_weight_matters(field: NeuralField, make_rows: MakeRows, name: str) -> None:
    """Scores depend on every single parameter, so invariance is not blindness."""
    rows = make_rows(field, F).requires_grad_(True)
    (gradient,) = torch.autograd.grad(reader_of(name, field, rows.detach())(rows)[:, 0].sum(), rows)
    assert (gradient.abs().amax(dim=0) > 0).all()
