"""The neural datasets of a trial: opened or fitted, repaired if damaged, and measured."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nefstudy.config import FitConfig
from nefstudy.errors import BadNeuralDataset, FitDiverged
from nefstudy.fields.catalog import build
from nefstudy.neural_dataset.read import NeuralDataset, find_neural_dataset
from nefstudy.neural_dataset.repair import remove_damage
from nefstudy.neural_dataset.rung import Rung
from nefstudy.neural_dataset.write import finish_neural_dataset, write_neural_dataset
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.signal import SPLITS, Signals
from nefstudy.tasks.progress import fit_progress
from nefstudy.tasks.result import TrialResult, UsedDataset
from nefstudy.tasks.setting import Setting
from nefstudy.tasks.task import Need

log = logging.getLogger(__name__)

MIN_SURVIVORS = 0.5  # a trial in which a smaller share of fields survives counts as diverged


@dataclass(frozen=True, eq=False)
class ObtainedDataset:
    """A neural dataset of a trial, opened at the trial's rung.

    Attributes:
        fitted: whether this trial fitted it.
        seconds: time to open or fit it.
        ladder: step counts to fit if it has to be fitted.
    """

    need: Need
    signals: Signals
    dataset: NeuralDataset
    rung: Rung
    fitted: bool
    seconds: float
    ladder: tuple[int, ...]

    @property
    def field_steps(self) -> float:
        """Number of optimizer steps that this trial computed, summed over all fields."""
        return float(len(self.rung.ids) * max(self.ladder)) if self.fitted else 0.0

    @property
    def used(self) -> UsedDataset:
        """The record of this neural dataset in the trial's result."""
        manifest = self.dataset.manifest
        return UsedDataset(
            digest=self.need.digest,
            fitted=self.fitted,
            rungs=self.dataset.rungs,
            bytes=sum(shard.bytes for record in manifest.rungs for shard in record.shards),
            fingerprint=dict(manifest.fingerprint),
            sha256=manifest.rung(self.need.rung).sha256,
        )


def with_neural_dataset(
    need: Need,
    *,
    setting: Setting,
    then: Callable[[ObtainedDataset], TrialResult],
    check: Callable[[Signals], object] = lambda _signals: None,
) -> TrialResult:
    """Call `then` with one neural dataset and return the result of `then`; see `with_neural_datasets`."""
    return with_neural_datasets((need,), setting=setting, then=lambda obtained: then(*obtained), check=check)


def with_neural_datasets(
    needs: Sequence[Need],
    *,
    setting: Setting,
    then: Callable[[tuple[ObtainedDataset, ...]], TrialResult],
    check: Callable[[Signals], object] = lambda _signals: None,
) -> TrialResult:
    """Call `then` with the needed neural datasets, in the order of `needs`, and return the result of `then`.

    Damaged datasets are repaired, and `then` is retried once.

    Every rank of `setting.world` calls this with the same needs.

    Args:
        check: raises if the signals of a need do not suit `then`; called before anything is fitted.

    Raises:
        BadSignals, BadNeuralDataset: the data cannot be read.
    """
    signals = [load_signals(need.recipe.signals, sources=setting.catalogs.signals) for need in needs]
    for one in signals:
        check(one)

    def attempt() -> TrialResult:
        return then(tuple(obtain(need, own, setting=setting) for need, own in zip(needs, signals, strict=True)))

    try:
        return attempt()
    except BadNeuralDataset as damage:
        _repair(needs, damage, setting=setting)
        return attempt()


def obtain(need: Need, signals: Signals, *, setting: Setting) -> ObtainedDataset:
    """Open a neural dataset at a rung, fitting it first if it does not exist."""
    began, ladder = setting.clock(), setting.ladder(need.digest, rung=need.rung)
    existing = find_neural_dataset(setting.root, need.digest, fields=setting.catalogs.fields)
    if existing is None or need.rung not in existing.rungs:
        dataset, fitted = _fit(need, signals, ladder, setting=setting), True
    else:
        dataset, fitted = existing, False
    rung, seconds = dataset.rung(need.rung), setting.clock() - began
    log.info("%s neural dataset %s in %.1f s", "fitted" if fitted else "opened", need.digest, seconds)
    return ObtainedDataset(need, signals, dataset, rung, fitted=fitted, seconds=seconds, ladder=ladder)


def _fit(need: Need, signals: Signals, ladder: tuple[int, ...], *, setting: Setting) -> NeuralDataset:
    recipe, catalogs, world = need.recipe, setting.catalogs, setting.world
    field = build(recipe.field, in_dim=signals.in_dim, out_dim=signals.out_dim, fields=catalogs.fields)
    fit = FitConfig(
        dataset=recipe,
        rungs=ladder,
        engine=setting.engine,
        chunk_halvings=setting.chunk_halvings,
        fits_per_shape=setting.fits_per_shape,
    )
    world.barrier()  # every rank has looked for it before any rank writes
    write_neural_dataset(
        fit,
        signals,
        setting.root,
        field=field,
        inits=catalogs.inits,
        rank=world.rank,
        world=world.size,
        on_progress=fit_progress(setting.on_progress, steps=max(ladder), clock=setting.clock),
    )
    world.barrier()
    if world.rank == 0:
        finish_neural_dataset(fit, signals, setting.root, field=field)
    world.barrier()
    dataset = find_neural_dataset(setting.root, need.digest, fields=catalogs.fields)
    assert dataset is not None  # finish_neural_dataset wrote it or raised
    return dataset


def _repair(needs: Sequence[Need], damage: BadNeuralDataset, *, setting: Setting) -> None:
    """Remove the damaged parts of neural datasets; rank 0 does this while the other ranks wait."""
    setting.world.barrier()
    if setting.world.rank == 0:
        removed = [path for need in needs for path in remove_damage(setting.root, need.digest)]
        log.warning("%s; fitting again: %s", damage, ", ".join(removed) or "the manifest")
    setting.world.barrier()


def fit_result(obtained: ObtainedDataset) -> TrialResult:
    """Return the part of a trial's result that depends only on one neural dataset: quality, cost and provenance."""
    dataset, rung, recipe = obtained.dataset, obtained.rung, obtained.need.recipe
    split = rung.split.numpy()
    return TrialResult(
        metrics={
            **quality_of(dataset.quality(obtained.need.rung), split),
            "diverged": float(rung.diverged.sum()),
            **({"constant": float((rung.constant == 1).sum())} if bool((rung.constant >= 0).any()) else {}),
            "signals": float(len(rung.ids) // recipe.views),
            "fit_seconds": obtained.seconds,
            "field_steps": obtained.field_steps,
        },
        curves=_ladder_curves(dataset, split),
        artifacts={},
        fingerprint=dict(dataset.manifest.fingerprint),
        datasets=(obtained.used,),
    )


def check_survived(rung: Rung, need: Need) -> None:
    """Check that at least half of all fields, and at least one field of each split, survived the fit.

    Raises:
        FitDiverged: too few fields survived.
    """
    keep = ~rung.diverged
    lost = [
        name
        for name, code in SPLITS.items()
        if bool((rung.split == code).any()) and not bool((keep & (rung.split == code)).any())
    ]
    if float(keep.float().mean()) < MIN_SURVIVORS or lost:
        raise FitDiverged(
            f"{int((~keep).sum())} of {len(keep)} fields diverged within {need.rung} steps at lr "
            f"{need.recipe.optimizer.lr:g}{' (none left in ' + ', '.join(lost) + ')' if lost else ''}; "
            f"at least {MIN_SURVIVORS:.0%} must survive, lower the learning rate"
        )


def quality_of(columns: Mapping[str, Any], split: np.ndarray) -> dict[str, float]:
    """Return each quality column's mean over surviving fields: of all signals, and of those in val and test."""
    alive = columns["diverged_at"] < 0
    masks = {"all": alive, **{name: alive & (split == SPLITS[name]) for name in ("val", "test")}}
    return {
        f"{where}_{name}": float(np.mean(values[mask]))
        for name, values in columns.items()
        if name not in ("diverged_at", "constant")
        for where, mask in masks.items()
        if mask.any()
    }


def _ladder_curves(dataset: NeuralDataset, split: np.ndarray) -> dict[str, list[tuple[int, float]]]:
    """Return the mean quality over all signals at every rung of the ladder, by step count."""
    rungs = {steps: quality_of(dataset.quality(steps), split) for steps in dataset.rungs}
    names = sorted({name for values in rungs.values() for name in values if name.startswith("all_")})
    return {name: [(steps, values[name]) for steps, values in rungs.items() if name in values] for name in names}
