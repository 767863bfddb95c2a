"""Fit measurements as plain data and as tables, compared with recorded speeds of fit-a-nef."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.table import Table

from nefstudy.bench.fit import FitRow

RECORDED = {
    ("siren", 32, "28x28x1"): 485.0,
    ("siren", 64, "32x32x3"): 175.0,
    ("mfn", 32, "28x28x1"): 330.0,
    ("rffnet", 32, "28x28x1"): 950.0,
}
"""Field-steps per second of fit-a-nef (Papa et al. 2024, JAX) on one core, from an earlier recording."""
TARGETS = {("siren", 32, "28x28x1"): 15, ("siren", 64, "32x32x3"): 10, ("mfn", 32, "28x28x1"): 12}
TARGETS |= {("rffnet", 32, "28x28x1"): 4}
PLAIN_TARGET = 2.0


def times_recorded(row: FitRow) -> float | None:
    """Return the speed relative to fit-a-nef's recorded speed, or None if no speed was recorded."""
    recorded = RECORDED.get((row.field, row.hidden, row.image))
    return None if recorded is None or row.threads != 1 else row.field_steps_per_s / recorded


def verdict(row: FitRow) -> str:
    """Return `met`, or how far a measurement misses its targets; empty if there is no target."""
    wanted, found = TARGETS.get((row.field, row.hidden, row.image)), times_recorded(row)
    if wanted is None or found is None:
        return ""
    missed = [f"{found:.1f} < {wanted} recorded"] if found < wanted else []
    missed += [f"{row.times_plain:.2f} < {PLAIN_TARGET:.0f} plain"] if row.times_plain < PLAIN_TARGET else []
    return "missed: " + ", ".join(missed) if missed else "met"


def fit_json(rows: Iterable[FitRow]) -> list[dict[str, Any]]:
    """Return the measurements as plain data, rounded to meaningful digits."""
    digits = {"peak_fraction": 2, "times_plain": 2, "psnr": 2, "compile_s": 1}
    return [
        {
            key: round(value, digits.get(key, 1)) if isinstance(value, float) else value
            for key, value in (asdict(row) | {"times_recorded": times_recorded(row)}).items()
        }
        for row in rows
    ]


def fit_table(rows: Iterable[FitRow]) -> Table:
    """Return the measurements as a table that fits an 80-column terminal."""
    table = Table(
        title="field-steps per second: the fastest turn, by CPU time",
        caption="peak: relative to a large matrix product; dB: mean PSNR; start: seconds to compile or load; "
        "x plain: relative to plain torch, same run; x fan: relative to fit-a-nef, as recorded.",
        title_justify="left",
        caption_justify="left",
        box=None,
        pad_edge=False,
        collapse_padding=True,
    )
    heads = ("field", "image", "engine", "steps/s", "GF/s", "peak", "dB", "start", "MB", "x plain", "x fan")
    for head in heads:
        table.add_column(head, justify="left" if head in heads[:3] else "right", no_wrap=True)
    for row in rows:
        speed = (f"{row.field_steps_per_s:,.0f}", f"{row.gflops:.1f}", f"{row.peak_fraction:.0%}")
        rest = (f"{row.psnr:.2f}", f"{row.compile_s:.1f}", f"{row.peak_mb:,.0f}", f"{row.times_plain:.2f}")
        recorded = times_recorded(row)
        against = "" if recorded is None else f"{recorded:.1f}"
        table.add_row(f"{row.field} h{row.hidden}", row.image, row.engine, *speed, *rest, against)
    return table


def target_table(rows: Iterable[FitRow]) -> Table:
    """Return a table that compares the compiled engine with its targets, with one row per case."""
    table = Table(title="targets of the compiled engine", title_justify="left", box=None, pad_edge=False)
    for head in ("field", "image", "target", "x fan", "x plain", ""):
        table.add_column(head, no_wrap=head != "")
    for row in rows:
        wanted, found = TARGETS.get((row.field, row.hidden, row.image)), times_recorded(row)
        if row.engine == "compiled" and wanted is not None and found is not None:
            paces = (f">= {wanted}", f"{found:.1f}", f"{row.times_plain:.2f}")
            table.add_row(f"{row.field} h{row.hidden}", row.image, *paces, verdict(row))
    return table
