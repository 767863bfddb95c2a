"""Selection of the engine that computes a fit: the configured engine or, with `auto`, the fastest one."""

import logging
from dataclasses import dataclass

from nefstudy.config import FitConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fitting.cost import FitWork, fit_seconds
from nefstudy.fitting.engines.catalog import ENGINES, Engine
from nefstudy.fitting.engines.rehearsal import unusable_reason
from nefstudy.fitting.problem import Problem
from nefstudy.signals.signal import Signals

log = logging.getLogger(__name__)
_warned: set[str] = set()


@dataclass(frozen=True)
class EngineChoice:
    """The chosen engine and the reason for the choice, in one line."""

    engine: Engine
    reason: str


def choose(config: FitConfig, field: NeuralField, signals: Signals, *, fields: int, ranks: int = 1) -> EngineChoice:
    """Return the engine for fitting `fields` fields: the configured one or, with `auto`, the fastest.

    An engine that does not work on this machine is replaced by `eager`, with the reason. For a single fit the estimate
    considers what this machine has already compiled. Ranks and fits of a study must choose the same engine wherever and
    whenever they run, so their estimate divides the cost of compiling by `config.fits_per_shape` instead.

    Raises:
        BadConfig: an engine that this build does not have, or one that never fits such a problem.
    """
    if config.engine != "auto" and config.engine not in ENGINES:
        raise BadConfig(
            f"engine {config.engine!r} is not available here; allowed: auto, {', '.join(ENGINES)}; use engine='auto'"
        )
    if config.engine == "auto":
        choice = _fastest(config, field, signals, fields=fields, ranks=ranks)
    else:
        choice = _configured(ENGINES[config.engine], config, field, signals)
    log.info("engine %s: %s", choice.engine.name, choice.reason)
    return choice


def _configured(engine: Engine, config: FitConfig, field: NeuralField, signals: Signals) -> EngineChoice:
    refusal = engine.refusal(Problem(field, signals.kind.loss, config.dataset.optimizer.name))
    if refusal is not None:
        raise BadConfig(f"engine {engine.name!r}: {refusal}; use engine='auto'")
    problem = unusable_reason(engine, config, field, signals)
    if problem is None:
        return EngineChoice(engine, "as configured")
    _warn(engine.name, problem)
    return EngineChoice(ENGINES["eager"], f"{engine.name} was configured, but {problem}")


def _warn(name: str, reason: str) -> None:
    """Log a warning once per process and engine; each trial's log always contains the reason."""
    if name not in _warned:
        _warned.add(name)
        log.warning("engine %s cannot be used and is replaced: %s", name, reason)


def _fastest(config: FitConfig, field: NeuralField, signals: Signals, *, fields: int, ranks: int) -> EngineChoice:
    problem = Problem(field, signals.kind.loss, config.dataset.optimizer.name)
    drawn = config.dataset.batch_points or signals.kind.step_points
    points = drawn or signals.size
    work = FitWork(fields, config.rungs[-1], points)
    seconds: dict[str, float] = {}
    excluded: list[str] = []
    for name, engine in ENGINES.items():
        reason = engine.refusal(problem) or engine.unsupported_reason(field) or engine.explicit_only_reason()
        if reason is not None:
            excluded.append(f"not {name}: {reason}")
            continue
        is_single = ranks == 1 and config.fits_per_shape is None
        ready = is_single and engine.is_ready(problem, points, drawn is not None, config.threads)
        lanes, shared = engine.lanes(field, points), config.fits_per_shape or 1
        seconds[name] = fit_seconds(field, work, engine=name, lanes=lanes, ready=ready, fits=shared)
    estimates = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    best = min(seconds, key=lambda name: seconds[name])
    while (reason := unusable_reason(ENGINES[best], config, field, signals)) is not None:
        _warn(best, reason)
        excluded.append(f"not {best}: {reason}")
        del seconds[best]
        best = min(seconds, key=lambda name: seconds[name])
    return EngineChoice(ENGINES[best], "; ".join([f"fastest by estimate ({estimates})", *excluded]))
