"""Which engine a fit gets, and why."""

import logging
from dataclasses import dataclass

from nefstudy.config import FitConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fitting.cost import Work, fit_seconds
from nefstudy.fitting.engines import ENGINES, Engine
from nefstudy.fitting.problem import Problem
from nefstudy.fitting.rehearsal import hindrance
from nefstudy.signals.signal import Signals

log = logging.getLogger(__name__)
_warned: set[str] = set()


@dataclass(frozen=True)
class Choice:
    """A concrete engine and one line that says why it was taken."""

    engine: Engine
    reason: str


def choose(config: FitConfig, field: NeuralField, signals: Signals, *, fields: int, ranks: int = 1) -> Choice:
    """The engine for a fit of `fields` of these signals: the one asked for or, with `auto`, the quickest.

    An engine that cannot work here is replaced by `eager`, and the reason says so. What this machine has compiled
    before counts for a fit on its own. Of several ranks, and of the fits of a study, each must choose alike wherever
    and whenever it runs: there compiling is shared out over `config.fits`.

    Raises:
        BadConfig: an engine this build does not have.
    """
    if config.engine != "auto" and config.engine not in ENGINES:
        raise BadConfig(
            f"engine {config.engine!r} is not available here; allowed: auto, {', '.join(ENGINES)}; use engine='auto'"
        )
    if config.engine == "auto":
        choice = _quickest(config, field, signals, fields=fields, ranks=ranks)
    else:
        choice = _asked(ENGINES[config.engine], config, field, signals)
    log.info("engine %s: %s", choice.engine.name, choice.reason)
    return choice


def _asked(engine: Engine, config: FitConfig, field: NeuralField, signals: Signals) -> Choice:
    why = hindrance(engine, config, field, signals)
    if why is None:
        return Choice(engine, "asked for")
    _warn(engine.name, why)
    return Choice(ENGINES["eager"], f"{engine.name} was asked for, but {why}")


def _warn(name: str, why: str) -> None:
    """Log a warning once per process and engine; the reason is in the log of each trial."""
    if name not in _warned:
        _warned.add(name)
        log.warning("engine %s cannot be used, eager takes its place: %s", name, why)


def _quickest(config: FitConfig, field: NeuralField, signals: Signals, *, fields: int, ranks: int) -> Choice:
    problem = Problem(field, signals.kind.loss, config.dataset.optimizer.name)
    drawn = config.dataset.batch_points or signals.kind.step_points
    points = drawn or signals.size
    work = Work(fields, config.rungs[-1], points)
    seconds: dict[str, float] = {}
    hindrances: list[str] = []
    for name, engine in ENGINES.items():
        why = engine.why_not(field) or engine.asked_only()
        if why is not None:
            hindrances.append(f"not {name}: {why}")
            continue
        alone = ranks == 1 and config.fits is None
        ready = alone and engine.is_ready(problem, points, drawn is not None, config.threads)
        lanes, shared = engine.lanes(field, points), config.fits or 1
        seconds[name] = fit_seconds(field, work, engine=name, lanes=lanes, ready=ready, fits=shared)
    estimates = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    best = min(seconds, key=lambda name: seconds[name])
    while (why := hindrance(ENGINES[best], config, field, signals)) is not None:
        _warn(best, why)
        hindrances.append(f"not {best}: {why}")
        del seconds[best]
        best = min(seconds, key=lambda name: seconds[name])
    return Choice(ENGINES[best], "; ".join([f"quickest by estimate ({estimates})", *hindrances]))
