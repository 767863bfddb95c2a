from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import spawn

from nefstudy.classifiers.networks.norm import BatchNorm
from nefstudy.classifiers.train import TrainedClassifier, train_classifier
from nefstudy.classifiers.weights import WeightData
from nefstudy.config import ClassifierConfig
from nefstudy.fields.siren import Siren

from ...present import present

MakeData = Callable[..., WeightData]


def test_batch_norm_agrees_with_torch() -> None:
    """`BatchNorm` has the same outputs, running statistics and gradients as torch.nn.BatchNorm1d."""
    ours, theirs = BatchNorm(5).double(), nn.BatchNorm1d(5).double()
    for _ in range(3):
        values = torch.randn(8, 5, dtype=torch.float64)
        a, b = (values.clone().requires_grad_(True) for _ in range(2))
        x, y = ours(a), theirs(b)
        weights = torch.randn(8, 5, dtype=torch.float64)
        (x * weights).sum().backward()
        (y * weights).sum().backward()
        assert torch.allclose(x, y)
        assert torch.allclose(present(a.grad), present(b.grad))
    assert torch.allclose(ours.mean, present(theirs.running_mean))
    assert torch.allclose(ours.variance, present(theirs.running_var))
    assert torch.allclose(ours.eval()(values), theirs.eval()(values))


def test_a_batch_of_one_is_not_erased() -> None:
    """A batch of one row is normalized by the running statistics, so different rows keep different values."""
    norm = BatchNorm(3)
    assert not torch.equal(norm(torch.ones(1, 3)), norm(torch.zeros(1, 3)))


def _train(data: WeightData, name: str) -> TrainedClassifier:
    config = ClassifierConfig(name=name, params={"width": 6}, epochs=2, batch_size=15, lr=1e-2)
    return train_classifier(config, data, seed=0)


def _work(rank: int, folder: str, data: WeightData, name: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet-{name}", rank=rank, world_size=2)
    trained = _train(data, name)
    outcome = [trained.network.state_dict(), trained.metrics, present(trained.test).confusion]
    torch.save(outcome, f"{folder}/{name}-{rank}")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp", "gnn-sign"])
def test_two_processes_train_as_one(make_data: MakeData, name: str, tmp_path: Path) -> None:
    """Two processes that split each batch end with the same weights and scores as a single process."""
    data = make_data(Siren(2, 1, hidden=4), dtype=torch.float64)
    spawn(_work, args=(str(tmp_path), data, name), nprocs=2)
    alone = _train(data, name)
    for rank in range(2):
        state, metrics, confusion = torch.load(tmp_path / f"{name}-{rank}")
        for key, value in alone.network.state_dict().items():
            assert torch.allclose(state[key], value, rtol=0, atol=1e-9), key
        assert confusion == present(alone.test).confusion
        assert metrics == pytest.approx(alone.metrics, abs=1e-9)
