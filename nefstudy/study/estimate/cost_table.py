"""A plan's cost as a table for the terminal."""

from typing import Any

from rich.table import Table

WHOLE_FROM_HOURS = 100  # above this, hundredths of an hour are noise
THOUSANDS_FROM_HOURS = 10_000


def cost_table(study: str, summary: dict[str, Any]) -> Table:
    """Return a table of trials, fits, field-steps, engines and device-hours per phase and cell, with a total."""
    table = Table(
        title=f"study {study}: estimated cost",
        caption=f"By {_engines_used(summary)}, on {summary['device']}; low to high.\n"
        "e: eager, c: compiled, n: native, f: fused. A fit is one ladder of step counts.",
        show_footer=True,
        caption_justify="left",
        box=None,
        pad_edge=False,
        collapse_padding=True,
    )
    total = summary["total"]
    table.add_column("phase", "all", no_wrap=True)
    table.add_column("cell", no_wrap=True)
    table.add_column("trials", f"{total['trials']:,}", justify="right", no_wrap=True)
    table.add_column("fits", f"{total['fits']:,}", justify="right", no_wrap=True)
    table.add_column("field-steps", f"{total['field_steps']:.3g}", justify="right", no_wrap=True)
    table.add_column("by", _initials(total["engines"]), no_wrap=True)
    table.add_column("device-hours", _hours(total["device_hours"]), justify="right", no_wrap=True)
    for cell in summary["cells"]:
        hours = _hours(cell["device_hours"])
        counts = (f"{cell['trials']:,}", f"{cell['fits']:,}", f"{cell['field_steps']:.3g}")
        table.add_row(cell["phase"], cell["cell"], *counts, _initials(cell["engines"]), hours)
    return table


def _engines_used(summary: dict[str, Any]) -> str:
    """Return a phrase that names the engines assumed for the estimated hours."""
    asked, used = summary["engine"], summary["total"]["engines"]
    if asked == "auto":
        return "the engine that auto picks"
    others = sorted(name for name in used if name != asked)
    return f"{asked}, as requested" + (f", and {' and '.join(others)} where it cannot run" if others else "")


def _initials(engines: dict[str, int]) -> str:
    """Return the first letters of the engines, in descending order of their number of fits."""
    return "+".join(name[0] for name in sorted(engines, key=lambda name: -engines[name]))


def _hours(hours: dict[str, float]) -> str:
    low, mid, high = (_hour(hours[name], like=hours["mid"]) for name in ("low", "mid", "high"))
    return f"{mid} ({low} to {high})"


def _hour(value: float, *, like: float) -> str:
    if like >= THOUSANDS_FROM_HOURS:
        return f"{value / 1000:,.0f}k"
    return f"{value:,.{0 if like >= WHOLE_FROM_HOURS else 2}f}"
