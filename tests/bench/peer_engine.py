"""The engines of nefstudy, and plain torch, as programs of `tests.bench.peers`."""

from functools import partial

import numpy as np
import torch

from nefstudy.bench.fit import Case, peak_flops
from nefstudy.bench.fit_variants import PLAIN, new_run
from nefstudy.config import OptimizerConfig
from nefstudy.fitting.engines.catalog import ENGINES
from nefstudy.fitting.lanes import lanes_in_cache

from .peer_worker import CALL_STEPS, Measured, PeerTask, first_seconds, serve


class EngineProgram:
    """A fit by an engine, with its number of lanes."""

    def __init__(self, task: PeerTask) -> None:
        case = Case(task.field, task.hidden, task.image)
        lanes = lanes_in_cache if task.program == PLAIN else ENGINES[task.program].lanes
        with np.load(task.data) as data:
            points = len(data["coords"])
            self.fields, self.steps = lanes(case.network, points), CALL_STEPS
            targets = data["targets"][: self.fields].reshape(self.fields, *case.grid, case.channels)
            self._initial = data["rows"][: self.fields]
        optimizer = OptimizerConfig(lr=task.lr)
        self._new_run = partial(new_run, case.network, targets, engine=task.program, optimizer=optimizer)

    def begin(self) -> None:
        """Return to the initial parameters."""
        self._run = self._new_run()
        np.testing.assert_array_equal(self.rows(), self._initial)

    def advance(self) -> None:
        """Take `steps` steps."""
        self._run.take(self.steps)

    def rows(self) -> np.ndarray:
        """Return the current parameters of the fields as flat rows, float32."""
        return self._run.rows().numpy()


def prepare(task: PeerTask) -> Measured:
    """Compile or load an engine's program."""
    torch.set_num_threads(1)
    program = EngineProgram(task)
    about = {
        "variant": f"{program.fields} lanes",
        "first_s": first_seconds(program),
        "versions": {"torch": torch.__version__.split("+")[0]},
    }
    product = partial(peak_flops, Case(task.field, task.hidden, task.image))
    return Measured(program, program, product, about)


if __name__ == "__main__":
    serve(prepare)
