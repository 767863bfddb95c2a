"""The neural dataset of a trial: found or fitted, its damage repaired, its quality measured."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nefstudy.config import FitConfig
from nefstudy.errors import BadNeuralDataset, FitDiverged
from nefstudy.fields.catalog import build
from nefstudy.neural_dataset.mend import remove_damage
from nefstudy.neural_dataset.read import NeuralDataset, find_neural_dataset
from nefstudy.neural_dataset.rung import Rung
from nefstudy.neural_dataset.write import finish_neural_dataset, write_neural_dataset
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.signal import SPLITS, Signals
from nefstudy.tasks.progress import fitting
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import Setting
from nefstudy.tasks.task import Need

log = logging.getLogger(__name__)

MIN_SURVIVORS = 0.5  # a trial with fewer undiverged fields is a diverged trial


@dataclass(frozen=True, eq=False)
class Obtained:
    """The neural dataset of a trial, opened at the trial's rung.

    Attributes:
        fitted: whether it had to be fitted here.
        seconds: that obtaining it took.
        ladder: step counts that were to be fitted.
    """

    need: Need
    signals: Signals
    dataset: NeuralDataset
    rung: Rung
    fitted: bool
    seconds: float
    ladder: tuple[int, ...]


def with_neural_dataset(
    need: Need,
    *,
    setting: Setting,
    then: Callable[[Obtained], TrialResult],
    check: Callable[[Signals], object] = lambda _signals: None,
) -> TrialResult:
    """Return what `then` finds on a neural dataset; one that does not verify is repaired once and read again.

    Every rank of `setting.world` calls this with the same need.

    Args:
        check: raises if the signals are not what `then` needs; called before anything is fitted.

    Raises:
        BadSignals, BadNeuralDataset: the data cannot be read.
    """
    signals = load_signals(need.recipe.signals, sources=setting.catalogs.signals)
    check(signals)
    try:
        return then(obtain(need, signals, setting=setting))
    except BadNeuralDataset as damage:
        _repair(need, damage, setting=setting)
        return then(obtain(need, signals, setting=setting))


def obtain(need: Need, signals: Signals, *, setting: Setting) -> Obtained:
    """Open a neural dataset at a rung, fitted first where it is not there."""
    began, ladder = setting.clock(), setting.ladder(need.digest, rung=need.rung)
    found = find_neural_dataset(setting.root, need.digest, fields=setting.catalogs.fields)
    is_there = found is not None and need.rung in found.rungs
    dataset = found if found is not None and is_there else _fit(need, signals, ladder, setting=setting)
    rung, seconds = dataset.rung(need.rung), setting.clock() - began
    log.info("%s neural dataset %s in %.1f s", "found" if is_there else "fitted", need.digest, seconds)
    return Obtained(need, signals, dataset, rung, fitted=not is_there, seconds=seconds, ladder=ladder)


def _fit(need: Need, signals: Signals, ladder: tuple[int, ...], *, setting: Setting) -> NeuralDataset:
    recipe, catalogs, world = need.recipe, setting.catalogs, setting.world
    field = build(recipe.field, in_dim=signals.in_dim, out_dim=signals.out_dim, fields=catalogs.fields)
    fit = FitConfig(dataset=recipe, rungs=ladder, engine=setting.engine, halvings=setting.halvings, fits=setting.fits)
    world.barrier()  # every rank has looked before any writes
    write_neural_dataset(
        fit,
        signals,
        setting.root,
        field=field,
        inits=catalogs.inits,
        rank=world.rank,
        world=world.size,
        on_progress=fitting(setting.on_progress, steps=max(ladder), clock=setting.clock),
    )
    world.barrier()
    if world.rank == 0:
        finish_neural_dataset(fit, signals, setting.root, field=field)
    world.barrier()
    dataset = find_neural_dataset(setting.root, need.digest, fields=catalogs.fields)
    assert dataset is not None  # finish_neural_dataset wrote it or raised
    return dataset


def _repair(need: Need, damage: BadNeuralDataset, *, setting: Setting) -> None:
    """Remove what does not verify of a neural dataset: rank 0 does, the others wait."""
    setting.world.barrier()
    if setting.world.rank == 0:
        removed = remove_damage(setting.root, need.digest)
        log.warning("%s; fitting again: %s", damage, ", ".join(removed) or "the manifest")
    setting.world.barrier()


def described(obtained: Obtained) -> TrialResult:
    """Return what is known of a trial once its neural dataset is there: the fields' quality, and what was fitted."""
    dataset, rung, recipe = obtained.dataset, obtained.rung, obtained.need.recipe
    split = rung.split.numpy()
    return TrialResult(
        metrics={
            **quality_of(dataset.quality(obtained.need.rung), split),
            "diverged": float(rung.diverged.sum()),
            "signals": float(len(rung.ids) // recipe.views),
            "fit_seconds": obtained.seconds,
            "field_steps": float(len(rung.ids) * max(obtained.ladder)) if obtained.fitted else 0.0,
        },
        curves=_ladder_curves(dataset, split),
        artifacts={},
        fingerprint=dict(dataset.manifest.fingerprint),
        dataset=obtained.need.digest,
        fitted=obtained.fitted,
        rungs=dataset.rungs,
        dataset_bytes=sum(shard.bytes for record in dataset.manifest.rungs for shard in record.shards),
        rung_sha256=dataset.manifest.rung(obtained.need.rung).sha256,
    )


def check_survived(rung: Rung, need: Need) -> None:
    """Check that at least half of the fields survived the fit, and some of each split.

    Raises:
        FitDiverged: too few.
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
    """Return the mean of each quality column over the undiverged fields: of all, of validation and of test signals."""
    alive = columns["diverged_at"] < 0
    masks = {"all": alive, **{name: alive & (split == SPLITS[name]) for name in ("val", "test")}}
    return {
        f"{where}_{name}": float(np.mean(values[mask]))
        for name, values in columns.items()
        if name != "diverged_at"
        for where, mask in masks.items()
        if mask.any()
    }


def _ladder_curves(dataset: NeuralDataset, split: np.ndarray) -> dict[str, list[tuple[int, float]]]:
    """Return the quality over all signals at every rung of the ladder, by step count."""
    rungs = {steps: quality_of(dataset.quality(steps), split) for steps in dataset.rungs}
    names = sorted({name for values in rungs.values() for name in values if name.startswith("all_")})
    return {name: [(steps, values[name]) for steps, values in rungs.items() if name in values] for name in names}
