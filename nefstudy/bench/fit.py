"""Field-steps per second of the engines, compared with a plain torch fit of the same fields."""

import os
import resource
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from math import prod
from multiprocessing import get_context
from statistics import median

import numpy as np
import torch
from jaxtyping import Float

from nefstudy.bench.fit_variants import PLAIN, FitVariant, new_run
from nefstudy.config import FieldConfig, OptimizerConfig, SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.evaluation.reconstruction import bilinear, psnr
from nefstudy.fields.catalog import build
from nefstudy.fields.field import NeuralField, unflatten
from nefstudy.fitting.cost import step_flops
from nefstudy.fitting.engines.catalog import ENGINES
from nefstudy.fitting.lanes import lanes_in_cache
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.signal import grid_coords

RATES = {"siren": 1e-3, "rffnet": 1e-4, "mfn": 5e-3}  # learning rates of the study's phase 2
SIGNALS_OF = {1: "mnist5k", 3: "photo-patches-32"}
CASES = (("siren", 32, "28x28x1"), ("siren", 64, "32x32x3"), ("mfn", 32, "28x28x1"), ("rffnet", 32, "28x28x1"))
PEAK_SIZE = 768  # a square matrix product of this size reaches a core's peak


@dataclass(frozen=True)
class Case:
    """A benchmark case: a field of a given width, fitted to real images resampled to a given size."""

    field: str
    hidden: int
    image: str
    threads: int = 1

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self._extents[0], self._extents[1]

    @property
    def channels(self) -> int:
        """Number of values per point."""
        return self._extents[2]

    @property
    def network(self) -> NeuralField:
        """The neural field; its other hyperparameters are those of phase 2 of the study."""
        return build(FieldConfig(name=self.field, params={"hidden": self.hidden}), in_dim=2, out_dim=self.channels)

    @property
    def _extents(self) -> tuple[int, int, int]:
        parts = self.image.split("x")
        if len(parts) != 3 or not all(part.isdigit() for part in parts) or int(parts[2]) not in SIGNALS_OF:
            raise BadConfig(
                f"image {self.image!r}: must be HEIGHTxWIDTHxCHANNELS with 1 or 3 channels, such as 28x28x1"
            )
        return int(parts[0]), int(parts[1]), int(parts[2])


@dataclass(frozen=True)
class Effort:
    """The amount of work spent on a measurement: fit steps, rounds, and CPU time per turn.

    Attributes:
        steps: number of steps of the fit whose PSNR is reported.
        rounds: number of rounds. Every engine has a turn in each, so that disturbances affect all engines alike.
        seconds: CPU time of one turn.
    """

    steps: int = 200
    rounds: int = 12
    seconds: float = 0.25


@dataclass(frozen=True)
class FitRow:
    """One measurement of an engine on a case.

    Attributes:
        field_steps_per_s: rate of the fastest turn by CPU time, which is least affected by other processes.
        gflops: three times the operations of the forward matrix products, at that rate.
        peak_fraction: that rate relative to a large matrix product on the same number of threads.
        times_plain: speed relative to the plain torch fit, median over rounds that measure both in turn.
        psnr: mean over the fields after `Effort.steps` steps, in dB.
        compile_s: time from the first call to the end of the first step; short if the shape is in the compile cache.
        peak_mb: growth of the peak resident size of a process that only fits.
    """

    field: str
    hidden: int
    image: str
    engine: str
    threads: int
    lanes: int
    field_steps_per_s: float
    gflops: float
    peak_fraction: float
    times_plain: float
    psnr: float
    compile_s: float
    peak_mb: float


def cases(
    *, fields: Iterable[str] | None = None, hidden: int | None = None, image: str | None = None, threads: int = 1
) -> list[Case]:
    """Return the standard cases, restricted to the given fields, with the given width and image size.

    Raises:
        BadConfig: the image size is malformed, or a field is unknown.
    """
    chosen = list(fields or ())
    known = [case for case in CASES if not chosen or case[0] in chosen]
    known += [(name, 32, "28x28x1") for name in chosen if name not in {case[0] for case in CASES}]
    asked = [Case(name, hidden or width, image or size, threads) for name, width, size in known]
    unique = list(dict.fromkeys(asked))
    for case in unique:
        _ = case.network
    return unique


def bench_fit(
    wanted: Sequence[Case],
    *,
    engines: Iterable[str] | None = None,
    effort: Effort = Effort(),
    on_row: Callable[[FitRow], None] | None = None,
) -> list[FitRow]:
    """Measure every case with the given engines and with plain torch, each case in a new process.

    Without `engines`, all engines that work here are measured.

    Raises:
        BadConfig: an engine is unknown or cannot run here.
    """
    names = [_engines(case, engines) for case in wanted]
    rows: list[FitRow] = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for case, able in zip(wanted, names, strict=True):
            found = pool.submit(measure, case, able, effort).result()
            for row in found:
                rows.append(replace(row, peak_mb=pool.submit(peak_mb, case, row.engine).result()))
                if on_row:
                    on_row(rows[-1])
    return rows


def _engines(case: Case, asked: Iterable[str] | None) -> list[str]:
    """Return the engines with which to measure a case."""
    hindrances = {
        name: engine.unsupported_reason(case.network) or engine.explicit_only_reason()
        for name, engine in ENGINES.items()
    }
    if asked is None:
        return [name for name, hindrance in hindrances.items() if hindrance is None]
    names = list(asked)
    for name in names:
        if name not in ENGINES:
            raise BadConfig(f"engine {name!r} is unknown; allowed: {', '.join(ENGINES)}; choose one of these")
        if hindrances[name] is not None:
            raise BadConfig(f"engine {name!r} cannot be measured here: {hindrances[name]}; choose another")
    return names


def measure(case: Case, engines: Sequence[str], effort: Effort) -> list[FitRow]:
    """Measure the engines and plain torch on one case, in this process and with the case's number of threads."""
    torch.set_num_threads(case.threads)
    names = [*engines, PLAIN]
    subject = _Subject(case, names)
    runs = {name: subject.run(name) for name in names}
    compile_s = {name: subject.first_seconds(name, runs[name]) for name in names}
    paces: dict[str, list[float]] = {name: [] for name in names}
    turns = {name: max(1, round(effort.seconds / subject.seconds(name, runs[name], steps=2) * 2)) for name in names}
    for _ in range(effort.rounds):
        for name in names:
            seconds = subject.seconds(name, runs[name], steps=turns[name])
            paces[name].append(subject.lanes[name] * turns[name] / seconds)
    peak, flops = peak_flops(case), step_flops(case.network, prod(case.grid))
    return [
        FitRow(
            **asdict(case),
            engine=name,
            lanes=subject.lanes[name],
            field_steps_per_s=max(paces[name]),
            gflops=max(paces[name]) * flops / 1e9,
            peak_fraction=max(paces[name]) * flops / peak,
            times_plain=median(one / plain for one, plain in zip(paces[name], paces[PLAIN], strict=True)),
            psnr=subject.quality(name, effort.steps),
            compile_s=compile_s[name],
            peak_mb=0.0,
        )
        for name in names
    ]


def peak_mb(case: Case, engine: str) -> float:
    """Return the growth in MB of this process's peak resident size during a few steps of one chunk.

    `ru_maxrss` is in kibibytes on Linux.
    """
    torch.set_num_threads(case.threads)
    run = _Subject(case, [engine]).run(engine)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run.take(5)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


class _Subject:
    """The standardized images of a case; creates and times the runs that fit them."""

    def __init__(self, case: Case, engines: Sequence[str]) -> None:
        points = prod(case.grid)
        self.lanes = {
            name: lanes_in_cache(case.network, points) if name == PLAIN else ENGINES[name].lanes(case.network, points)
            for name in engines
        }
        self._case = case
        self._images = images(case, max(self.lanes.values()))
        self._mean, self._std = self._images.mean(), self._images.std()

    def run(self, engine: str) -> FitVariant:
        """Return a new run at step 0."""
        targets = (self._images[: self.lanes[engine]] - self._mean) / self._std
        optimizer = OptimizerConfig(lr=RATES[self._case.field])
        return new_run(self._case.network, targets, engine=engine, optimizer=optimizer)

    def seconds(self, engine: str, run: FitVariant, *, steps: int) -> float:
        """Return the duration of `steps` steps in seconds: CPU time on a single thread, otherwise wall time.

        CPU time varies less.
        """
        on_device = engine != PLAIN and ENGINES[engine].on_device
        clock = time.process_time if self._case.threads == 1 and not on_device else time.perf_counter
        began = clock()
        run.take(steps)
        return clock() - began

    def first_seconds(self, engine: str, run: FitVariant) -> float:
        """Return the duration of the first step in seconds, including the CPU time of compiler processes."""
        before = os.times()
        seconds = self.seconds(engine, run, steps=1)
        after = os.times()
        called = after.children_user + after.children_system - before.children_user - before.children_system
        return seconds + called if self._case.threads == 1 and engine != "fused" else seconds

    def quality(self, engine: str, steps: int) -> float:
        """Return the mean PSNR in dB after `steps` steps, over images that every engine fits."""
        run = self.run(engine)
        run.take(steps)
        field, points = self._case.network, torch.from_numpy(grid_coords(self._case.grid))
        with torch.no_grad():
            outputs = field.forward(unflatten(field, run.rows()), points).numpy()
        originals = self._images[: min(self.lanes.values())]
        found = (outputs * self._std + self._mean)[: len(originals)].reshape(originals.shape)
        return float(psnr(found, originals).mean())


def peak_flops(case: Case) -> float:
    """Return the operations per second of a large matrix product, taken from the fastest of several repeats."""
    clock = time.process_time if case.threads == 1 else time.perf_counter
    one, other = torch.ones(PEAK_SIZE, PEAK_SIZE), torch.ones(PEAK_SIZE, PEAK_SIZE)
    best = float("inf")
    for _ in range(40):
        began = clock()
        torch.mm(one, other)
        best = min(best, clock() - began)
    return 2 * PEAK_SIZE**3 / best


def images(case: Case, count: int) -> Float[np.ndarray, "n H W C"]:
    """Return real images with values in [0, 1], resampled to the case's grid."""
    signals = load_signals(SignalsConfig(name=SIGNALS_OF[case.channels], subset=max(count, 30)))
    own = signals.originals(np.arange(count)).reshape(count, *signals.card.grid, case.channels)
    if signals.card.grid == case.grid:
        return own
    return bilinear(own, grid_coords(case.grid)).reshape(count, *case.grid, case.channels)
