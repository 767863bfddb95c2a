"""Laws of the flat reader's scales: what is measured on the training split, and what an offset common to all does."""

from collections.abc import Callable

import pytest
import torch

from nefstudy.classifiers.mlp import Mlp
from nefstudy.fields.siren import Siren

MakeRows = Callable[..., torch.Tensor]
FIELD = Siren(in_dim=2, out_dim=1, hidden=6)


def scores(choice: Mlp, rows: torch.Tensor) -> torch.Tensor:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        reader = choice.build(FIELD, 3).double()
        reader.calibrate(rows)
        return reader.eval()(rows)


def test_what_all_fields_share_is_not_read_entry_by_entry(make_rows: MakeRows) -> None:
    """An offset that all rows have leaves entrywise scores alone, and moves those of one mean a tensor."""
    rows = make_rows(FIELD, 20)
    moved = rows + torch.linspace(-3, 3, rows.shape[1]).to(rows)
    assert torch.allclose(scores(Mlp(entrywise=True), moved), scores(Mlp(entrywise=True), rows), atol=1e-9)
    assert (scores(Mlp(), moved) - scores(Mlp(), rows)).abs().max() > 1e-3


@pytest.mark.parametrize("entrywise", [False, True])
def test_the_size_of_a_tensor_is_not_read(make_rows: MakeRows, entrywise: bool) -> None:
    """Multiplying a parameter tensor of every field changes nothing; of some fields, it does."""
    rows = make_rows(FIELD, 20)
    factors = torch.cat([torch.full((p.size,), 2.0 + i) for i, p in enumerate(FIELD.layout)]).to(rows)
    choice = Mlp(entrywise=entrywise)
    assert torch.allclose(scores(choice, rows * factors), scores(choice, rows), atol=1e-9)
    some = rows.clone()
    some[::2] *= factors
    assert (scores(choice, some) - scores(choice, rows)).abs().max() > 1e-3
