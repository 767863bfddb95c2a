"""A plan's cost as a table for people."""

from typing import Any

from rich.table import Table

WHOLE_FROM_HOURS = 100  # above this, hundredths of an hour say nothing


def cost_table(study: str, summary: dict[str, Any]) -> Table:
    """Trials, fits, field-steps and device-hours, a row per phase and cell and one for all."""
    table = Table(
        title=f"study {study}: what it would cost",
        caption=f"fitting on {summary['device']}, measured now; low to high. A fit is one ladder of step counts.",
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
    table.add_column("device-hours", _hours(total["device_hours"]), justify="right", no_wrap=True)
    for cell in summary["cells"]:
        hours = _hours(cell["device_hours"])
        counts = (f"{cell['trials']:,}", f"{cell['fits']:,}", f"{cell['field_steps']:.3g}")
        table.add_row(cell["phase"], cell["cell"], *counts, hours)
    return table


def _hours(hours: dict[str, float]) -> str:
    digits = 0 if hours["mid"] >= WHOLE_FROM_HOURS else 2
    low, mid, high = (f"{hours[name]:,.{digits}f}" for name in ("low", "mid", "high"))
    return f"{mid} ({low} to {high})"
