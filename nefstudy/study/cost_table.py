"""A plan's cost as a table for people."""

from typing import Any

from rich.table import Table


def cost_table(study: str, summary: dict[str, Any]) -> Table:
    """Trials, fits, field-steps and device-hours, a row per phase and cell and one for all."""
    table = Table(
        title=f"study {study}: what it would cost",
        caption=f"fitting on {summary['device']}, measured now; low to high. A fit is one ladder of step counts.",
        show_footer=True,
        caption_justify="left",
    )
    total = summary["total"]
    table.add_column("phase", "all")
    table.add_column("cell")
    table.add_column("trials", f"{total['trials']:,}", justify="right")
    table.add_column("fits", f"{total['fits']:,}", justify="right")
    table.add_column("field-steps", f"{total['field_steps']:.3g}", justify="right")
    table.add_column("device-hours", _hours(total["device_hours"]), justify="right")
    for cell in summary["cells"]:
        hours = _hours(cell["device_hours"])
        counts = (f"{cell['trials']:,}", f"{cell['fits']:,}", f"{cell['field_steps']:.3g}")
        table.add_row(cell["phase"], cell["cell"], *counts, hours)
    return table


def _hours(hours: dict[str, float]) -> str:
    return f"{hours['mid']:,.2f} ({hours['low']:,.2f} to {hours['high']:,.2f})"
