"""What a plan finds there already and what it will write, beside its price."""

from typing import Any

from rich.table import Table

from nefstudy.study.disk import GB, free_bytes, plan_disk
from nefstudy.study.known import known
from nefstudy.study.place import Place
from nefstudy.study.plan import StudyPlan


def stock(plan: StudyPlan, place: Place, *, best: int | None) -> dict[str, Any]:
    """`reuse` and `disk` of `nefstudy plan --json`.

    Args:
        best: how many best trials of a cell keep their neural dataset; None keeps all.
    """
    reuse = [vars(found) for found in known(plan, place)]
    disk = [vars(cell) for cell in plan_disk(plan, best=best)]
    total = {name: sum(cell[name] for cell in disk) for name in ("bytes", "kept_bytes")}
    return {"reuse": reuse, "disk": {"root": place.root, "free_bytes": free_bytes(place.root), "cells": disk, **total}}


def stock_table(summary: dict[str, Any]) -> Table:
    """Results and fits that are there already, and gigabytes to write and to keep, a row per phase and cell."""
    disk = summary["disk"]
    free = "" if disk["free_bytes"] is None else f", where {disk['free_bytes'] / GB:,.1f} GB are free"
    table = Table(
        title="what is there already, and the disk it takes",
        caption=f"at {disk['root']}{free}. Kept: what stays by --keep once no trial needs more.",
        show_footer=True,
        caption_justify="left",
        box=None,
        pad_edge=False,
        collapse_padding=True,
    )
    totals = {name: sum(found[name] or 0 for found in summary["reuse"]) for name in ("results", "fits")}
    table.add_column("phase", "all", no_wrap=True)
    table.add_column("cell", no_wrap=True)
    table.add_column("results there", f"{totals['results']:,}", justify="right", no_wrap=True)
    table.add_column("fits there", f"{totals['fits']:,}", justify="right", no_wrap=True)
    table.add_column("GB", f"{disk['bytes'] / GB:,.3f}", justify="right", no_wrap=True)
    table.add_column("kept", f"{disk['kept_bytes'] / GB:,.3f}", justify="right", no_wrap=True)
    for found, cell in zip(summary["reuse"], disk["cells"], strict=True):
        counts = ["no data" if found[name] is None else f"{found[name]:,}" for name in ("results", "fits")]
        sizes = (f"{cell['bytes'] / GB:,.3f}", f"{cell['kept_bytes'] / GB:,.3f}")
        table.add_row(found["phase"], found["cell"], *counts, *sizes)
    return table
