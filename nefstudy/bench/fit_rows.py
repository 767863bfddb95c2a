"""Fit measurements as plain data and as a table."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.table import Table

from nefstudy.bench.fit import FitRow


def fit_json(rows: Iterable[FitRow]) -> list[dict[str, Any]]:
    """Return the measurements as plain data, rounded to meaningful digits."""
    digits = {"peak_fraction": 2, "times_plain": 2, "psnr": 2, "compile_s": 1}
    return [
        {
            key: round(value, digits.get(key, 1)) if isinstance(value, float) else value
            for key, value in asdict(row).items()
        }
        for row in rows
    ]


def fit_table(rows: Iterable[FitRow]) -> Table:
    """Return the measurements as a table that fits an 80-column terminal."""
    table = Table(
        title="field-steps per second: the fastest turn, by CPU time",
        caption="peak: relative to a large matrix product of torch; dB: mean PSNR; start: seconds to compile or load; "
        "x plain: relative to plain torch, same run.",
        title_justify="left",
        caption_justify="left",
        box=None,
        pad_edge=False,
        collapse_padding=True,
    )
    heads = ("field", "image", "engine", "steps/s", "GF/s", "peak", "dB", "start", "MB", "x plain")
    for head in heads:
        table.add_column(head, justify="left" if head in heads[:3] else "right", no_wrap=True)
    for row in rows:
        speed = (f"{row.field_steps_per_s:,.0f}", f"{row.gflops:.1f}", f"{row.peak_fraction:.0%}")
        rest = (f"{row.psnr:.2f}", f"{row.compile_s:.1f}", f"{row.peak_mb:,.0f}", f"{row.times_plain:.2f}")
        table.add_row(f"{row.field} h{row.hidden}", row.image, row.engine, *speed, *rest)
    return table
