"""What `auto` loses against the best fixed engine: measured steps and start-up times over a grid of works."""

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
from nefstudy.fitting.cost import Work, fit_seconds
from nefstudy.fitting.lanes import lanes_in_cache

ENGINES = ("eager", "compiled")
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
    """One case measured: seconds of a step of one field by each engine, and of getting ready, first and again."""

    case: Case
    step: dict[str, float]
    first: dict[str, float]
    again: dict[str, float]


@dataclass(frozen=True)
class AutoRow:
    """One work: what each engine takes, put together from measured pieces, and which of them `auto` takes.

    Attributes:
        compiled_before: whether this machine has the program already.
        loss: of `auto` against the best, as a fraction of the best.
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
    """Every work on every case, with and without a program compiled before."""
    return [row for case in cases for row in rows_of(measured(case), works)]


def measured(case: Case, effort: Effort = Effort(steps=5)) -> Pieces:
    """A case measured twice in fresh processes: on a cache that holds nothing, and on what that left."""
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
    return measure(case, ENGINES, effort)


def rows_of(pieces: Pieces, works: Iterable[tuple[int, int]]) -> list[AutoRow]:
    """What `auto` would lose on each work if engines took what these pieces say."""
    case = pieces.case
    points = prod(case.grid)
    lanes = lanes_in_cache(case.network, points)
    rows: list[AutoRow] = []
    for fields, steps in works:
        for ready in (False, True):
            begin = pieces.again if ready else pieces.first
            full = -(-fields // lanes) * lanes
            seconds = {name: begin[name] + full * steps * pieces.step[name] for name in ENGINES}
            work = Work(fields, steps, points)
            auto = min(ENGINES, key=lambda name: fit_seconds(case.network, work, engine=name, lanes=lanes, ready=ready))
            loss = seconds[auto] / min(seconds.values()) - 1
            rows.append(AutoRow(case.field, case.hidden, case.image, fields, steps, ready, seconds, auto, loss))
    return rows


def auto_json(rows: Iterable[AutoRow]) -> list[dict[str, Any]]:
    """The rows as plain data."""
    return [asdict(row) for row in rows]


def auto_table(rows: Iterable[AutoRow]) -> Table:
    """The rows for a terminal."""
    table = Table(
        title="seconds of fits by engine, and what auto takes", title_justify="left", box=None, padding=(0, 1, 0, 0)
    )
    for head in ("field", "image", "fields", "steps", "ready", *ENGINES, "auto", "loses"):
        table.add_column(head, justify="left" if head in ("field", "image", "auto") else "right", no_wrap=True)
    table.caption = "ready: this machine has compiled the shape before"
    for row in rows:
        seconds = (f"{row.seconds[name]:,.1f}" for name in ENGINES)
        work = (f"{row.fields:,}", f"{row.steps:,}", "yes" if row.compiled_before else "no")
        table.add_row(f"{row.field} h{row.hidden}", row.image, *work, *seconds, row.auto, f"{row.loss:.0%}")
    return table
