"""Fits of many signals: chunk by chunk, each field's bytes its own."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nefstudy.config import FitConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.fields.field import NeuralField, unflatten
from nefstudy.fields.padding import padded
from nefstudy.fitting.choice import choose
from nefstudy.fitting.engines import Engine, is_out_of_memory
from nefstudy.fitting.ladder import Climb, climb
from nefstudy.fitting.lanes import LEAST
from nefstudy.fitting.precision import full_precision
from nefstudy.fitting.problem import Problem, step_points
from nefstudy.fitting.stop import Stop
from nefstudy.fitting.threads import threads
from nefstudy.inits.catalog import INITS, build
from nefstudy.inits.init import Init
from nefstudy.signals.signal import Signals

log = logging.getLogger(__name__)
Progress = Callable[[int, int, float], None]
"""(fields done, fields in all, mean PSNR of those done in dB, a diverged one as 0; NaN where the kind has none)."""


@dataclass(frozen=True, eq=False)
class Fits:
    """Fitted fields: R rungs, F fields in the order asked.

    Attributes:
        rungs: step counts.
        parameters: flat rows; NaN at rungs a field had diverged by.
        losses: each field's loss over its whole grid; NaN likewise.
        diverged_at: steps after which a field's loss was first not finite, or -1.
        stopped_at: steps after which a field had reached the PSNR it was to stop at, or -1.
    """

    rungs: tuple[int, ...]
    parameters: Float[Tensor, "R F N"]
    losses: Float[Tensor, "R F"]
    diverged_at: Int[Tensor, " F"]
    stopped_at: Int[Tensor, " F"]


def fit_fields(
    field: NeuralField,
    signals: Signals,
    config: FitConfig,
    *,
    rows: Int[np.ndarray, " F"],
    view: int = 0,
    inits: Mapping[str, Any] = INITS,
    on_progress: Progress | None = None,
) -> Fits:
    """Fields fitted to the given rows of `signals`, at every rung of the ladder.

    Raises:
        BadSignals: no rows, dimensions that are not the field's, or values that are not finite.
        BadConfig: more points a step than a signal has, or an engine this build does not have.
        TrialFailed: out of memory even with the fewest fields at a time.
    """
    _check(field, signals, config, rows)
    engine = choose(config, field, signals, fields=len(rows)).engine
    points = config.dataset.batch_points or signals.kind.step_points or signals.size
    best = engine.lanes(field, points)
    size = best if engine.fixed else max((config.chunk or best) >> config.halvings, LEAST)
    init = build(config.dataset.init, inits=inits)
    climbs: list[Climb] = []
    done, decibels = 0, 0.0
    with threads(config.threads), full_precision():
        while done < len(rows):
            chunk = rows[done : done + size]
            lanes = size if engine.fixed else max(len(chunk), LEAST)
            padded = np.concatenate([chunk, np.repeat(chunk[-1:], lanes - len(chunk))])
            try:
                found = _fit_chunk(field, signals, config, rows=padded, view=view, engine=engine, init=init)
            except (MemoryError, RuntimeError) as error:
                size = _smaller(size, engine, error)
                continue
            climbs.append(found.first(len(chunk)))
            done += len(chunk)
            alive = climbs[-1].diverged_at < 0
            decibels += float(psnr_of_loss(climbs[-1].losses[-1], signals)[alive].sum())
            if on_progress is not None:
                on_progress(done, len(rows), decibels / done)
    return Fits(
        rungs=config.rungs,
        parameters=torch.cat([found.rows for found in climbs], dim=1),
        losses=torch.cat([found.losses for found in climbs], dim=1),
        diverged_at=torch.cat([found.diverged_at for found in climbs]),
        stopped_at=torch.cat([found.stopped_at for found in climbs]),
    )


def psnr_of_loss(losses: Float[Tensor, " F"], signals: Signals) -> Float[Tensor, " F"]:
    """Return about the PSNR, in dB on [0, 1] values, that squared errors of standardized values amount to.

    Exact for one channel before clipping; channels are taken as equally wrong. NaN where the kind has no PSNR.
    """
    if not signals.kind.has_psnr:
        return torch.full_like(losses, torch.nan)
    variance = float(np.mean(np.square(signals.card.std)))
    return -10 * torch.log10(losses * variance)


def _fit_chunk(
    field: NeuralField,
    signals: Signals,
    config: FitConfig,
    *,
    rows: Int[np.ndarray, " F"],
    view: int,
    engine: Engine,
    init: Init,
) -> Climb:
    recipe = config.dataset
    ids = signals.ids[rows]
    grid, data = step_points(signals, recipe, rows=rows, view=view)
    finite = torch.isfinite(grid.targets).all(dim=2).all(dim=1).numpy()
    if not finite.all():
        bad = ids[~finite][0]
        raise BadSignals(f"signal {bad} of {signals.card.name}: a value is NaN or infinite; repair or remove it")
    return climb(
        Problem(field, signals.kind.loss, recipe.optimizer.name),
        recipe.optimizer,
        rows=init.rows(field, seed=recipe.seed, ids=ids, view=view),
        data=data,
        grid=grid,
        rungs=config.rungs,
        advance=engine.advance,
        grid_losses=engine.grid_losses,
        stop=_stop(field, signals, config, rows),
    )


def _smaller(size: int, engine: Engine, error: Exception) -> int:
    """Half the chunk, where it was memory that ran out and half will do; the bytes of fields stay what they were.

    A compiled program's lanes are its own, a few MB that fit a core's cache; there is nothing to halve.

    Raises:
        TrialFailed: not even the smallest chunk fits.
    """
    if not is_out_of_memory(error):
        raise error
    if engine.fixed or size <= LEAST:
        raise engine.exhausted(size) from error
    half = max(size // 2, LEAST)
    log.warning("out of memory with %d fields at a time; going on with %d, which changes no result", size, half)
    return half


def _stop(field: NeuralField, signals: Signals, config: FitConfig, rows: Int[np.ndarray, " F"]) -> Stop | None:
    decibels = config.dataset.stop_psnr
    if decibels is None:
        return None
    points = padded(torch.from_numpy(signals.points(rows)))
    mean, std = (np.asarray(constants, dtype=np.float32) for constants in (signals.card.mean, signals.card.std))

    def outputs(lanes: Tensor) -> Tensor:
        return field.forward(unflatten(field, lanes), points)[:, : signals.size]

    return Stop(decibels, outputs, signals.originals(rows), mean, std)


def _check(field: NeuralField, signals: Signals, config: FitConfig, rows: Int[np.ndarray, " F"]) -> None:
    name = signals.card.name
    if len(rows) == 0:
        raise BadSignals(f"{name}: no signals to fit; choose at least one row of {len(signals)}")
    if (field.in_dim, field.out_dim) != (signals.in_dim, signals.out_dim):
        raise BadSignals(
            f"{name}: signals map {signals.in_dim} coordinates to {signals.out_dim} channels, the field "
            f"{field.in_dim} to {field.out_dim}; build the field with the signals' dimensions"
        )
    points = config.dataset.batch_points
    if points is not None and (points > signals.size or points % signals.kind.strata):
        even = "" if signals.kind.strata == 1 else f" and a multiple of {signals.kind.strata}"
        raise BadConfig(f"batch_points = {points}: must be at most a signal's {signals.size}{even}; or leave it out")
    if config.dataset.stop_psnr is not None and not signals.kind.has_psnr:
        nouns = signals.kind.nouns
        raise BadConfig(f"stop_psnr = {config.dataset.stop_psnr}: {name} are {nouns}, which have no PSNR; leave it out")
