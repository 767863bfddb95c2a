"""A fit's first step, taken before anything is written: it shows whether an engine works on this machine."""

import numpy as np
import torch

from nefstudy.config import FitConfig
from nefstudy.fields.field import NeuralField, parameter_count
from nefstudy.fitting.compiled import CannotCompile, Shape, shape_of
from nefstudy.fitting.engines import Engine, is_out_of_memory
from nefstudy.fitting.precision import full_precision
from nefstudy.fitting.problem import Problem, step_points
from nefstudy.fitting.step import first_state
from nefstudy.fitting.threads import threads
from nefstudy.signals.signal import Signals

_hindrances: dict[Shape, str | None] = {}


def hindrance(engine: Engine, config: FitConfig, field: NeuralField, signals: Signals) -> str | None:
    """Return why an engine cannot fit these signals on this machine, or None if it can.

    An engine that compiles takes a step of the first signal. The answer holds for the life of the process, so that
    all shards of a neural dataset get one engine.

    Raises:
        TrialFailed: the step ran out of memory.
    """
    why = engine.why_not(field)
    if why is not None or not engine.compiles:
        return why
    problem = Problem(field, signals.kind.loss, config.dataset.optimizer.name)
    drawn = config.dataset.batch_points or signals.kind.step_points
    points = drawn or signals.size
    shape = shape_of(problem, points=points, drawn=drawn is not None, threads=config.threads)
    if shape not in _hindrances:
        lanes = engine.lanes(field, points)
        _, data = step_points(signals, config.dataset, rows=np.zeros(lanes, dtype=np.int64), view=0)
        state = first_state(torch.zeros(lanes, parameter_count(field)))
        try:
            with threads(config.threads), full_precision():
                engine.advance(problem, config.dataset.optimizer, state, data, 1)
        except CannotCompile as error:
            _hindrances[shape] = str(error)
        except (MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise engine.exhausted(lanes) from error
            raise
        else:
            _hindrances[shape] = None
    return _hindrances[shape]
