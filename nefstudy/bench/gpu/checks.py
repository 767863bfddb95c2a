"""Checks of a device: the fused engine against `eager`, and a classifier against the CPU's."""

import copy
import time
from functools import partial

import torch
from torch import Tensor

from nefstudy.bench.fit import Case
from nefstudy.bench.gpu.fits import advance, check_support, grid_of, label, problem_of, seconds_of, start_of
from nefstudy.bench.gpu.rows import CLASSIFIER, ENGINE, OK, TURNS, WRONG, GpuRow, GpuSizes
from nefstudy.classifiers.catalog import build
from nefstudy.classifiers.train import train_classifier
from nefstudy.classifiers.weights import WeightData
from nefstudy.config import ClassifierConfig
from nefstudy.fields.siren import Siren
from nefstudy.fitting.engines.catalog import ENGINES
from nefstudy.fitting.precision import full_precision
from nefstudy.fitting.problem import WholeGrid
from nefstudy.fitting.step import State, initial_state
from nefstudy.inits.drawn import RandomInit
from nefstudy.seeds import integer

DECIBELS = 0.05
DEVICE_TOLERANCE = 1e-3  # of a classifier's scores, gradients and loss: float32 sums in another order


def check_engine(case: Case, sizes: GpuSizes) -> list[GpuRow]:
    """Compare an engine's parameters and losses with `eager`, and its bytes between chunk sizes.

    Parameters may differ by 1e-5 of their change after up to 10 steps and by 1e-3 after up to 100 steps, later PSNR by
    0.05 dB (as tests/fitting/engines/test_fused.py), and by four times the error of `eager` relative to float64.
    """
    check_support(case)
    values: dict[str, float | bool] = {}
    problems = []
    with full_precision():
        start, grid = start_of(case, sizes.lanes), grid_of(case, sizes.lanes)
        exact_grid = WholeGrid(grid.coords.double(), grid.targets.double())
        states = {ENGINE: start, "eager": start, "exact": initial_state(start.rows.double())}
        for steps in sizes.steps:
            for name, state in states.items():
                engine, data = ("eager", exact_grid) if name == "exact" else (name, grid)
                states[name] = advance(case, state, data, steps - state.step, engine=engine)
            measure = _difference if steps <= 100 else _decibels
            stated = DECIBELS if steps > 100 else 1e-3 if steps > 10 else 1e-5
            allowed = stated + 4 * measure(case, states["eager"], states["exact"], start, grid)
            found = measure(case, states[ENGINE], states["eager"], start, grid)
            unit = "" if steps <= 100 else " (dB)"
            values |= {f"after {steps:,}{unit}": found, f"allowed{unit} at {steps:,}": allowed}
            if not found <= allowed:
                problems.append(f"after {steps:,} steps {found:.2g}{unit} > {allowed:.2g}")
        values["equal bits"] = _equal_across_chunks(case, start, grid)
        problems += [] if values["equal bits"] else ["bytes depend on the chunk"]
    return [GpuRow("correctness", label(case), WRONG if problems else OK, values, "; ".join(problems))]


def _difference(case: Case, one: State, other: State, start: State, grid: WholeGrid) -> float:
    """Return the largest difference of two states' rows, relative to the change since the start."""
    del case, grid
    change = (other.rows - start.rows).norm(dim=1)
    return float(((one.rows - other.rows).norm(dim=1) / change).max())


def _decibels(case: Case, one: State, other: State, start: State, grid: WholeGrid) -> float:
    """Return the largest difference of two states' PSNR."""
    del start
    losses = [ENGINES["eager"].grid_losses(problem_of(case), state.rows.float(), grid) for state in (one, other)]
    return float((10 * (losses[0] / losses[1]).log10()).abs().max())


def _equal_across_chunks(case: Case, start: State, grid: WholeGrid) -> bool:
    """Return whether ten steps give the same bytes in one chunk, in two chunks and in two launches."""
    whole = advance(case, start, grid, 10).rows
    parts = []
    for lanes in (slice(0, 2), slice(2, None)):
        chunk = initial_state(start.rows[lanes])
        first = advance(case, chunk, WholeGrid(grid.coords, grid.targets[lanes]), 3)
        parts.append(advance(case, first, WholeGrid(grid.coords, grid.targets[lanes]), 7).rows)
    return whole.numpy().tobytes() == torch.cat(parts).numpy().tobytes()


def check_classifier(sizes: GpuSizes) -> list[GpuRow]:
    """Compare a classifier's scores, gradients and training on the device with the CPU's, and their times."""
    siren, classes = Siren(2, 1, hidden=sizes.hidden), 10
    rows = RandomInit().rows(siren, seed=0, ids=range(3 * sizes.batch), view=0)
    torch.manual_seed(integer(0, "bench", CLASSIFIER))
    network = build(ClassifierConfig(name=CLASSIFIER), siren, classes=classes)
    network.calibrate(rows)
    results, seconds = {}, {}
    for device in ("cpu", sizes.device):
        moved, batch = copy.deepcopy(network).to(device), rows[: sizes.batch].to(device)
        results[device] = _scores_and_gradients(moved, batch)
        seconds[device] = min(seconds_of(partial(_scores_and_gradients, moved, batch)) for _ in range(TURNS))
    pairs = zip(("scores", "gradients"), results["cpu"], results[sizes.device], strict=True)
    batch_row = _compared("one batch", {name: _relative(*pair) for name, *pair in pairs}, seconds, sizes)
    labels = torch.arange(len(rows)) % classes
    split = torch.arange(len(rows)) // sizes.batch
    config = ClassifierConfig(name=CLASSIFIER, epochs=1, batch_size=sizes.batch // 2)
    losses = {}
    for device in ("cpu", sizes.device):
        data = WeightData(siren, rows.to(device), labels.to(device), split.to(device), classes)
        began = time.perf_counter()
        losses[device] = torch.tensor(train_classifier(config, data, seed=0).train.loss)
        seconds[device] = time.perf_counter() - began
    training_row = _compared("one epoch", {"loss": _relative(losses["cpu"], losses[sizes.device])}, seconds, sizes)
    return [batch_row, training_row]


def _compared(case: str, differences: dict[str, float], seconds: dict[str, float], sizes: GpuSizes) -> GpuRow:
    problems = [f"{name} differ by {value:.2g}" for name, value in differences.items() if not value <= DEVICE_TOLERANCE]
    times = {"CPU ms": 1000 * seconds["cpu"], "device ms": 1000 * seconds[sizes.device]}
    outcome = WRONG if problems else OK
    return GpuRow("classifier", f"{CLASSIFIER}, {case}", outcome, {**differences, **times}, "; ".join(problems))


def _scores_and_gradients(network: torch.nn.Module, rows: Tensor) -> tuple[Tensor, Tensor]:
    network.zero_grad()
    scores = network(rows)
    torch.autograd.backward(scores.square().sum())
    gradients = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
    return scores.detach().cpu(), gradients.cpu()


def _relative(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / one.norm())
