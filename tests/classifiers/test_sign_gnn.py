from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from nefstudy import seeds
from nefstudy.classifiers.classifier import Classifier, WeightReader
from nefstudy.classifiers.dws import Dws
from nefstudy.classifiers.gnn import Gnn
from nefstudy.classifiers.graph import weight_graph
from nefstudy.classifiers.mlp import Mlp
from nefstudy.classifiers.sign_gnn import GnnSign, GnnThin
from nefstudy.classifiers.transformer import Transformer
from nefstudy.fields.actions import act, random_element
from nefstudy.fields.field import NeuralField, flatten, unflatten
from nefstudy.fields.siren import Siren

MakeRows = Callable[..., torch.Tensor]
F = 6
SMALL = [
    GnnSign(width=8, pooled=8),
    GnnThin(width=8, pooled=8),
    Gnn(width=8, steps=2, node_hidden=8, edge_hidden=8),
    Mlp(width=8),
    Transformer(width=8, edge_width=4, heads=2, rounds=2),
    Dws(width=8, depth=2, pooled=8),
]


def reader_of(choice: Classifier, field: NeuralField, rows: torch.Tensor) -> WeightReader:
    """A calibrated float64 reader in evaluation mode whose running statistics have seen the rows."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        reader = choice.build(field, 5).double()
    reader.calibrate(rows)
    with torch.no_grad():
        for _ in range(20):
            reader(rows)
    return reader.eval()


def moved(field: NeuralField, rows: torch.Tensor, **only: bool) -> torch.Tensor:
    kinds = {name: only.get(name, False) for name in ("permute", "flip", "turn")}
    return act(field, rows, random_element(field, len(rows), rng=seeds.stream(5, "test", "element"), **kinds))


def difference(reader: WeightReader, rows: torch.Tensor, other: torch.Tensor) -> float:
    """Largest change of a score, relative to the spread of scores over fields."""
    with torch.no_grad():
        scores = reader(rows)
        return ((scores - reader(other)).abs().max() / scores.std(dim=0).mean()).item()


@pytest.mark.parametrize("kind", ["permute", "flip", "turn"])
@pytest.mark.parametrize("sweeps", [1, 2])
def test_no_declared_symmetry_changes_a_score(field: NeuralField, make_rows: MakeRows, kind: str, sweeps: int) -> None:
    """Scores are invariant to each generator of the field's symmetry group."""
    rows = make_rows(field, F)
    reader = reader_of(GnnSign(width=8, pooled=8, sweeps=sweeps), field, rows)
    assert difference(reader, rows, moved(field, rows, **{kind: True})) < 1e-10


def test_the_thin_gnn_knows_permutations_only(field: NeuralField, make_rows: MakeRows) -> None:
    """`GnnThin` is invariant to permutations and sees flips, where the field has any."""
    rows = make_rows(field, F)
    reader = reader_of(GnnThin(width=8, pooled=8), field, rows)
    assert difference(reader, rows, moved(field, rows, permute=True)) < 1e-10
    assert difference(reader, rows, moved(field, rows, flip=True)) > 1e-3


def test_the_flat_reader_is_not_invariant(field: NeuralField, make_rows: MakeRows) -> None:
    """`Mlp` sees permutations: the baseline must not be mistaken for an invariant reader."""
    rows = make_rows(field, F)
    assert difference(reader_of(Mlp(width=16), field, rows), rows, moved(field, rows, permute=True)) > 1e-2


def test_every_parameter_matters(field: NeuralField, make_rows: MakeRows) -> None:
    """Scores depend on every single weight, so invariance is not blindness."""
    rows = make_rows(field, F).requires_grad_(True)
    reader = reader_of(GnnSign(width=8, pooled=8), field, rows.detach())
    (gradient,) = torch.autograd.grad(reader(rows)[:, 0].sum(), rows)
    assert (gradient.abs().amax(dim=0) > 1e-9).all()


def test_a_permutation_of_one_parameter_alone_is_seen(field: NeuralField, make_rows: MakeRows) -> None:
    """Shuffling the units of one kernel without what is attached to them changes scores."""
    rows = make_rows(field, F)
    reader = reader_of(GnnSign(width=8, pooled=8), field, rows)
    for name in [p.name for p in field.layout if len(p.shape) == 2 and p.shape[0] > 2]:
        params = {k: v.clone() for k, v in unflatten(field, rows).items()}
        params[name] = params[name].roll(1, dims=1)
        assert difference(reader, rows, flatten(field, params)) > 1e-3, name


def test_a_sign_taken_at_one_end_only_is_seen(field: NeuralField, make_rows: MakeRows) -> None:
    """Flipping a unit's weights in one slot of a declared flip, and not in the others, changes scores."""
    rows = make_rows(field, F)
    reader = reader_of(GnnSign(width=8, pooled=8), field, rows)
    name = field.layout[-1].name
    params = {k: v.clone() for k, v in unflatten(field, rows).items()}
    params[name][:, 0] *= -1
    assert difference(reader, rows, flatten(field, params)) > 1e-3


def test_a_turn_without_its_sign_is_seen(make_rows: MakeRows) -> None:
    """Shifting a SIREN's bias by its period without the sign that belongs to it changes scores."""
    field = Siren(in_dim=2, out_dim=1, hidden=6)
    rows = make_rows(field, F)
    reader = reader_of(GnnSign(width=8, pooled=8), field, rows)
    params = {k: v.clone() for k, v in unflatten(field, rows).items()}
    params["bias_0"][:, 0] += field.symmetry.phases[0].period
    assert difference(reader, rows, flatten(field, params)) > 1e-3


def test_a_reader_without_phases_keeps_the_flips(field: NeuralField, make_rows: MakeRows) -> None:
    """Of half as many copies the flips of a field are still exact, and a phase is seen."""
    rows = make_rows(field, F)
    reader = reader_of(GnnSign(width=8, pooled=8, phases=False), field, rows)
    for kind, declared in (("flip", field.symmetry.flips), ("turn", field.symmetry.phases)):
        change = difference(reader, rows, moved(field, rows, **{kind: True}))
        assert change < 1e-10 if kind == "flip" or not declared else change > 1e-8
    copies = [[layer.generators for layer in weight_graph(field, phases=p).layers] for p in (True, False)]
    assert [a - b for a, b in zip(*copies, strict=True)] == [
        sum(phase.layer == layer for phase in field.symmetry.phases) for layer in range(len(copies[0]))
    ]


@pytest.mark.parametrize("choice", SMALL, ids=lambda choice: type(choice).__name__)
class TestEveryReader:
    def test_the_order_of_fields_is_the_order_of_scores(
        self, field: NeuralField, make_rows: MakeRows, choice: Classifier
    ) -> None:
        """Permuting fields permutes scores; a field's scores do not depend on its neighbours."""
        rows = make_rows(field, F)
        reader = reader_of(choice, field, rows)
        order = torch.tensor([3, 1, 5, 0, 2, 4])
        assert difference(reader, rows[order], rows) > 1e-3
        with torch.no_grad():
            scores = reader(rows)
            assert torch.allclose(reader(rows[order]), scores[order], rtol=0, atol=1e-12)
            assert torch.allclose(reader(rows[2:3]), scores[2:3], rtol=0, atol=1e-12)

    def test_all_zero_weights_have_finite_gradients(
        self, field: NeuralField, make_rows: MakeRows, choice: Classifier
    ) -> None:
        """Nothing divides by a spread, a norm or a root that is zero."""
        rows = torch.zeros_like(make_rows(field, 4)).requires_grad_(True)
        reader = choice.build(field, 5).double()
        reader.calibrate(rows.detach())
        reader(rows).square().sum().backward()
        gradients = [rows.grad, *(p.grad for p in reader.parameters() if p.grad is not None)]
        assert all(torch.isfinite(g).all() for g in gradients if g is not None)

    def test_a_batch_of_one_trains(self, field: NeuralField, make_rows: MakeRows, choice: Classifier) -> None:
        """One field alone gives finite scores and a gradient that is not zero."""
        rows = make_rows(field, 1)
        reader = choice.build(field, 5).double()
        reader.calibrate(rows)
        reader(rows)[0, 0].backward()
        gradients = [p.grad for p in reader.parameters() if p.grad is not None]
        assert all(torch.isfinite(g).all() for g in gradients)
        assert any(g.abs().max() > 0 for g in gradients)

    def test_statistics_are_scalars(self, field: NeuralField, make_rows: MakeRows, choice: Classifier) -> None:
        """What a reader measures on the training split has no entry per unit or per weight."""
        rows = make_rows(field, F)
        reader = choice.build(field, 5).double()
        fresh = {name: value.clone() for name, value in reader.named_buffers()}
        reader.calibrate(rows)
        measured = {n: v for n, v in reader.named_buffers() if not torch.equal(v, fresh[n])}
        assert measured
        assert all(value.numel() <= 2 * len(field.layout) for value in measured.values())


@pytest.mark.parametrize(
    "choice", [replace(choice, dropout=0.5) for choice in SMALL], ids=lambda choice: type(choice).__name__
)
def test_dropout_is_off_in_evaluation(field: NeuralField, make_rows: MakeRows, choice: Classifier) -> None:
    """Scores repeat in evaluation mode and differ in training mode."""
    rows = make_rows(field, F)
    reader = reader_of(choice, field, rows)
    assert difference(reader, rows, rows) == 0.0
    reader.train()
    assert difference(reader, rows, rows) > 1e-3
