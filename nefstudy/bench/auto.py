"""Slowdown of `auto` relative to the best engine, computed from measured step and start-up times."""

import os
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from math import prod
from multiprocessing import get_context
from typing import Any

from rich.table import Table

from nefstudy.bench.fit import Case, Effort, FitRow, measure
from nefstudy.fitting.cost import RATES, FitWork, fit_seconds
from nefstudy.fitting.engines.catalog import ENGINES as ALL
from nefstudy.fitting.engines.native.build import build_failure

ENGINES = ("eager", "compiled", "native")
CASES = (
    Case("siren", 32, "28x28x1"),
    Case("siren", 64, "32x32x3"),
    Case("mfn", 32, "28x28x1"),
    Case("rffnet", 32, "28x28x1"),
    Case("siren", 16, "28x28x1"),
    Case("rffnet", 16, "28x28x1"),
)
WORKS = tuple((fields, steps) for fields in (32, 512, 5000) for steps in (10, 100, 1000))


@dataclass(frozen=True)
class Pieces:
    """The parts of a fit's time, measured on one case: seconds per step and for start-up, by engine.

    Attributes:
        step: time per step of one field.
        first, again: start-up time with an empty and with a filled cache of compiled shapes.
    """

    case: Case
    step: dict[str, float]
    first: dict[str, float]
    again: dict[str, float]


@dataclass(frozen=True)
class AutoRow:
    """The estimated time of one fit with each engine, and the engine that `auto` selects for it.

    Attributes:
        compiled_before: whether the compile cache already contains the program.
        loss: extra time of `auto` over the fastest engine, as a fraction of the fastest engine's time.
    """

    field: str
    hidden: int
    image: str
    fields: int
    steps: int
    compiled_before: bool
    seconds: dict[str, float]
    auto: str
    loss: float


def bench_auto(*, cases: Sequence[Case] = CASES, works: Sequence[tuple[int, int]] = WORKS) -> list[AutoRow]:
    """Benchmark every case at every fit size, with an empty and with a filled compile cache."""
    return [row for case in cases for row in rows_of(measured(case), works)]


def measured(case: Case, effort: Effort = Effort(steps=5)) -> Pieces:
    """Measure a case in two new processes: with an empty compile cache, then with the cache of the first process.

    The native engine's library, which serves every shape, is built before.
    """
    with (
        tempfile.TemporaryDirectory() as cache,
        ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool,
    ):
        first = pool.submit(_measure_with, cache, case, Effort(steps=1, rounds=1, seconds=0.01)).result()
        again = pool.submit(_measure_with, cache, case, effort).result()
    return Pieces(
        case,
        step={row.engine: 1 / row.field_steps_per_s for row in again if row.engine in ENGINES},
        first={row.engine: row.compile_s for row in first if row.engine in ENGINES},
        again={row.engine: row.compile_s for row in again if row.engine in ENGINES},
    )


def _measure_with(cache: str, case: Case, effort: Effort) -> list[FitRow]:
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
    build_failure()
    return measure(case, ENGINES, effort)


def rows_of(pieces: Pieces, works: Iterable[tuple[int, int]], *, engines: Sequence[str] = ENGINES) -> list[AutoRow]:
    """Return how much slower `auto` would be than the fastest of some engines, for each fit size."""
    case = pieces.case
    field, points = case.network, prod(case.grid)
    lanes = {name: ALL[name].lanes(field, points) for name in engines}
    rows: list[AutoRow] = []
    for fields, steps in works:
        for ready in (False, True):
            begin = pieces.again if ready else pieces.first
            work = FitWork(fields, steps, points)
            seconds: dict[str, float] = {}
            estimates: dict[str, float] = {}
            for name in engines:
                computed = -(-fields // lanes[name]) * lanes[name] if RATES[name].padded else fields
                seconds[name] = begin[name] + computed * steps * pieces.step[name]
                estimates[name] = fit_seconds(field, work, engine=name, lanes=lanes[name], ready=ready)
            auto = min(estimates, key=lambda name: estimates[name])
            loss = seconds[auto] / min(seconds.values()) - 1
            rows.append(AutoRow(case.field, case.hidden, case.image, fields, steps, ready, seconds, auto, loss))
    return rows


def auto_json(rows: Iterable[AutoRow]) -> list[dict[str, Any]]:
    """Return the rows as plain data."""
    return [asdict(row) for row in rows]


def auto_table(rows: Iterable[AutoRow]) -> Table:
    """Return the rows as a table for the terminal."""
    rows = list(rows)
    engines = list(dict.fromkeys(name for row in rows for name in row.seconds))
    table = Table(
        title="seconds of fits by engine, and the engine that auto selects",
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
    )
    for head in ("field", "image", "fields", "steps", "ready", *engines, "auto", "loss"):
        table.add_column(head, justify="left" if head in ("field", "image", "auto") else "right", no_wrap=True)
    table.caption = "ready: the compile cache already contains the shape"
    for row in rows:
        seconds = (f"{row.seconds[name]:,.1f}" for name in engines)
        work = (f"{row.fields:,}", f"{row.steps:,}", "yes" if row.compiled_before else "no")
        table.add_row(f"{row.field} h{row.hidden}", row.image, *work, *seconds, row.auto, f"{row.loss:.0%}")
    return table
