"""Latency of the status service with a large ledger, over real sockets, while a study is running."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.table import Table

from nefstudy.bench.large_study import CELLS, STUDY, end_another_trial
from nefstudy.bench.load import Answers, load
from nefstudy.bench.served import Service, served
from nefstudy.ledger import Ledger, Owner

RATE = 50.0  # requests per second at which latencies are measured
PAGES = 100  # pages of 100 trials requested in turn: more than the service caches
TRIALS_PER_S = 2.0  # rate of the study that runs at the same time
PROGRESS = f"/v1/studies/{STUDY}/progress"
TRIALS = f"/v1/studies/{STUDY}/trials"
IN_CELL = f"phase=phase2&cell={quote(CELLS[0], safe='')}&state=COMPLETE"
FILTERS = (
    f"{TRIALS}?limit=20&{IN_CELL}&sort=-score",
    f"{TRIALS}?limit=20&sort=-val_accuracy&state=COMPLETE",
    f"{TRIALS}?limit=20&{IN_CELL}&filter=score%3E%3D0.9",
    f"{TRIALS}?limit=20&filter=all_psnr%3E%3D38&sort=-all_psnr",
    f"{TRIALS}?limit=20&filter=lr%3C0.00002&sort=-val_accuracy",
    f"{TRIALS}?limit=20&state=FAILED&sort=-ended_at",
)
TARGETS = {
    "progress p99_ms": 25.0,
    "progress rps": 500.0,
    "progress bytes": 20_000.0,
    "page p99_ms": 50.0,
    "filter p99_ms": 25.0,
    "start_s": 2.0,
    "rss_mb": 120.0,
}


@dataclass(frozen=True)
class Asked:
    """Results for one kind of request: latency at RATE requests per second, and maximum throughput.

    Attributes:
        cpu_ms: CPU time of the service per response under full load.
    """

    steady: Answers
    full: Answers
    cpu_ms: float

    @property
    def client_share(self) -> float:
        """Fraction of all cores' CPU time that the client process used under full load."""
        return self.full.client_cpu_s / (self.full.seconds * (os.cpu_count() or 1))


@dataclass(frozen=True)
class ServiceRow:
    """Results of the benchmark of the status service."""

    trials: int
    start_s: float
    rss_mb: float
    asked: dict[str, Asked]


def bench_service(path: Path, *, seconds: float) -> ServiceRow:
    """Measure the service on the large study at `path`, with `seconds` seconds for each load.

    A driver ends trials of the study at the same time, so that responses are not cached for long.
    """
    with Ledger.open(str(path)) as ledger:
        trials = sum(ledger.trials.counts(STUDY).values())
        with _moving(ledger), served(path, first_path=PROGRESS) as service:
            paths = {"progress": (PROGRESS,), "page": _pages(service), "filter": FILTERS}
            asked = {name: _ask(service, of, seconds=seconds) for name, of in paths.items()}
            return ServiceRow(trials, service.start_s, service.rss_mb(), asked)


@contextmanager
def _moving(ledger: Ledger) -> Iterator[None]:
    """Run a driver that ends TRIALS_PER_S trials per second while the context is open."""
    stop = threading.Event()
    lease = ledger.leases.acquire(STUDY, Owner.current(), lease_s=3600.0)

    def work() -> None:
        while not stop.wait(1 / TRIALS_PER_S):
            end_another_trial(ledger, lease, seed=time.time_ns() % 2**31)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        ledger.leases.release(lease, state="stopped")


def _pages(service: Service) -> tuple[str, ...]:
    """Return the request paths of the first pages of 100 trials, found by following each page's cursor."""
    paths = [f"{TRIALS}?limit=100"]
    while len(paths) < PAGES and (cursor := service.get(paths[-1])["cursor"]) is not None:
        paths.append(f"{TRIALS}?limit=100&cursor={cursor}")
    return tuple(paths)


def _ask(service: Service, paths: Sequence[str], *, seconds: float) -> Asked:
    steady = load(service.address, paths, seconds=seconds, rate=RATE)
    cpu = service.cpu_s()
    full = load(service.address, paths, seconds=seconds, rate=None)
    return Asked(steady, full, 1000 * (service.cpu_s() - cpu) / len(full.ms))


def service_json(row: ServiceRow) -> dict[str, Any]:
    """Return the results as plain data: latencies at RATE requests per second, and `rps` at full load."""
    asked: dict[str, dict[str, Any]] = {
        name: {
            "p50_ms": found.steady.quantile(0.5),
            "p99_ms": found.steady.quantile(0.99),
            "rps": found.full.per_s,
            "bytes": found.steady.size,
            "cpu_ms": found.cpu_ms,
            "client_share": found.client_share,
            "refused": found.steady.refused + found.full.refused,
        }
        for name, found in row.asked.items()
    }
    by_path = row.asked["filter"].steady
    asked["filter"]["p50_ms_by_query"] = {
        path.partition("?")[2]: by_path.quantile(0.5, path=path) for path in dict.fromkeys(FILTERS)
    }
    return {"trials": row.trials, **asked, "start_s": row.start_s, "rss_mb": row.rss_mb}


def service_table(row: ServiceRow) -> Table:
    """Return a table of the results and their targets."""
    found = service_json(row)
    table = Table(title=f"status service, {row.trials:,} trials", title_justify="left", box=None, pad_edge=False)
    for name in ("", "measured", "target", ""):
        table.add_column(name, justify="left" if not name else "right")
    for name, target in TARGETS.items():
        part, _, figure = name.rpartition(" ")
        value = found[part][figure] if part else found[figure]
        sign, holds = (">=", value >= target) if figure == "rps" else ("<", value < target)
        table.add_row(name, f"{value:,.1f}", f"{sign} {target:,.0f}", "" if holds else "missed")
    for name in row.asked:
        free = {figure: found[name][figure] for figure in ("p50_ms", "cpu_ms", "rps", "client_share", "refused")}
        for figure, value in free.items():
            if f"{name} {figure}" not in TARGETS:
                table.add_row(f"{name} {figure}", f"{value:,.2f}", "", "")
    return table
