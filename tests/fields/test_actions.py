import numpy as np
import pytest
import torch

from nefstudy import seeds
from nefstudy.fields.actions import Element, act, random_element
from nefstudy.fields.field import NeuralField, unflatten
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren
from nefstudy.fields.symmetry import Slot

FIELDS = [
    Siren(in_dim=2, out_dim=3, hidden=6, layers=4),
    Siren(in_dim=3, out_dim=1, hidden=5, layers=2, omega_0=3.0),
    RffNet(in_dim=2, out_dim=1, hidden=8, layers=4),
    RffNet(in_dim=3, out_dim=2, hidden=6, layers=1),
    Mfn(in_dim=2, out_dim=1, hidden=6, filters=4),
    Mfn(in_dim=3, out_dim=2, hidden=5, filters=1),
]
F = 4


def random_rows(field: NeuralField, count: int = F) -> torch.Tensor:
    """Return initial parameters with noise added, so that no bias is zero."""
    rng = seeds.stream(0, "test", "rows")
    rows = [np.concatenate([v.ravel() for v in field.init(rng).values()]) for _ in range(count)]
    noisy = np.stack(rows).astype(np.float64)
    return torch.from_numpy(noisy + 0.1 * rng.standard_normal(noisy.shape))


def outputs(field: NeuralField, rows: torch.Tensor) -> torch.Tensor:
    coords = torch.from_numpy(seeds.stream(0, "test", "points").uniform(-1, 1, (50, field.in_dim)))
    return field.forward(unflatten(field, rows), coords)


@pytest.mark.parametrize("field", FIELDS, ids=repr)
@pytest.mark.parametrize("kind", ["permute", "flip", "turn"])
def test_every_declared_symmetry_leaves_the_function_unchanged(field: NeuralField, kind: str) -> None:
    """Applying a random permutation, flip or phase shift to all units changes the weights but not the outputs."""
    rows = random_rows(field)
    only = {name: name == kind for name in ("permute", "flip", "turn")}
    moved = act(field, rows, random_element(field, F, rng=seeds.stream(0, "test", "element"), **only))
    before, after = outputs(field, rows), outputs(field, moved)
    declared = {"permute": True, "flip": field.symmetry.flips, "turn": field.symmetry.phase_shifts}[kind]
    assert bool(declared) == (not torch.equal(rows, moved))
    assert (before - after).abs().max() < 1e-11 * before.std()


@pytest.mark.parametrize("field", FIELDS, ids=repr)
def test_all_symmetries_at_once_leave_the_function_unchanged(field: NeuralField) -> None:
    """Compositions of permutations, flips and phase shifts do not change the outputs."""
    rows = random_rows(field)
    moved = act(field, rows, random_element(field, F, rng=seeds.stream(1, "test", "element")))
    before = outputs(field, rows)
    assert (before - outputs(field, moved)).abs().max() < 1e-11 * before.std()


@pytest.mark.parametrize("field", FIELDS, ids=repr)
def test_omitting_any_attached_slot_changes_the_function(field: NeuralField) -> None:
    """A permutation or flip that leaves out any of the parameters that it should act on changes the outputs."""
    rows = random_rows(field)
    before = outputs(field, rows)
    for kind in ("permute", "flip"):
        only = {name: name == kind for name in ("permute", "flip", "turn")}
        moved = act(field, rows, random_element(field, F, rng=seeds.stream(2, "test", "element"), **only))
        for parameter in field.layout:
            broken, original = unflatten(field, moved.clone()), unflatten(field, rows)[parameter.name]
            if torch.equal(broken[parameter.name], original):
                continue
            broken[parameter.name].copy_(original)
            mixed = torch.cat([broken[p.name].reshape(F, -1) for p in field.layout], dim=1)
            assert (before - outputs(field, mixed)).abs().max() > 1e-3 * before.std(), (kind, parameter.name)


def test_half_a_period_is_not_a_symmetry() -> None:
    """Shifting a bias by half of its declared period changes the function, so the declared period is minimal."""
    field = Siren(in_dim=2, out_dim=1, hidden=6)
    rows = random_rows(field)
    for parameter, period in (
        ("bias_0", field.symmetry.phase_shifts[0].period),
        ("bias_1", field.symmetry.phase_shifts[1].period),
    ):
        params = {k: v.clone() for k, v in unflatten(field, rows).items()}
        params[parameter] += 0.5 * period
        moved = torch.cat([params[p.name].reshape(F, -1) for p in field.layout], dim=1)
        assert (outputs(field, rows) - outputs(field, moved)).abs().max() > 0.1


def test_a_permutation_and_its_inverse_restore_the_weights() -> None:
    """A permutation followed by its inverse restores the weights exactly."""
    field = Mfn(in_dim=2, out_dim=1, hidden=6)
    rows = random_rows(field)
    element = random_element(field, F, rng=seeds.stream(3, "test", "element"), flip=False, turn=False)
    back = Element({k: v.argsort(dim=1) for k, v in element.orders.items()}, element.signs, element.turns)
    assert torch.equal(act(field, act(field, rows, element), back), rows)
    assert not torch.equal(act(field, rows, element), rows)


@pytest.mark.parametrize("field", FIELDS, ids=repr)
def test_every_parameter_is_in_the_graph_exactly_once(field: NeuralField) -> None:
    """The graph of nodes and edges contains every parameter exactly once, with shapes that match the nodes' sizes."""
    symmetry = field.symmetry
    sizes = {p.name: p.shape for p in field.layout}
    covered = {p.name: np.zeros(p.shape[0], dtype=int) for p in field.layout}
    slots: list[tuple[Slot, tuple[int, ...]]] = [(slot, (node.size,)) for node in symmetry.nodes for slot in node.slots]
    for edge in symmetry.edges:
        shape: tuple[int, ...] = (symmetry.nodes[edge.source].size, symmetry.nodes[edge.target].size)
        slots += [(slot, shape) for slot in edge.slots]
    for slot, shape in slots:
        start, stop = slot.rows or (0, sizes[slot.parameter][0])
        assert (stop - start, *sizes[slot.parameter][1:]) == shape
        covered[slot.parameter][start:stop] += 1
    assert all((count == 1).all() for count in covered.values())
