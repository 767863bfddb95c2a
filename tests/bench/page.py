"""A benchmark of loading the study page with 30,000 trials: `python -m tests.bench.page`.

Each load uses a new browser and a new service. CPU time is that of the browser's main thread plus this process,
which also serves the page.
"""

import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from nefstudy.ledger import Ledger
from nefstudy.service.app import create_app

from ..service.large_study import fill_large_study
from ..service.served import CHROMIUM, WIDE, Served

LOADS = 5


class Clock:
    """A stopwatch for wall-clock and CPU time."""

    def __init__(self, page: Page) -> None:
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self._began = self._now()

    def read(self) -> str:
        """Return the wall-clock and CPU time since construction as text."""
        (wall, cpu), (wall_then, cpu_then) = self._now(), self._began
        return f"{1000 * (wall - wall_then):7,.0f} ms, {1000 * (cpu - cpu_then):7,.0f} CPU-ms"

    def _now(self) -> tuple[float, float]:
        found = {metric["name"]: metric["value"] for metric in self._session.send("Performance.getMetrics")["metrics"]}
        return time.monotonic(), found["TaskDuration"] + time.process_time()


def load(url: str) -> str:
    """Load the page once; return the times until it is interactive and until all trials are drawn."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport=WIDE)
        clock = Clock(page)
        page.goto(url)
        page.wait_for_selector("#quality-caption .legend")
        interactive = clock.read()
        page.wait_for_selector("#parallel svg")
        clock = Clock(page)
        page.select_option("#phase", "")
        page.wait_for_selector("#quality-plot canvas")
        told = f"interactive after {interactive}; all trials after {clock.read()}"
        browser.close()
    return told


def main() -> None:
    """Create a large study, load its page repeatedly and print one line per load."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        print(f"{fill_large_study(path):,} trials")  # noqa: T201
        for _ in range(LOADS):
            with (
                Ledger.open(str(path), read_only=True, timeout_s=5.0) as ledger,
                Served(create_app(ledger)) as running,
            ):
                print(load(running.url))  # noqa: T201


if __name__ == "__main__":
    main()
