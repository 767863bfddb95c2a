"""Checks and measurements for the first machine with a GPU: correctness, speed, classifier, trials and a profile."""

import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from math import isfinite
from typing import Any, Protocol

import torch
from rich.table import Table

from nefstudy.bench.gpu.checks import check_classifier, check_engine
from nefstudy.bench.gpu.fits import label
from nefstudy.bench.gpu.isolated import isolated
from nefstudy.bench.gpu.measures import measure_speed, profile_fit, run_trials, slowest
from nefstudy.bench.gpu.rows import FAILED, FIELDS, OK, STEPS, GpuRow, GpuSizes
from nefstudy.errors import BadConfig
from nefstudy.fields.siren import Siren
from nefstudy.fitting.engines.fused.engine import unsupported_reason
from nefstudy.storage import Storage
from nefstudy.trial.causes import first_line
from nefstudy.trial.provenance import made_by, revision

CHECKED = ("correctness", "classifier")
JSON_FILE, TABLE_FILE = "gpu-bench.json", "gpu-bench.md"
TITLES = {
    "correctness": "Engine `fused` against `eager`: differences after steps, and the bytes across chunks",
    "speed": f"Speed: seconds for {FIELDS:,} fields x {STEPS:,} steps, measured and derived (twice the minimum)",
    "classifier": "The classifier on the device against the CPU: relative differences and times",
    "trial": "One trial of each field through Ray",
    "profile": "Profile of the case that exceeds its derived time most",
}


class Run(Protocol):
    """A way to call a part: in this process, or `isolated`."""

    def __call__(self, call: Callable[[], list[GpuRow]], *, limit_s: float) -> list[GpuRow]:
        """Return the rows of a call."""


@dataclass(frozen=True)
class GpuBench:
    """The rows of all parts, with the machine and the versions that produced them."""

    machine: dict[str, str]
    sizes: GpuSizes
    rows: tuple[GpuRow, ...] = ()

    @property
    def failed_checks(self) -> list[GpuRow]:
        """The checks of correctness that found wrong values or have no result."""
        return [row for row in self.rows if row.part in CHECKED and row.outcome != OK]


def require_device() -> None:
    """Check that this machine has a device for the fused engine.

    Raises:
        BadConfig: it has none, or Triton is missing.
    """
    reason = unsupported_reason(Siren(2, 1))
    if not torch.cuda.is_available():
        reason = f"torch {torch.__version__} finds no CUDA device"
    if reason is not None:
        raise BadConfig(
            f"bench gpu: {reason}; allowed is an NVIDIA GPU of compute capability 8.0 or newer: run it on a machine "
            "with one, after pip install 'nefstudy[gpu]', or run `nefstudy bench fit` here"
        )


def bench_gpu(
    sizes: GpuSizes, out: str, *, run: Run = isolated, on_row: Callable[[GpuRow], None] | None = None
) -> GpuBench:
    """Run all parts in order and return their rows; both files in folder `out` are rewritten after each case.

    A part that fails is a row with its reason, and the others still run.

    Raises:
        BadRoot: the folder is not writable.
    """
    bench = GpuBench(_machine(), sizes)
    write_files(bench, out)
    for part, case, call in [*_jobs(sizes), ("profile", "", None)]:
        try:
            chosen = call or partial(profile_fit, slowest(list(bench.rows), sizes), sizes)
            rows = run(chosen, limit_s=sizes.limit_s)
        except Exception as error:  # the boundary of a part: every error becomes a row
            rows = [GpuRow(part, case, FAILED, reason=first_line(error))]
        bench = replace(bench, rows=(*bench.rows, *rows))
        write_files(bench, out)
        for row in rows:
            if on_row is not None:
                on_row(row)
    return bench


def _jobs(sizes: GpuSizes) -> list[tuple[str, str, Callable[[], list[GpuRow]] | None]]:
    """Return (part, case, call) of everything but the profile, which depends on the measured speeds."""
    return [
        *(("correctness", label(case), partial(check_engine, case, sizes)) for case in sizes.checked),
        *(("speed", label(case), partial(measure_speed, case, sizes)) for case in sizes.speed),
        ("classifier", "", partial(check_classifier, sizes)),
        ("trial", "", partial(run_trials, sizes)),
    ]


def _machine() -> dict[str, str]:
    machine = {**made_by(revision=revision(os.environ), workers=0), "host": platform.machine()}
    machine |= {"torch": torch.__version__, "triton": version("triton"), "cuda": str(torch.version.cuda)}
    if torch.cuda.is_available():
        machine["compute capability"] = "{}.{}".format(*torch.cuda.get_device_capability())
    return machine


def write_files(bench: GpuBench, out: str) -> None:
    """Write the JSON file and the table; each appears at once, complete."""
    folder = Storage.at(out)
    folder.write(JSON_FILE, json.dumps(gpu_json(bench), indent=2).encode())
    folder.write(TABLE_FILE, gpu_markdown(bench).encode())


def gpu_json(bench: GpuBench) -> dict[str, Any]:
    """Return the benchmark as plain data."""
    return {
        "ok": not bench.failed_checks,
        "machine": bench.machine,
        "sizes": asdict(bench.sizes),
        "rows": [asdict(row) | {"values": {k: _finite(v) for k, v in row.values.items()}} for row in bench.rows],
    }


def _finite(value: Any) -> Any:
    """Return a value as JSON can hold it: None for NaN and infinity."""
    return None if isinstance(value, float) and not isfinite(value) else value


def gpu_markdown(bench: GpuBench) -> str:
    """Return the benchmark as Markdown: the machine, then a table for each part."""
    lines = ["# nefstudy bench gpu", "", ", ".join(f"{key} {value}" for key, value in bench.machine.items())]
    for part, title in TITLES.items():
        rows = [row for row in bench.rows if row.part == part]
        names = list(dict.fromkeys(name for row in rows for name in row.values))
        heads = ["case", "outcome", *names, "reason"]
        lines += ["", f"## {title}", "", _line(heads), _line(["---"] * len(heads))]
        for row in rows:
            lines.append(_line([row.case, row.outcome, *(_shown(row.values.get(name)) for name in names), row.reason]))
    return "\n".join([*lines, ""])


def gpu_table(bench: GpuBench) -> Table:
    """Return a summary for the terminal, with a line per row."""
    table = Table(title="fused engine and classifier on the device", title_justify="left", box=None)
    for head in ("part", "case", "outcome", "result"):
        table.add_column(head, overflow="fold")
    for row in bench.rows:
        values = ", ".join(f"{name} {_shown(value)}" for name, value in row.values.items() if value is not None)
        table.add_row(row.part, row.case, row.outcome, row.reason or values)
    return table


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)
