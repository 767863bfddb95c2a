"""Writing of neural datasets: missing shards with their receipts, and finally the manifest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from nefstudy.config import FitConfig
from nefstudy.errors import BadNeuralDataset, BadSignals
from nefstudy.fields.field import NeuralField, parameter_count
from nefstudy.fitting.engines.catalog import ENGINES, Engine
from nefstudy.fitting.engines.choice import choose
from nefstudy.fitting.engines.rehearsal import unusable_reason
from nefstudy.fitting.fingerprint import fingerprint
from nefstudy.fitting.fit import Fits, OnFitProgress, fit_fields
from nefstudy.fitting.precision import full_precision
from nefstudy.fitting.step import NEVER
from nefstudy.fitting.threads import threads
from nefstudy.inits.catalog import INITS
from nefstudy.neural_dataset.quality import quality_columns
from nefstudy.neural_dataset.read import NeuralDataset
from nefstudy.neural_dataset.receipts import find_receipt, first_receipt, put_shard, started_rungs, sweep
from nefstudy.neural_dataset.remove import remove_if
from nefstudy.neural_dataset.schema import Manifest, RungRecord, new_manifest, shard_bytes, shard_schema
from nefstudy.neural_dataset.shards import Shard, all_shards, owned
from nefstudy.paths import dataset_path, manifest_path, shard_file
from nefstudy.signals.signal import Signals
from nefstudy.storage import Storage

ABSENT = -1  # label or split of a signal that has none


@dataclass(frozen=True)
class Written:
    """The outcome of a call to `write_neural_dataset`.

    Attributes:
        fitted: shards fitted by this rank, each at every missing rung.
        reused: shards of this rank that existed already.
        restarted: whether shards of another fingerprint were replaced.
    """

    fitted: int
    reused: int
    restarted: bool


def write_neural_dataset(
    config: FitConfig,
    signals: Signals,
    root: str,
    *,
    field: NeuralField,
    inits: Mapping[str, Any] = INITS,
    rank: int = 0,
    world: int = 1,
    on_progress: OnFitProgress | None = None,
) -> Written:
    """Fit and write the missing shards of this rank, and keep the existing shards.

    A shard exists if its receipt has this fit's fingerprint and its file has the receipt's size. Shards of another
    fingerprint are fitted again, because a neural dataset has one fingerprint.

    Raises:
        BadRoot: the root cannot be written.
        BadSignals: the signals are not those of the recipe.
    """
    _check_content(config, signals)
    storage, digest = Storage.at(root), config.dataset.digest
    engine = resolve_engine(storage, config, signals, field=field, ranks=world)
    config, current = config.model_copy(update={"engine": engine.name}), _fingerprint(config, engine, signals)
    restarted = _remove_outdated_manifest(storage, digest, current)
    shards = owned(all_shards(len(signals), config.dataset.views), rank=rank, world=world)
    missing: list[tuple[Shard, tuple[int, ...]]] = []
    for shard in shards:
        receipts = {steps: find_receipt(storage, digest, steps=steps, index=shard.index) for steps in config.rungs}
        restarted |= any(receipt is not None and receipt.fingerprint != current for receipt in receipts.values())
        rungs = tuple(s for s, receipt in receipts.items() if receipt is None or receipt.fingerprint != current)
        if rungs:
            missing.append((shard, rungs))
    total, done, decibels = sum(len(shard.rows) for shard, _ in missing), 0, 0.0
    for shard, rungs in missing:
        progress = _offset_progress(on_progress, done=done, total=total, decibels=decibels)
        ladder = config.model_copy(update={"rungs": rungs})
        fits = fit_fields(field, signals, ladder, rows=shard.rows, view=shard.view, inits=inits, on_progress=progress)
        with threads(config.threads), full_precision():
            quality = _write_shard(storage, config, signals, field=field, shard=shard, fits=fits, fingerprint=current)
        done, decibels = done + len(shard.rows), decibels + quality
    return Written(len(missing), len(shards) - len(missing), restarted)


def finish_neural_dataset(config: FitConfig, signals: Signals, root: str, *, field: NeuralField) -> NeuralDataset:
    """Write the manifest after every rank has written its shards, and return the neural dataset.

    Earlier rungs of the same fingerprint are kept; those of another one are removed.

    Raises:
        BadNeuralDataset: a shard of a configured rung is missing; names it.
    """
    storage, digest = Storage.at(root), config.dataset.digest
    current = _fingerprint(config, resolve_engine(storage, config, signals, field=field, ranks=1), signals)
    shards = all_shards(len(signals), config.dataset.views)
    records = []
    for steps in sorted({*config.rungs, *started_rungs(storage, digest)}):
        receipts = [find_receipt(storage, digest, steps=steps, index=shard.index) for shard in shards]
        written = tuple(r.shard for r in receipts if r is not None and r.fingerprint == current)
        if len(written) == len(shards):
            records.append(RungRecord(steps=steps, shards=written))
        elif steps in config.rungs:
            missing = next(i for i, r in enumerate(receipts) if r is None or r.fingerprint != current)
            where = storage.locate(f"{dataset_path(digest)}/{shard_file(steps, missing)}")
            raise BadNeuralDataset(f"{where} is missing, so the neural dataset is incomplete; run the fit again")
    rows = sum(len(shard.rows) for shard in shards)
    manifest = new_manifest(
        config.dataset,
        field=field,
        card=signals.card,
        quality=signals.kind.metrics,
        fingerprint=current,
        rows=rows,
        rungs=records,
    )
    storage.write(manifest_path(digest), manifest.to_json())
    sweep(storage, digest, kept=tuple(record.steps for record in records))
    return NeuralDataset(storage=storage, manifest=manifest, field=field)


def resolve_engine(storage: Storage, config: FitConfig, signals: Signals, *, field: NeuralField, ranks: int) -> Engine:
    """Return the engine that fits the missing shards of a neural dataset.

    With `auto`, that is the engine of the existing shards if it would give the same fingerprint, because a choice by
    estimates must not discard finished work.
    """
    if config.engine == "auto":
        existing = _existing_fingerprint(storage, config)
        engine = ENGINES.get(existing.get("engine", ""))
        is_same = engine is not None and _fingerprint(config, engine, signals) == existing
        if engine is not None and is_same and unusable_reason(engine, config, field, signals) is None:
            return engine
    fields = len(signals) * config.dataset.views
    shared = 1 if config.fits_per_shape else ranks  # a study's choice depends only on its plan
    return choose(config, field, signals, fields=fields // shared, ranks=ranks).engine


def _fingerprint(config: FitConfig, engine: Engine, signals: Signals) -> dict[str, str]:
    """Return the fingerprint of the fit and its quality metrics, so that all shards have the same columns."""
    return fingerprint(config, engine) | {"quality": ",".join(signals.kind.metrics)}


def _existing_fingerprint(storage: Storage, config: FitConfig) -> dict[str, str]:
    """Return the fingerprint of an existing shard, preferably of a configured rung, or {} if there are no shards."""
    digest = config.dataset.digest
    for steps in (*config.rungs, *started_rungs(storage, digest)):
        receipt = first_receipt(storage, digest, steps=steps)
        if receipt is not None:
            return receipt.fingerprint
    return {}


def _write_shard(
    storage: Storage,
    config: FitConfig,
    signals: Signals,
    *,
    field: NeuralField,
    shard: Shard,
    fits: Fits,
    fingerprint: dict[str, str],
) -> float:
    """Write every fitted rung of a shard.

    Return the sum of the last rung's PSNR, for progress reports.
    """
    digest, rows = config.dataset.digest, shard.rows
    total = 0.0
    for steps, parameters in zip(fits.rungs, fits.parameters, strict=True):
        quality = quality_columns(field, signals, parameters, rows=rows)
        columns = {
            "id": signals.ids[rows].astype(np.int64),
            "view": np.full(len(rows), shard.view, dtype=np.int32),
            "label": _codes(signals.labels, rows),
            "split": _codes(signals.split, rows),
            "parameters": parameters.numpy(),
            "diverged_at": _up_to(steps, fits.diverged_at),
            "stopped_at": _up_to(steps, fits.stopped_at),
            **quality,
        }
        schema = shard_schema(
            parameter_count(field), signals.kind.metrics, digest=digest, steps=steps, index=shard.index
        )
        data = shard_bytes(columns, schema)
        put_shard(storage, digest, data, steps=steps, index=shard.index, rows=len(rows), fingerprint=fingerprint)
        total = float(np.nansum(quality["psnr"])) if "psnr" in quality else float("nan")
    return total


def _codes(codes: Int[np.ndarray, " S"] | None, rows: Int[np.ndarray, " F"]) -> Int[np.ndarray, " F"]:
    """Return the labels or split codes of some signals, or -1 for each signal if the set has none."""
    return np.full(len(rows), ABSENT) if codes is None else codes[rows]


def _up_to(steps: int, event: Int[Tensor, " F"]) -> Int[np.ndarray, " F"]:
    """Return the step at which each field diverged or stopped, or -1 if it had not by step `steps`."""
    return torch.where(event > steps, NEVER, event).numpy()


def _remove_outdated_manifest(storage: Storage, digest: str, current: dict[str, str]) -> bool:
    """Remove a manifest that has a different fingerprint, before its shards change.

    Return whether a manifest was removed.
    """
    path = manifest_path(digest)

    def is_outdated(text: bytes) -> bool:
        return Manifest.from_json(text, where=storage.locate(path)).fingerprint != current

    return remove_if(storage, path, condition=is_outdated)


def _offset_progress(
    on_progress: OnFitProgress | None, *, done: int, total: int, decibels: float
) -> OnFitProgress | None:
    """Return a callback that converts the progress of one shard into progress over all shards."""
    report: Callable[[int, int, float], None] | None = on_progress
    if report is None:
        return None
    return lambda count, _, mean: report(done + count, total, (decibels + count * mean) / (done + count))


def _check_content(config: FitConfig, signals: Signals) -> None:
    pinned, content = config.dataset.signals.content, signals.card.content_hash
    if pinned is not None and pinned != content:
        raise BadSignals(
            f"{signals.card.name}: content {content[:12]}... is not the recipe's {pinned[:12]}...; "
            "restore the files that the recipe was pinned to, or pin it again"
        )
