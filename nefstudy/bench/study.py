"""Overhead of a study, measured with trials that do nothing but pass through every stage of a real trial.

Each trial is planned, claimed, started by Ray Tune, run by Ray Train in an actor, committed to the ledger with its
event, and exported to MLflow. Only the fit and the classifier are omitted.
"""

import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from nefstudy.bench.monitor import Sample, Stretch, StudyMonitor, stretches
from nefstudy.bench.noop import NOOP
from nefstudy.config import SignalsConfig
from nefstudy.ledger import Ledger
from nefstudy.signals.catalog import SIGNALS
from nefstudy.study.driver.cells import open_stream
from nefstudy.study.driver.session import run_study
from nefstudy.study.locations import Locations, resolve_locations
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.samplers import Tpe
from nefstudy.study.space import ARCHITECTURE, GRID_FIXED, GRID_STEPS, INIT, OPTIMIZATION, Categorical

Sampler = Literal["grid", "tpe"]
SIGNAL_NAMES = tuple(f"bench{number}" for number in range(4))  # with three fields, the twelve cells of the paper
MORE = "bench-more"
STUDY = "bench"
THOUSAND = 1000
ASKED = 20  # suggestions to time after a search has ended


@dataclass(frozen=True)
class Load:
    """The trials to run: `trials` in twelve cells, then `more` in another cell to measure a resumed study."""

    trials: int = 30_000
    sampler: Sampler = "grid"
    concurrency: int | None = None
    more: int = 0


@dataclass(frozen=True)
class StudyBench:
    """Results of the overhead benchmark.

    Attributes:
        seconds: time from the start to the end of the last trial, including the start of Ray.
        first_trial_s: time from the start to the end of the first trial of this run.
        cpu_s_per_trial: CPU time of all processes per trial, including the export of results until the last trial
            ended.
        left, drain_s: results not yet exported when the last trial ended, and the seconds until all were exported.
        suggest_ms: CPU milliseconds of one TPE suggestion and its report, after all trials of a cell; None for a grid.
    """

    trials: int
    seconds: float
    first_trial_s: float
    cpu_s_per_trial: float
    first_1000_ms: float
    last_1000_ms: float
    first_1000_cpu_ms: float
    last_1000_cpu_ms: float
    driver_peak_mb: float
    left: int
    drain_s: float
    unexported: int
    suggest_ms: float | None
    thousands: list[Stretch]


def noop_plan(load: Load) -> StudyPlan:
    """Return a plan with at least `load.trials` trials that do nothing, in twelve cells."""
    names = (*SIGNAL_NAMES, *((MORE,) if load.more else ()))
    fields = tuple(ARCHITECTURE)
    each = ceil(load.trials / (len(SIGNAL_NAMES) * len(fields)))
    cells = [_cell(name, field, load.sampler, each) for name in SIGNAL_NAMES for field in fields]
    if load.more:
        cells.append(_cell(MORE, fields[0], load.sampler, load.more))
    sources = SIGNALS | dict.fromkeys(names, SIGNALS["digits8"])
    return StudyPlan(study=STUDY, cells=tuple(cells), signals=sources, tasks={NOOP.name: NOOP})


def _cell(name: str, field: str, sampler: Sampler, trials: int) -> CellPlan:
    phase = "phase1" if sampler == "tpe" else "phase2"
    signals = SignalsConfig(name=name)
    if sampler == "tpe":
        return CellPlan(phase, signals, field, {**OPTIMIZATION, **ARCHITECTURE[field]}, sampler=Tpe(trials))
    rates = Categorical(tuple(1e-5 * 1.05**step for step in range(ceil(trials / 2 / len(GRID_STEPS)))))
    space = {"init": INIT, "lr": rates, "steps": Categorical(GRID_STEPS)}
    rest = {key: value for key, value in GRID_FIXED[field].items() if key not in space}
    return CellPlan(phase, signals, field, space, rest)


def bench_study(load: Load, *, locations: Locations, console: Console) -> StudyBench:
    """Run or continue the study at the given locations and measure its cost."""
    plan = noop_plan(load)
    with StudyMonitor(locations.ledger, STUDY) as monitor:
        options = StudyOptions(study=STUDY, concurrency=load.concurrency)
        ending = run_study(plan, options, locations=locations, console=console)
    return _summary(
        monitor.samples,
        unexported=ending.unexported,
        suggest_ms=suggest_ms(plan, locations) if load.sampler == "tpe" else None,
    )


def _summary(samples: list[Sample], *, unexported: int, suggest_ms: float | None) -> StudyBench:
    thousands = stretches(samples, THOUSAND)
    whole = stretches(samples, samples[-1].done)[0]
    last = next(sample for sample in samples if sample.done == samples[-1].done)
    first = next(sample for sample in samples if sample.done > samples[0].done)
    drained = next((sample for sample in samples if sample.at >= last.at and not sample.waiting), samples[-1])
    full = [one for one in thousands if one.last - samples[0].done >= THOUSAND] or thousands
    return StudyBench(
        trials=samples[-1].done - samples[0].done,
        seconds=last.at,
        first_trial_s=first.at,
        cpu_s_per_trial=whole.cpu_ms / 1000,
        first_1000_ms=full[0].wall_ms,
        last_1000_ms=full[-1].wall_ms,
        first_1000_cpu_ms=full[0].cpu_ms,
        last_1000_cpu_ms=full[-1].cpu_ms,
        driver_peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        left=last.waiting,
        drain_s=drained.at - last.at,
        unexported=unexported,
        suggest_ms=suggest_ms,
        thousands=thousands,
    )


def suggest_ms(plan: StudyPlan, locations: Locations) -> float:
    """Return the CPU time in ms to suggest a trial and record its score, in a cell that has run all its trials."""
    pinned = plan.pinned()
    cell = pinned.cells[0]
    with Ledger.open(locations.ledger, read_only=True) as ledger:
        known = sum(n for (p, c, _), n in ledger.trials.counts(STUDY).items() if (p, c) == (cell.phase, cell.cell))
        stream = open_stream(pinned, replace(cell, sampler=Tpe(known + ASKED)), ledger)
        began = time.thread_time()
        for _ in range(ASKED):
            suggestion = stream.next(())
            if suggestion is not None:
                stream.tell(suggestion.trial, 0.5)
    return 1000 * (time.thread_time() - began) / ASKED


@contextmanager
def bench_locations(root: str | None) -> Iterator[Locations]:
    """Yield the locations of a benchmark: the given root, or a temporary one."""
    if root is not None:
        yield resolve_locations(root, environment={})
        return
    with tempfile.TemporaryDirectory(prefix="nef-") as folder:
        yield resolve_locations(str(Path(folder)), environment={})


def study_json(found: StudyBench) -> dict[str, Any]:
    """Return the measurement as plain data, rounded to meaningful digits."""
    return {key: _rounded(value) for key, value in asdict(found).items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, list):
        return [{key: _rounded(inner) for key, inner in one.items()} for one in value]
    return value


def study_table(found: StudyBench) -> Table:
    """Return a table for the terminal with a row per thousand trials and the totals below."""
    table = Table(title=f"{found.trials:,} trials that do nothing", title_justify="left", box=None)
    for head in ("trials", "wall ms", "CPU ms", "driver CPU ms", "driver MB", "not exported"):
        table.add_column(head, justify="right")
    for one in found.thousands:
        costs = (f"{one.wall_ms:.1f}", f"{one.cpu_ms:.1f}", f"{one.driver_ms:.1f}")
        table.add_row(f"{one.last:,}", *costs, f"{one.rss_mb:,.0f}", f"{one.waiting:,}")
    totals = f"{found.seconds:,.0f} s, {found.cpu_s_per_trial:.3f} CPU-s per trial, first trial after "
    totals += f"{found.first_trial_s:.1f} s, peak {found.driver_peak_mb:,.0f} MB; "
    totals += f"{found.left:,} results to export at the end, done {found.drain_s:,.0f} s later"
    table.caption = (
        totals if found.suggest_ms is None else f"{totals}; {found.suggest_ms:.0f} CPU-ms per TPE suggestion"
    )
    table.caption_justify = "left"
    return table
