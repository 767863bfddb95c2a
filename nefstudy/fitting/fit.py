"""Fits of many signals in chunks; the division into chunks does not affect a field's bytes."""

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
from nefstudy.fields.field import NeuralField, parameter_count, unflatten
from nefstudy.fields.padding import padded
from nefstudy.fitting.engines.catalog import Engine, is_out_of_memory
from nefstudy.fitting.engines.choice import choose
from nefstudy.fitting.ladder import LadderFit, fit_ladder
from nefstudy.fitting.lanes import MIN_LANES
from nefstudy.fitting.precision import full_precision
from nefstudy.fitting.problem import Problem, step_points
from nefstudy.fitting.stop import Stop
from nefstudy.fitting.threads import threads
from nefstudy.inits.catalog import INITS, build
from nefstudy.inits.init import Init
from nefstudy.signals.signal import Signals

log = logging.getLogger(__name__)
OnFitProgress = Callable[[int, int, float], None]
"""Called with the number of fields done, the total, and the mean PSNR in dB so far.

Diverged fields count as 0 dB; the mean is NaN for kinds without PSNR.
"""


@dataclass(frozen=True, eq=False)
class Fits:
    """F fitted fields at R rungs, in the order of the requested rows.

    Attributes:
        rungs: step counts.
        parameters: flat rows; NaN at rungs by which a field had diverged.
        losses: each field's loss over its whole grid; NaN where the parameters are.
        diverged_at: step count at which a field's loss was first not finite, or -1.
        stopped_at: step count at which a field had reached the PSNR of `stop_psnr`, or -1.
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
    on_progress: OnFitProgress | None = None,
) -> Fits:
    """Fit fields to the given rows of `signals` and return them at every rung of the ladder.

    Raises:
        BadSignals: no rows, dimensions that differ from the field's, or values that are not finite.
        BadConfig: more points per step than a signal has, or an engine that this build does not have.
        TrialFailed: out of memory even with the smallest chunk.
    """
    _check(field, signals, config, rows)
    engine = choose(config, field, signals, fields=len(rows)).engine
    points = config.dataset.batch_points or signals.kind.step_points or signals.size
    best = engine.lanes(field, points)
    size = best if engine.fixed_lanes else max((config.chunk or best) >> config.chunk_halvings, MIN_LANES)
    init = build(config.dataset.init, inits=inits)
    fits: list[LadderFit] = []
    done, decibels = 0, 0.0
    with threads(config.threads), full_precision():
        while done < len(rows):
            chunk = rows[done : done + size]
            lanes = size if engine.fixed_lanes else max(len(chunk), MIN_LANES)
            filled = np.concatenate([chunk, np.repeat(chunk[-1:], lanes - len(chunk))])
            try:
                fit = _fit_chunk(field, signals, config, rows=filled, view=view, engine=engine, init=init)
            except (MemoryError, RuntimeError) as error:
                size = _halved(size, engine, error)
                continue
            fits.append(fit.first(len(chunk)))
            done += len(chunk)
            alive = fits[-1].diverged_at < 0
            decibels += float(psnr_of_loss(fits[-1].losses[-1], signals)[alive].sum())
            if on_progress is not None:
                on_progress(done, len(rows), decibels / done)
    return Fits(
        rungs=config.rungs,
        parameters=torch.cat([fit.rows for fit in fits], dim=1),
        losses=torch.cat([fit.losses for fit in fits], dim=1),
        diverged_at=torch.cat([fit.diverged_at for fit in fits]),
        stopped_at=torch.cat([fit.stopped_at for fit in fits]),
    )


def psnr_of_loss(losses: Float[Tensor, " F"], signals: Signals) -> Float[Tensor, " F"]:
    """Convert mean squared errors of standardized values into approximate PSNR in dB on [0, 1] values.

    Exact for one channel before clipping; several channels are assumed to have equal errors. NaN without PSNR.
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
) -> LadderFit:
    recipe = config.dataset
    ids = signals.ids[rows]
    grid, data = step_points(signals, recipe, rows=rows, view=view)
    finite = torch.isfinite(grid.targets).all(dim=2).all(dim=1).numpy()
    if not finite.all():
        bad = ids[~finite][0]
        raise BadSignals(f"signal {bad} of {signals.card.name}: a value is NaN or infinite; repair or remove it")
    return fit_ladder(
        Problem(field, signals.kind.loss, recipe.optimizer.name),
        recipe.optimizer,
        rows=_initial_rows(init, field, config, ids=ids, view=view),
        data=data,
        grid=grid,
        rungs=config.rungs,
        advance=engine.advance,
        grid_losses=engine.grid_losses,
        stop=_stop(field, signals, config, rows),
    )


def _initial_rows(
    init: Init, field: NeuralField, config: FitConfig, *, ids: Int[np.ndarray, " F"], view: int
) -> Float[Tensor, "F N"]:
    """Return the initial parameters that the init draws, after checking their shape, type and values.

    Raises:
        BadConfig: the init does not return one finite float32 row of the field's parameters per id.
    """
    recipe = config.dataset
    rows: object = init.rows(field, seed=recipe.seed, ids=ids, view=view)
    shape = (len(ids), parameter_count(field))
    if not isinstance(rows, Tensor) or rows.shape != shape or rows.dtype != torch.float32:
        given = f"{rows.dtype} of shape {tuple(rows.shape)}" if isinstance(rows, Tensor) else type(rows).__name__
        raise BadConfig(f"init {recipe.init.name}: rows returns {given}; return a float32 tensor of shape {shape}")
    if not torch.isfinite(rows).all():
        raise BadConfig(f"init {recipe.init.name}: rows returns NaN or infinity; return finite numbers")
    return rows


def _halved(size: int, engine: Engine, error: Exception) -> int:
    """Return half the chunk size if memory ran out; re-raise any other error.

    A smaller chunk does not change any field's bytes.
    The lanes of a compiled program are fixed and fit a core's cache (a few MB), so there is nothing to halve.

    Raises:
        TrialFailed: the smallest chunk does not fit into memory.
    """
    if not is_out_of_memory(error):
        raise error
    if engine.fixed_lanes or size <= MIN_LANES:
        raise engine.out_of_memory(size) from error
    half = max(size // 2, MIN_LANES)
    log.warning("out of memory with %d fields at a time; continuing with %d, which changes no result", size, half)
    return half


def _stop(field: NeuralField, signals: Signals, config: FitConfig, rows: Int[np.ndarray, " F"]) -> Stop | None:
    decibels = config.dataset.stop_psnr
    if decibels is None:
        return None
    coords = padded(torch.from_numpy(signals.coords(rows)))
    mean, std = (np.asarray(constants, dtype=np.float32) for constants in (signals.card.mean, signals.card.std))

    def outputs(lanes: Tensor) -> Tensor:
        return field.forward(unflatten(field, lanes), coords)[:, : signals.size]

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
        raise BadConfig(f"batch_points = {points} must be at most a signal's {signals.size}{even}; reduce or omit it")
    if config.dataset.stop_psnr is not None and not signals.kind.has_psnr:
        nouns = signals.kind.nouns
        raise BadConfig(f"stop_psnr = {config.dataset.stop_psnr}: {name} are {nouns}, which have no PSNR; omit it")
