"""Measurements of `tests.bench.peers` as rows and tables, with their targets."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import prod
from statistics import median
from typing import Any

import numpy as np
from rich.table import Table

from nefstudy.bench.fit import Case
from nefstudy.bench.fit_variants import PLAIN
from nefstudy.fitting.cost import step_flops

RECIPE, BEST = "recipe", "best JAX"
PEERS = (RECIPE, BEST)


@dataclass(frozen=True)
class Target:
    """The speed that the fastest engine should reach: relative to the best JAX program, and as a share of the peak."""

    times_jax: float
    peak_fraction: float


TARGETS = {
    ("siren", 32, "28x28x1"): Target(10.0, 0.75),
    ("siren", 64, "32x32x3"): Target(6.5, 0.85),
    ("mfn", 32, "28x28x1"): Target(5.5, 0.75),
    ("rffnet", 32, "28x28x1"): Target(1.9, 0.90),
}


@dataclass(frozen=True)
class PeerRow:
    """One program on one case.

    Attributes:
        best: field-steps per second of CPU time, in the fastest turn.
        median: the same, in the median turn.
        times_jax: speed relative to the best JAX program, median over rounds.
        times_recipe: speed relative to the recipe, median over rounds.
        peak_fraction: three times the operations of the forward products in the fastest turn, relative to a large
            matrix product in the same run: that of torch or that of JAX, whichever is faster.
        psnr: mean over the compared fields, in dB.
        first_s: seconds for compiling or loading.
        wall_per_cpu: wall-clock seconds per CPU second, median over turns; above 1 if other processes used the core.
        variant: number of fields fitted at once and, for the peers, the fastest form of the program.
        tried: for the peers, the speed of every variant in a short turn.
    """

    field: str
    hidden: int
    image: str
    program: str
    variant: str
    best: float
    median: float
    times_jax: float
    times_recipe: float
    peak_fraction: float
    psnr: float
    first_s: float
    wall_per_cpu: float
    tried: dict[str, float]


def row(
    case: Case,
    name: str,
    about: dict[str, Any],
    *,
    turns: dict[str, list[dict[str, float]]],
    quality: np.ndarray,
    peaks: dict[str, float],
) -> PeerRow:
    """Return a program's row from the turns of all programs."""
    rates = {program: [each["rate"] for each in taken] for program, taken in turns.items()}
    times = {peer: median(one / other for one, other in zip(rates[name], rates[peer], strict=True)) for peer in PEERS}
    flops = max(rates[name]) * step_flops(case.network, prod(case.grid))
    return PeerRow(
        field=case.field,
        hidden=case.hidden,
        image=case.image,
        program=name,
        variant=about["variant"],
        best=max(rates[name]),
        median=median(rates[name]),
        times_jax=times[BEST],
        times_recipe=times[RECIPE],
        peak_fraction=flops / max(peaks.values()),
        psnr=float(quality.mean()),
        first_s=about["first_s"],
        wall_per_cpu=median(each["wall_per_cpu"] for each in turns[name]),
        tried=about.get("tried", {}),
    )


def fastest_engine(rows: Iterable[PeerRow]) -> PeerRow:
    """Return the row of the engine with the fastest median turn."""
    return max((row for row in rows if row.program not in {*PEERS, PLAIN}), key=lambda row: row.median)


def verdict(row: PeerRow) -> str:
    """Return `met`, or by what figures a measurement misses its target; empty if there is no target."""
    target = TARGETS.get((row.field, row.hidden, row.image))
    if target is None:
        return ""
    missed = []
    if row.times_jax < target.times_jax:
        missed.append(f"{row.times_jax:.2f} < {target.times_jax} x {BEST}")
    if row.peak_fraction < target.peak_fraction:
        missed.append(f"{row.peak_fraction:.1%} < {target.peak_fraction:.0%} of peak")
    return "missed: " + ", ".join(missed) if missed else "met"


def peers_table(rows: Iterable[PeerRow], *, caption: str) -> Table:
    """Return the measurements as a table."""
    title = "field-steps per second of CPU time, on one core, in turns"
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left", box=None, pad_edge=False)
    heads = (
        "field",
        "image",
        "program",
        "variant",
        "best",
        "median",
        "x JAX",
        "x recipe",
        "peak",
        "dB",
        "start",
    )
    for head in heads:
        table.add_column(head, justify="left" if head in heads[:4] else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            f"{row.field} h{row.hidden}",
            row.image,
            row.program,
            row.variant,
            f"{row.best:,.0f}",
            f"{row.median:,.0f}",
            f"{row.times_jax:.2f}",
            f"{row.times_recipe:.2f}",
            f"{row.peak_fraction:.0%}",
            f"{row.psnr:.2f}",
            f"{row.first_s:.1f}",
        )
    return table


def targets_table(fastest: Iterable[PeerRow]) -> Table:
    """Return the targets of the fastest engine of each case, met or missed."""
    table = Table("field", "image", "engine", f"x {BEST}", "target", "of peak", "target", "", box=None, pad_edge=False)
    for row in fastest:
        target = TARGETS.get((row.field, row.hidden, row.image))
        if target is not None:
            times = (f"{row.times_jax:.2f}", f">= {target.times_jax}")
            share = (f"{row.peak_fraction:.0%}", f">= {target.peak_fraction:.0%}")
            table.add_row(f"{row.field} h{row.hidden}", row.image, row.program, *times, *share, verdict(row))
    return table


def peers_json(rows: Sequence[PeerRow], fastest: Iterable[PeerRow], *, conditions: dict[str, Any]) -> dict[str, Any]:
    """Return the measurements, and the verdict on the fastest engine of each case, as plain data."""
    digits = {"best": 1, "median": 1, "first_s": 1}
    plain = [
        {name: round(value, digits.get(name, 3)) if isinstance(value, float) else value for name, value in each.items()}
        for each in map(asdict, rows)
    ]
    keys = ("field", "hidden", "image", "program")
    targets = [{key: getattr(row, key) for key in keys} | {"verdict": verdict(row)} for row in fastest]
    return {"conditions": conditions, "rows": plain, "targets": targets}
