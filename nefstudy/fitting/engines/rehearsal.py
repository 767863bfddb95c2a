"""A one-step rehearsal, which checks that an engine works on this machine before anything is written."""

import numpy as np
import torch

from nefstudy.config import FitConfig
from nefstudy.fields.field import NeuralField, parameter_count
from nefstudy.fitting.engines.catalog import Engine, is_out_of_memory
from nefstudy.fitting.engines.compiled import Shape, shape_of
from nefstudy.fitting.engines.compiler import CannotCompile
from nefstudy.fitting.precision import full_precision
from nefstudy.fitting.problem import Problem, step_points
from nefstudy.fitting.step import initial_state
from nefstudy.fitting.threads import threads
from nefstudy.signals.signal import Signals

_unusable_reasons: dict[Shape, str | None] = {}


def unusable_reason(engine: Engine, config: FitConfig, field: NeuralField, signals: Signals) -> str | None:
    """Return why an engine cannot fit the signals on this machine, or None if it can.

    An engine with a library builds it. An engine that compiles its programs runs one step on the first signal. The
    result is kept for the life of the process, so that all shards of a neural dataset use one engine.

    Raises:
        TrialFailed: the step ran out of memory.
    """
    unsupported = engine.unsupported_reason(field) or engine.build_failure()
    if unsupported is not None or not engine.compiles:
        return unsupported
    problem = Problem(field, signals.kind.loss, config.dataset.optimizer.name)
    drawn = config.dataset.batch_points or signals.kind.step_points
    points = drawn or signals.size
    shape = shape_of(problem, points=points, drawn=drawn is not None, threads=config.threads)
    if shape not in _unusable_reasons:
        lanes = engine.lanes(field, points)
        _, data = step_points(signals, config.dataset, rows=np.zeros(lanes, dtype=np.int64), view=0)
        state = initial_state(torch.zeros(lanes, parameter_count(field)))
        try:
            with threads(config.threads), full_precision():
                engine.advance(problem, config.dataset.optimizer, state, data, 1)
        except CannotCompile as error:
            _unusable_reasons[shape] = str(error)
        except (MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise engine.out_of_memory(lanes) from error
            raise
        else:
            _unusable_reasons[shape] = None
    return _unusable_reasons[shape]
