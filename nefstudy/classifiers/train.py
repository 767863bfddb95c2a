"""Training of a classifier: validation accuracy selects the epoch; the test split, if any, is read once, at the end."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, cos, isfinite, pi
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from nefstudy import seeds
from nefstudy.classifiers.augment import augment
from nefstudy.classifiers.catalog import CLASSIFIERS, build, complete, with_reading
from nefstudy.classifiers.classifier import WeightClassifier, count_parameters
from nefstudy.classifiers.mixup import blend
from nefstudy.classifiers.networks import norm
from nefstudy.classifiers.networks.committee import combined_logits, members
from nefstudy.classifiers.networks.gnn import GnnNetwork
from nefstudy.classifiers.scores import Scores, score
from nefstudy.classifiers.weights import WeightData
from nefstudy.config import AugmentConfig, ClassifierConfig
from nefstudy.errors import BadConfig, FitDiverged
from nefstudy.fields.field import NeuralField
from nefstudy.signals.signal import Split


@dataclass(frozen=True)
class Epoch:
    """The scores of one epoch: training scores accumulated during the epoch, validation scores at its end."""

    number: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float


def curves_of(epochs: Sequence[Epoch]) -> dict[str, list[tuple[int, float]]]:
    """Return the loss and accuracy of the training and validation splits by epoch."""
    names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
    return {name: [(epoch.number, float(getattr(epoch, name))) for epoch in epochs] for name in names}


@dataclass(frozen=True, eq=False)
class TrainedClassifier:
    """A network with the weights of its best validation epoch, and its scores on each split.

    Attributes:
        best_epoch: counted from 1; the highest validation accuracy, then the lowest loss, then the first.
        test: None if the data has no test split.
    """

    config: ClassifierConfig
    field: NeuralField
    classes: int
    network: WeightClassifier
    epochs: tuple[Epoch, ...]
    best_epoch: int
    train: Scores
    val: Scores
    test: Scores | None
    parameters: int

    @property
    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Loss and accuracy of the training and validation splits by epoch."""
        return curves_of(self.epochs)

    @property
    def held_out(self) -> tuple[Split, Scores]:
        """The test split and its scores, or the validation split and its scores if the data has no test split."""
        return ("val", self.val) if self.test is None else ("test", self.test)

    @property
    def metrics(self) -> dict[str, float]:
        """The scores that a trial reports, named by split; none of the test split if there is none."""
        return {
            "train_accuracy": self.train.accuracy,
            "val_accuracy": self.val.accuracy,
            **({} if self.test is None else {"test_accuracy": self.test.accuracy}),
            "train_loss": self.train.loss,
            "val_loss": self.val.loss,
        }


def train_classifier(
    config: ClassifierConfig,
    data: WeightData,
    *,
    seed: int,
    classifiers: Mapping[str, type[Any]] = CLASSIFIERS,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> TrainedClassifier:
    """Train on the training split of `data` and return the classifier of the best validation epoch.

    Under torch.distributed every process must call this with the same arguments: batches are split among the
    processes, gradients are summed, and all processes end with the same weights.

    Raises:
        BadConfig: the classifier cannot read fields of several architectures.
        FitDiverged: a split, or a class of the training split, has no field; a row or the loss is not finite.
    """
    data.check()
    config = with_reading(complete(config, classifiers=classifiers), shared=data.shared, classifiers=classifiers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.integer(seed, "classifier", "start"))
        network = _build(config, data, classifiers).to(data.parameters)
        network.calibrate(data.parameters[data.rows("train")])
        torch.manual_seed(seeds.integer(seed, "classifier", "noise", norm.rank()))
        epochs, best = _run(config, network, data, seed=seed, on_epoch=on_epoch)
    network.load_state_dict(best.state)
    return TrainedClassifier(
        config=config,
        field=data.field,
        classes=data.classes,
        network=network,
        epochs=epochs,
        best_epoch=best.epoch,
        train=score(network, data, "train"),
        val=score(network, data, "val"),
        test=score(network, data, "test") if data.has_test else None,
        parameters=count_parameters(network),
    )


def _build(config: ClassifierConfig, data: WeightData, classifiers: Mapping[str, type[Any]]) -> WeightClassifier:
    network = build(config, data.field, classes=data.classes, classifiers=classifiers)
    if not data.architectures:
        return network
    if not isinstance(network, GnnNetwork) or config.mixup or config.augment != AugmentConfig():
        raise BadConfig(
            f"classifier {config.name!r} on fields of {len(data.architectures)} architectures: allowed is only 'gnn', "
            "without members, mixup and augment; use it, or pass fields of one architecture"
        )
    from nefstudy.classifiers.networks.sparse import MixedNetwork  # torch-geometric takes a second to import

    return MixedNetwork(network, data.architectures)


@dataclass(frozen=True, eq=False)
class _Best:
    """The best epoch so far, by validation accuracy; lower validation loss, then the earlier epoch, breaks ties."""

    epoch: int
    accuracy: float
    loss: float
    state: dict[str, Tensor]

    def beaten_by(self, scores: Scores) -> bool:
        return (scores.accuracy, -scores.loss) > (self.accuracy, -self.loss)


def _run(
    config: ClassifierConfig,
    network: WeightClassifier,
    data: WeightData,
    *,
    seed: int,
    on_epoch: Callable[[Epoch], None] | None,
) -> tuple[tuple[Epoch, ...], _Best]:
    rows = data.rows("train")
    batches = ceil(len(rows) / config.batch_size)
    optimizer = torch.optim.AdamW(_groups(network, config), lr=config.lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, config.epochs * batches, warmup=config.warmup)
    )
    evaluated = averaged_copy(network) if config.average else network
    epochs: list[Epoch] = []
    best = _Best(0, -1.0, 0.0, {})
    for number in range(1, config.epochs + 1):
        order = torch.from_numpy(seeds.stream(seed, "classifier", "order", number).permutation(len(rows)))
        counts = torch.zeros(2, dtype=torch.float64)
        noise = seeds.stream(seed, "classifier", "augment", number)
        for batch in np.array_split(order, batches):
            counts += _step(config, network, data.select(rows[batch]), optimizer, rng=noise)
            if config.average:
                average(evaluated, network, decay=config.average, step=schedule.last_epoch)
            schedule.step()
        loss, accuracy = (counts / len(rows)).tolist()
        if not isfinite(loss):
            raise FitDiverged(
                f"training loss {loss} in epoch {number}; lower the classifier's learning rate {config.lr}"
            )
        val = score(evaluated, data, "val")
        epoch = Epoch(number, loss, accuracy, val.loss, val.accuracy)
        epochs.append(epoch)
        if best.beaten_by(val):
            best = _Best(number, val.accuracy, val.loss, copy.deepcopy(evaluated.state_dict()))
        if on_epoch:
            on_epoch(epoch)
        if config.patience is not None and number - best.epoch >= config.patience:
            break
    return tuple(epochs), best


def _step(
    config: ClassifierConfig,
    network: WeightClassifier,
    batch: WeightData,
    optimizer: torch.optim.Optimizer,
    *,
    rng: np.random.Generator,
) -> Tensor:
    """Take one optimizer step.

    Return the sum of losses and the number of correct predictions over the whole batch.
    """
    network.train()
    own = slice(norm.rank(), None, norm.world_size())
    augmented = augment(config.augment, batch.field, network.framed(batch.parameters), rng=rng)
    blended = blend(augmented, batch.labels, alpha=config.mixup, rng=rng).part(own)
    member_logits = [member(blended.rows) for member in members(network)]
    losses = torch.stack([blended.loss(logits, label_smoothing=config.label_smoothing) for logits in member_logits])
    optimizer.zero_grad()
    torch.autograd.backward(losses.sum() / len(batch))  # each member learns as if trained alone
    norm.add_gradients(network)
    for member in members(network):
        nn.utils.clip_grad_norm_(member.parameters(), config.clip_norm)
    optimizer.step()
    correct = (combined_logits(member_logits).detach().argmax(dim=1) == blended.labels).sum()
    return norm.sum_across(torch.stack([losses.detach().mean().double(), correct.double()]).cpu())


def learning_rate_factor(step: int, total: int, *, warmup: float) -> float:
    """Return a step's learning rate factor: linear warm-up over a fraction of all steps, then cosine decay to zero."""
    rise = warmup * total
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1.0 + cos(pi * (step - rise) / max(total - rise, 1.0)))


def _groups(network: WeightClassifier, config: ClassifierConfig) -> list[dict[str, object]]:
    """Return parameter groups with weight decay for matrices and without it for vectors (gains, shifts, biases)."""
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]


M = TypeVar("M", bound=nn.Module)

_EARLY = 10.0  # steps after which the mean no longer depends on the untrained weights, for any decay


def averaged_copy(network: M) -> M:
    """Return a copy of the network without gradients, which holds the running mean of its weights."""
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def average(mean: nn.Module, network: nn.Module, *, decay: float, step: int) -> None:
    """Move the running mean of weights and batch statistics toward the current values; `step` counts from 0.

    Weights k steps old enter with the factor decay^k. Early on the decay is at most (1 + step) / (10 + step), as the
    weights are not an average.
    """
    keep = min(decay, (1.0 + step) / (_EARLY + step))
    torch._foreach_lerp_(_numbers(mean), _numbers(network), 1.0 - keep)  # torch's own optimizers use it


def _numbers(network: nn.Module) -> list[Tensor]:
    return [value for value in network.state_dict().values() if value.is_floating_point()]
