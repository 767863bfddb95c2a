"""Training of a classifier: validation picks the epoch, the test split is read once, at the end."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, cos, isfinite, pi
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nefstudy import seeds
from nefstudy.classifiers import norm
from nefstudy.classifiers.augment import augment
from nefstudy.classifiers.averaging import average, averaged_copy
from nefstudy.classifiers.catalog import CLASSIFIERS, build, complete
from nefstudy.classifiers.classifier import WeightReader, count_parameters
from nefstudy.classifiers.committee import agree, members
from nefstudy.classifiers.mixup import blend
from nefstudy.classifiers.scores import Scores, score
from nefstudy.classifiers.weights import WeightData
from nefstudy.config import ClassifierConfig
from nefstudy.errors import FitDiverged
from nefstudy.fields.field import NeuralField


@dataclass(frozen=True)
class Epoch:
    """What one epoch showed: training scores as it went, validation scores at its end."""

    number: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float


def curves_of(epochs: Sequence[Epoch]) -> dict[str, list[tuple[int, float]]]:
    """Loss and accuracy of the training and validation splits by epoch."""
    names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
    return {name: [(epoch.number, float(getattr(epoch, name))) for epoch in epochs] for name in names}


@dataclass(frozen=True, eq=False)
class TrainedClassifier:
    """A reader with the weights of its best validation epoch, and its scores on each split.

    Attributes:
        best_epoch: counted from 1; the first with the highest validation accuracy, lower loss first.
    """

    config: ClassifierConfig
    field: NeuralField
    classes: int
    reader: WeightReader
    epochs: tuple[Epoch, ...]
    best_epoch: int
    train: Scores
    val: Scores
    test: Scores
    parameters: int

    @property
    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Loss and accuracy of the training and validation splits by epoch."""
        return curves_of(self.epochs)

    @property
    def metrics(self) -> dict[str, float]:
        """The scores of a trial, each named by its split."""
        return {
            "train_accuracy": self.train.accuracy,
            "val_accuracy": self.val.accuracy,
            "test_accuracy": self.test.accuracy,
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
    """A classifier trained on the training split of `data`, at the epoch its validation split prefers.

    Under torch.distributed every process must call this with the same arguments: batches are split among
    them, gradients added, and all end with the same weights.

    Raises:
        FitDiverged: a split, or a class of the training split, has no field; a row or the loss is not finite.
    """
    data.check()
    config = complete(config, classifiers=classifiers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.integer(seed, "classifier", "start"))
        reader = build(config, data.field, classes=data.classes, classifiers=classifiers).to(data.parameters)
        reader.calibrate(data.parameters[data.rows("train")])
        torch.manual_seed(seeds.integer(seed, "classifier", "noise", norm.rank()))
        epochs, best = _run(config, reader, data, seed=seed, on_epoch=on_epoch)
    reader.load_state_dict(best.state)
    train, val, test = (score(reader, data, split) for split in ("train", "val", "test"))
    return TrainedClassifier(
        config=config,
        field=data.field,
        classes=data.classes,
        reader=reader,
        epochs=epochs,
        best_epoch=best.epoch,
        train=train,
        val=val,
        test=test,
        parameters=count_parameters(reader),
    )


@dataclass(frozen=True, eq=False)
class _Best:
    """The best epoch so far: highest validation accuracy, then lowest validation loss, then first."""

    epoch: int
    accuracy: float
    loss: float
    state: dict[str, Tensor]

    def beaten_by(self, scores: Scores) -> bool:
        return (scores.accuracy, -scores.loss) > (self.accuracy, -self.loss)


def _run(
    config: ClassifierConfig,
    reader: WeightReader,
    data: WeightData,
    *,
    seed: int,
    on_epoch: Callable[[Epoch], None] | None,
) -> tuple[tuple[Epoch, ...], _Best]:
    rows = data.rows("train")
    batches = ceil(len(rows) / config.batch_size)
    optimizer = torch.optim.AdamW(_groups(reader, config), lr=config.lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, config.epochs * batches, warmup=config.warmup)
    )
    scored = averaged_copy(reader) if config.average else reader
    epochs: list[Epoch] = []
    best = _Best(0, -1.0, 0.0, {})
    for number in range(1, config.epochs + 1):
        order = torch.from_numpy(seeds.stream(seed, "classifier", "order", number).permutation(len(rows)))
        counts = torch.zeros(2, dtype=torch.float64)
        noise = seeds.stream(seed, "classifier", "augment", number)
        for picked in np.array_split(order, batches):
            counts += _step(config, reader, data.select(rows[picked]), optimizer, rng=noise)
            if config.average:
                average(scored, reader, decay=config.average, step=schedule.last_epoch)
            schedule.step()
        loss, accuracy = (counts / len(rows)).tolist()
        if not isfinite(loss):
            raise FitDiverged(
                f"training loss {loss} in epoch {number}; lower the classifier's learning rate {config.lr}"
            )
        val = score(scored, data, "val")
        epoch = Epoch(number, loss, accuracy, val.loss, val.accuracy)
        epochs.append(epoch)
        if best.beaten_by(val):
            best = _Best(number, val.accuracy, val.loss, copy.deepcopy(scored.state_dict()))
        if on_epoch:
            on_epoch(epoch)
        if config.patience is not None and number - best.epoch >= config.patience:
            break
    return tuple(epochs), best


def _step(
    config: ClassifierConfig,
    reader: WeightReader,
    batch: WeightData,
    optimizer: torch.optim.Optimizer,
    *,
    rng: np.random.Generator,
) -> Tensor:
    """Sum of losses and number of right answers over the whole batch, after one step on it."""
    reader.train()
    own = slice(norm.rank(), None, norm.world_size())
    changed = augment(config.augment, batch.field, batch.parameters, rng=rng)
    shown = blend(changed, batch.labels, alpha=config.mixup, rng=rng).part(own)
    answers = [member(shown.rows) for member in members(reader)]
    losses = torch.stack([shown.loss(logits, label_smoothing=config.label_smoothing) for logits in answers])
    optimizer.zero_grad()
    torch.autograd.backward(losses.sum() / len(batch))  # each member learns as if alone
    norm.add_gradients(reader)
    for member in members(reader):
        nn.utils.clip_grad_norm_(member.parameters(), config.clip_norm)
    optimizer.step()
    right = (agree(answers).detach().argmax(dim=1) == shown.labels).sum()
    return norm.sum_across(torch.stack([losses.detach().mean().double(), right.double()]).cpu())


def learning_rate_factor(step: int, total: int, *, warmup: float) -> float:
    """Linear warm-up over a fraction of all steps, then half a cosine down to zero."""
    rise = warmup * total
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1.0 + cos(pi * (step - rise) / max(total - rise, 1.0)))


def _groups(reader: WeightReader, config: ClassifierConfig) -> list[dict[str, object]]:
    """Weight decay for matrices, none for vectors (gains, shifts, biases)."""
    matrices = [p for p in reader.parameters() if p.ndim > 1]
    vectors = [p for p in reader.parameters() if p.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
