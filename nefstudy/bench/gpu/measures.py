"""Measurements on a device: speed next to the derived one, trials through Ray, and a profile."""

import io
from math import prod
from typing import Any

from rich.console import Console
from torch.profiler import ProfilerActivity, profile

from nefstudy.bench.fit import RATES, Case
from nefstudy.bench.gpu.fits import advance, check_support, grid_of, label, seconds_of, start_of
from nefstudy.bench.gpu.rows import (
    CLASSIFIER,
    ENGINE,
    FAILED,
    FIELDS,
    FLOAT32_PEAK,
    LEAST_S,
    OK,
    STEPS,
    TURNS,
    GpuRow,
    GpuSizes,
)
from nefstudy.bench.study import bench_locations
from nefstudy.config import ClassifierConfig, SignalsConfig
from nefstudy.errors import NefstudyError
from nefstudy.fitting.cost import step_flops
from nefstudy.fitting.engines.catalog import ENGINES
from nefstudy.ledger import Ledger
from nefstudy.ledger.sql.rows import TrialRow, TrialState
from nefstudy.study.driver.session import run_study
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.space import GRID_FIXED, Categorical

STUDY = "gpu-bench"
OPERATIONS = 8  # that a profile lists


def measure_speed(case: Case, sizes: GpuSizes) -> list[GpuRow]:
    """Measure an engine's speed next to the derived one; the fastest of several turns counts."""
    check_support(case)
    points = prod(case.grid)
    lanes = ENGINES[ENGINE].lanes(case.network, points)
    state, grid = start_of(case, lanes), grid_of(case, lanes)
    first_s = seconds_of(lambda: advance(case, state, grid, 1))
    turn_s = min(seconds_of(lambda: advance(case, state, grid, sizes.speed_steps)) for _ in range(TURNS))
    rate = lanes * sizes.speed_steps / turn_s
    seconds, flops = FIELDS * STEPS / rate, step_flops(case.network, points)
    least = LEAST_S.get(case)
    values = {
        "lanes": lanes,
        "field-steps/s": rate,
        "seconds": seconds,
        "derived": None if least is None else 2 * least,
        "derived minimum": least,
        "x derived": None if least is None else seconds / (2 * least),
        "TFLOP/s": rate * flops / 1e12,
        "of float32's peak": rate * flops / FLOAT32_PEAK,
        "first step s": first_s,
    }
    return [GpuRow("speed", label(case), OK, values)]


def run_trials(sizes: GpuSizes) -> list[GpuRow]:
    """Run one trial of each field through Ray, with a GPU if the benchmark runs on one."""
    plan = StudyPlan(study=STUDY, cells=tuple(_cell(name, sizes) for name in RATES))
    options = StudyOptions(study=STUDY, engine=ENGINE, gpus=1.0 if sizes.device == "cuda" else 0.0)
    problem = None
    with bench_locations(None) as locations:
        try:
            run_study(plan, options, locations=locations, console=Console(file=io.StringIO()))
        except NefstudyError as error:  # of a trial, if the ledger has rows
            problem = error
        with Ledger.open(locations.ledger, read_only=True) as ledger:
            trials = ledger.trials.page(STUDY, limit=None).rows
    if not trials and problem is not None:
        raise problem
    return [_trial_row(trial) for trial in trials]


def _cell(name: str, sizes: GpuSizes) -> CellPlan:
    fixed = GRID_FIXED[name] | {"hidden": sizes.hidden, "init": "shared"}
    signals = SignalsConfig(name=sizes.signals, subset=sizes.subset)
    classifier = ClassifierConfig(name=CLASSIFIER, epochs=sizes.epochs)
    return CellPlan("bench", signals, name, {"steps": Categorical((sizes.trial_steps,))}, fixed, classifier=classifier)


def _trial_row(trial: TrialRow) -> GpuRow:
    values: dict[str, Any] = {key: trial.fingerprint.get(key, "") for key in ("engine", "device")}
    values["seconds"] = (trial.ended_at or 0.0) - (trial.started_at or 0.0)
    values |= trial.metrics
    reason = trial.error or ""
    if trial.state is TrialState.COMPLETE and values["engine"] != ENGINE:
        reason = f"engine {values['engine']} instead of {ENGINE}"
    is_ok = trial.state is TrialState.COMPLETE and not reason
    return GpuRow("trial", trial.cell, OK if is_ok else FAILED, values, reason)


def profile_fit(case: Case, sizes: GpuSizes) -> list[GpuRow]:
    """Return the operations of one turn of a fit that take the most time, on the device or else on the CPU."""
    check_support(case)
    lanes = ENGINES[ENGINE].lanes(case.network, prod(case.grid))
    state, grid = start_of(case, lanes), grid_of(case, lanes)
    advance(case, state, grid, 1)
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if sizes.device == "cuda" else [])
    with profile(activities=activities) as profiler:
        advance(case, state, grid, sizes.speed_steps)
    events = profiler.key_averages()
    events = sorted(events, key=lambda e: (e.self_device_time_total, e.self_cpu_time_total), reverse=True)
    return [
        GpuRow(
            "profile",
            f"{label(case)}: {event.key}",
            OK,
            {
                "calls": event.count,
                "device ms": event.self_device_time_total / 1000,
                "CPU ms": event.self_cpu_time_total / 1000,
            },
        )
        for event in events[:OPERATIONS]
    ]


def slowest(rows: list[GpuRow], sizes: GpuSizes) -> Case:
    """Return the case whose measured time exceeds the derived one most; the first case if no speed was measured."""
    ratios = {row.case: row.values["x derived"] for row in rows if row.part == "speed" and row.values.get("x derived")}
    return max(sizes.speed, key=lambda case: ratios.get(label(case), 0.0))
