"""Measure the native engine beyond the four cases of `bench fit`: `python -m tests.bench.native`, about five minutes.

Sizes: the share of a large matrix product's rate, which torch's library reaches in the same process, for widths from 8
to 128, other dimensions, losses and optimizers, and drawn points. New shapes: seconds until 1,000 fields have taken 200
steps, for shapes that were never compiled. Threads: the speed of two threads relative to one. Without AVX-512: the
engines, and the native library compiled for AVX2, in a process in which torch uses AVX2.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import prod
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from nefstudy.bench.fit import CASES, Case, peak_flops
from nefstudy.config import OptimizerConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren
from nefstudy.fitting.cost import step_flops
from nefstudy.fitting.engines.catalog import ENGINES
from nefstudy.fitting.engines.native import build, engine
from nefstudy.fitting.problem import DrawnPoints, PointSampler, Problem, WholeGrid
from nefstudy.fitting.step import State, initial_state
from nefstudy.inits.drawn import RandomInit

IMAGE, SOLID = 28 * 28, 2048
TURNS, TURN_S = 5, 0.2
NEVER_SEEN = (Siren(2, 1, hidden=41, layers=5), RffNet(2, 1, hidden=58, layers=4), Mfn(2, 1, hidden=23, filters=5))
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


def start(field: NeuralField, points: int, fields: int) -> tuple[State, WholeGrid]:
    """Return fields at step 0, and random points that they share with random targets of 0 and 1."""
    random = torch.Generator().manual_seed(0)
    coords = torch.rand(points, field.in_dim, generator=random) * 2 - 1
    targets = (torch.rand(fields, points, field.out_dim, generator=random) > 0.5).float()
    return initial_state(RandomInit().rows(field, seed=0, ids=range(fields), view=0)), WholeGrid(coords, targets)


def steps_per_second(
    field: NeuralField,
    *,
    points: int = IMAGE,
    loss: Any = "mse",
    optimizer: Any = "adamw",
    drawn: bool = False,
    name: str = "native",
    clock: Callable[[], float] = time.process_time,
) -> float:
    """Return field-steps per second: the fastest of several turns."""
    chosen = ENGINES[name]
    lanes = chosen.lanes(field, points)
    problem, config = Problem(field, loss, optimizer), OptimizerConfig(name=optimizer, lr=1e-4)
    state, grid = start(field, 4 * points if drawn else points, lanes)
    data: PointSampler = DrawnPoints(grid, count=points, seed=0, ids=range(lanes), view=0) if drawn else grid
    steps, best = 4, 0.0
    state = chosen.advance(problem, config, state, data, steps)
    for _ in range(TURNS):
        began = clock()
        state = chosen.advance(problem, config, state, data, steps)
        spent = max(clock() - began, 1e-6)
        best = max(best, lanes * steps / spent)
        steps = max(4, int(TURN_S * best / lanes))
    return best


def sizes() -> Table:
    """Return the share of a large product's rate for fields and problems of many kinds."""
    widths = (8, 16, 24, 32, 33, 48, 64, 96, 128)
    rows: list[tuple[str, NeuralField, dict[str, Any]]] = [
        *(
            (f"h{hidden}", field(2, 1, hidden=hidden), {})
            for hidden in widths
            for field in (Siren, RffNet, Mfn)
            if field is not RffNet or hidden % 2 == 0
        ),
        *(
            (f"h32 {loss} {optimizer}", Siren(2, 1), {"loss": loss, "optimizer": optimizer})
            for loss, optimizer in (("bce", "adamw"), ("mse", "sgd"))
        ),
        *((f"h32 {channels} channels", Siren(2, channels), {}) for channels in (2, 3, 4)),
        *(
            (f"h64 3-D bce, {SOLID:,} points", field(3, 1, hidden=64), {"loss": "bce", "points": SOLID})
            for field in (Siren, RffNet, Mfn)
        ),
        ("h32 drawn points", Siren(2, 1), {"drawn": True}),
        ("h64 drawn points", Siren(2, 3, hidden=64), {"drawn": True}),
    ]
    table = Table("field", "case", "field-steps/s", "GFLOP/s", "of a large product")
    for case, field, options in rows:
        peak = peak_flops(Case("siren", 32, "28x28x1"))
        speed = steps_per_second(field, **options)
        flops = speed * step_flops(field, options.get("points", IMAGE))
        table.add_row(type(field).__name__, case, f"{speed:,.0f}", f"{flops / 1e9:.0f}", f"{flops / peak:.0%}")
    return table


def widths_of_vectors() -> Table:
    """Return the speed of both compiling engines in this process, whose vectors `main` may have limited to AVX2."""
    table = Table("field", "native", "compiled", "native / compiled", "native, of a large product")
    for name, hidden, image in CASES:
        case = Case(name, hidden, image)
        points, peak = prod(case.grid), peak_flops(case)
        native, compiled = (steps_per_second(case.network, points=points, name=each) for each in ("native", "compiled"))
        share = native * step_flops(case.network, points) / peak
        table.add_row(
            f"{name} h{hidden} {image}",
            f"{native:,.0f}",
            f"{compiled:,.0f}",
            f"{native / compiled:.2f}",
            f"{share:.0%}",
        )
    return table


def new_shapes() -> Table:
    """Return seconds to the first step and to step 200 of 1,000 fields, with an empty cache of compiled shapes."""
    table = Table("field", "engine", "first step, s", "200 steps of 1,000 fields, s")
    for field in NEVER_SEEN:
        for name in ("native", "eager", "compiled"):
            chosen, points = ENGINES[name], IMAGE
            lanes = chosen.lanes(field, points)
            state, grid = start(field, points, lanes)
            problem, config = Problem(field, "mse", "adamw"), OptimizerConfig(lr=1e-4)
            began = time.perf_counter()
            state = chosen.advance(problem, config, state, grid, 1)
            first = time.perf_counter() - began
            speed = steps_per_second(field, name=name)
            table.add_row(str(field), name, f"{first:.3f}", f"{first + 200_000 / speed:.1f}")
    return table


def two_threads() -> Table:
    """Return the speed of two threads relative to one, in wall time."""
    table = Table("field", "one thread", "two threads", "ratio")
    for name, hidden, image in CASES:
        case, speeds = Case(name, hidden, image), []
        for count in (1, 2):
            torch.set_num_threads(count)
            speeds.append(steps_per_second(case.network, points=prod(case.grid), clock=time.perf_counter))
        torch.set_num_threads(1)
        table.add_row(f"{name} h{hidden} {image}", *(f"{each:,.0f}" for each in speeds), f"{speeds[1] / speeds[0]:.2f}")
    return table


PARTS = {"sizes": sizes, "new-shapes": new_shapes, "two-threads": two_threads, "vectors": widths_of_vectors}


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; by default all")
    options.add_argument("--avx2", action="store_true", help="use AVX2 only; the default runs `vectors` both ways")
    given = options.parse_args()
    torch.set_num_threads(1)
    if given.avx2:
        loaded = build.library("-mno-avx512f")
        vars(engine)["library"] = lambda: loaded
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as cache:
        build.library()
        for part in given.parts or PARTS:
            if part == "new-shapes":
                os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
            vectors = vars(engine)["library"]().nefstudy_vector().decode()
            console.print(f"{part}: {datetime.now(tz=UTC):%Y-%m-%d}, torch {torch.__version__}, {vectors} vectors")
            console.print(PARTS[part]())
    if "vectors" in (given.parts or PARTS) and not given.avx2:
        command = [sys.executable, "-m", "tests.bench.native", "vectors", "--avx2"]
        subprocess.run(command, check=True, env={**os.environ, **AVX2}, cwd=Path(__file__).parents[2])


if __name__ == "__main__":
    main()
