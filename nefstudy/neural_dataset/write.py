"""Writing: fit the missing shards, each with its receipt; then the manifest, last and whole."""

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
from nefstudy.fitting.choice import choose
from nefstudy.fitting.engines import ENGINES, Engine
from nefstudy.fitting.fingerprint import fingerprint
from nefstudy.fitting.fit import Fits, Progress, fit_fields
from nefstudy.fitting.precision import full_precision
from nefstudy.fitting.rehearsal import hindrance
from nefstudy.fitting.step import NEVER
from nefstudy.fitting.threads import threads
from nefstudy.inits.catalog import INITS
from nefstudy.neural_dataset.quality import quality_columns
from nefstudy.neural_dataset.read import NeuralDataset
from nefstudy.neural_dataset.receipts import find_receipt, first_receipt, put_shard, rungs_begun, sweep
from nefstudy.neural_dataset.remove import remove_if
from nefstudy.neural_dataset.schema import Manifest, RungRecord, new_manifest, shard_bytes, shard_schema
from nefstudy.neural_dataset.shards import Shard, all_shards, owned
from nefstudy.paths import dataset_path, manifest_path, shard_file
from nefstudy.signals.signal import Signals
from nefstudy.storage import Storage

ABSENT = -1  # label or split of a signal that has none


@dataclass(frozen=True)
class Written:
    """What a call of `write_neural_dataset` did.

    Attributes:
        fitted: shards fitted by this rank, each at every rung that was missing.
        found: shards of this rank that were there already.
        restarted: whether shards of another fingerprint were replaced.
    """

    fitted: int
    found: int
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
    on_progress: Progress | None = None,
) -> Written:
    """Fit and write the shards of this rank that are missing; those that are there are kept.

    A shard counts as there if its receipt has this fit's fingerprint and its file the receipt's size.
    Shards of another fingerprint are fitted anew: one neural dataset has one fingerprint.

    Raises:
        BadRoot: the root cannot be written.
        BadSignals: signals that are not those the recipe names.
    """
    _check_content(config, signals)
    storage, digest = Storage.at(root), config.dataset.digest
    engine = settle(storage, config, signals, field=field, ranks=world)
    config, marks = config.model_copy(update={"engine": engine.name}), fingerprint(config, engine)
    restarted = _withdraw(storage, digest, marks)
    shards = owned(all_shards(len(signals), config.dataset.views), rank=rank, world=world)
    missing: list[tuple[Shard, tuple[int, ...]]] = []
    for shard in shards:
        receipts = {steps: find_receipt(storage, digest, steps=steps, index=shard.index) for steps in config.rungs}
        restarted |= any(receipt is not None and receipt.fingerprint != marks for receipt in receipts.values())
        rungs = tuple(s for s, receipt in receipts.items() if receipt is None or receipt.fingerprint != marks)
        if rungs:
            missing.append((shard, rungs))
    total, done, decibels = sum(len(shard.places) for shard, _ in missing), 0, 0.0
    for shard, rungs in missing:
        progress = _onward(on_progress, done=done, total=total, decibels=decibels)
        ladder = config.model_copy(update={"rungs": rungs})
        fits = fit_fields(field, signals, ladder, rows=shard.places, view=shard.view, inits=inits, on_progress=progress)
        with threads(config.threads), full_precision():
            quality = _write_shard(storage, config, signals, field=field, shard=shard, fits=fits, marks=marks)
        done, decibels = done + len(shard.places), decibels + quality
    return Written(len(missing), len(shards) - len(missing), restarted)


def finish_neural_dataset(config: FitConfig, signals: Signals, root: str, *, field: NeuralField) -> NeuralDataset:
    """Write the manifest once every rank has written its shards, and open the neural dataset.

    Rungs that were there before, of the same fingerprint, stay; those of another are removed.

    Raises:
        BadNeuralDataset: a shard of a rung asked for is missing; names it.
    """
    storage, digest = Storage.at(root), config.dataset.digest
    marks = fingerprint(config, settle(storage, config, signals, field=field, ranks=1))
    shards = all_shards(len(signals), config.dataset.views)
    records = []
    for steps in sorted({*config.rungs, *rungs_begun(storage, digest)}):
        found = [find_receipt(storage, digest, steps=steps, index=shard.index) for shard in shards]
        whole = tuple(r.shard for r in found if r is not None and r.fingerprint == marks)
        if len(whole) == len(shards):
            records.append(RungRecord(steps=steps, shards=whole))
        elif steps in config.rungs:
            lost = next(i for i, r in enumerate(found) if r is None or r.fingerprint != marks)
            where = storage.locate(f"{dataset_path(digest)}/{shard_file(steps, lost)}")
            raise BadNeuralDataset(f"{where} is missing, so the neural dataset is not whole; run the fit again")
    rows = sum(len(shard.places) for shard in shards)
    manifest = new_manifest(
        config.dataset,
        field=field,
        card=signals.card,
        quality=signals.kind.metrics,
        fingerprint=marks,
        rows=rows,
        rungs=records,
    )
    storage.write(manifest_path(digest), manifest.to_json())
    sweep(storage, digest, kept=tuple(record.steps for record in records))
    return NeuralDataset(storage=storage, manifest=manifest, field=field)


def settle(storage: Storage, config: FitConfig, signals: Signals, *, field: NeuralField, ranks: int) -> Engine:
    """The engine that goes on with this neural dataset.

    With `auto`, that which made what is there already, if it would give the same fingerprint: a choice by
    estimates must not throw away finished work.
    """
    if config.engine == "auto":
        found = _fingerprint_found(storage, config)
        engine = ENGINES.get(found.get("engine", ""))
        is_same = engine is not None and fingerprint(config, engine) == found
        if engine is not None and is_same and hindrance(engine, config, field, signals) is None:
            return engine
    fields = len(signals) * config.dataset.views
    shared = 1 if config.fits else ranks  # a study's choice depends on its plan alone
    return choose(config, field, signals, fields=fields // shared, ranks=ranks).engine


def _fingerprint_found(storage: Storage, config: FitConfig) -> dict[str, str]:
    """The fingerprint of a shard that is there, of the rungs asked for if possible; empty where there is none."""
    digest = config.dataset.digest
    for steps in (*config.rungs, *rungs_begun(storage, digest)):
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
    marks: dict[str, str],
) -> float:
    """Write every fitted rung of a shard; returns the sum of the last rung's PSNR, for progress."""
    digest, places = config.dataset.digest, shard.places
    total = 0.0
    for steps, rows in zip(fits.rungs, fits.parameters, strict=True):
        quality = quality_columns(field, signals, rows, places=places)
        columns = {
            "id": signals.ids[places].astype(np.int64),
            "view": np.full(len(places), shard.view, dtype=np.int32),
            "label": _codes(signals.labels, places),
            "split": _codes(signals.split, places),
            "parameters": rows.numpy(),
            "diverged_at": _by(steps, fits.diverged_at),
            "stopped_at": _by(steps, fits.stopped_at),
            **quality,
        }
        schema = shard_schema(
            parameter_count(field), signals.kind.metrics, digest=digest, steps=steps, index=shard.index
        )
        data = shard_bytes(columns, schema)
        put_shard(storage, digest, data, steps=steps, index=shard.index, rows=len(places), fingerprint=marks)
        total = float(np.nansum(quality["psnr"])) if "psnr" in quality else float("nan")
    return total


def _codes(codes: Int[np.ndarray, " S"] | None, places: Int[np.ndarray, " F"]) -> Int[np.ndarray, " F"]:
    """Return the labels or split codes of some signals, -1 where there are none."""
    return np.full(len(places), ABSENT) if codes is None else codes[places]


def _by(steps: int, when: Int[Tensor, " F"]) -> Int[np.ndarray, " F"]:
    """What had happened by a rung: the step, or -1 if it was still to come, as for a fit of no more steps."""
    return torch.where(when > steps, NEVER, when).numpy()


def _withdraw(storage: Storage, digest: str, marks: dict[str, str]) -> bool:
    """Remove a manifest of another fingerprint, so that no reader sees shards change under it."""
    path = manifest_path(digest)

    def may_go(text: bytes) -> bool:
        return Manifest.from_json(text, where=storage.locate(path)).fingerprint != marks

    return remove_if(storage, path, may_go=may_go)


def _onward(on_progress: Progress | None, *, done: int, total: int, decibels: float) -> Progress | None:
    """Progress of one shard as progress of the whole call."""
    report: Callable[[int, int, float], None] | None = on_progress
    if report is None:
        return None
    return lambda count, _, mean: report(done + count, total, (decibels + count * mean) / (done + count))


def _check_content(config: FitConfig, signals: Signals) -> None:
    wanted, found = config.dataset.signals.content, signals.card.content_hash
    if wanted is not None and wanted != found:
        raise BadSignals(
            f"{signals.card.name}: content {found[:12]}... is not the recipe's {wanted[:12]}...; "
            "restore the files the recipe was pinned to, or pin it anew"
        )
