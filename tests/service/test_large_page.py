"""The study page over thirty thousand trials."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from nefstudy.ledger import Ledger
from nefstudy.service.app import create_app

from .large_study import fill_large_study
from .served import CHROMIUM, WIDE, Served

# CPU of the browser's main thread and of service and test client together, which a busy machine does not stretch:
# measured 510 to 620 until the page answers, 630 to 970 until all trials are drawn
INTERACTIVE_MS = 1000
ALL_MS = 2000

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[str]:
    """The address of a service over a study of the paper's size."""
    path = tmp_path_factory.mktemp("large") / "ledger.db"
    assert fill_large_study(path) == 30_000
    with Ledger.open(str(path), read_only=True, patience_s=5.0) as ledger, Served(create_app(ledger)) as running:
        yield running.url


class Clock:
    """CPU milliseconds that a page and this process have used since the clock was made."""

    def __init__(self, page: Page) -> None:
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self._began = 0.0
        self._began = self.ms()

    def ms(self) -> float:
        found = {metric["name"]: metric["value"] for metric in self._session.send("Performance.getMetrics")["metrics"]}
        return 1000 * (found["TaskDuration"] + time.process_time()) - self._began


def test_thirty_thousand_trials_are_soon_interactive_and_go_onto_a_canvas(served):
    """The grid is drawn as marks at once; with all phases the dots are a canvas, thinned, and still picked."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport=WIDE)
        clock = Clock(page)
        page.goto(served)
        page.wait_for_selector("#quality-caption .legend")
        assert clock.ms() < INTERACTIVE_MS
        assert page.evaluate("performance.getEntriesByName('interactive').length") == 1
        assert "720 complete trials" in page.inner_text("#quality-caption")
        page.wait_for_selector("#parallel svg")
        assert page.locator("#quality-plot canvas").count() == 0
        clock = Clock(page)
        page.select_option("#phase", "")
        page.wait_for_selector("#quality-plot canvas")
        assert clock.ms() < ALL_MS
        assert "10,000 complete trials of 30,000" in page.inner_text("#quality-caption")
        assert page.locator("#quality-plot g[aria-label=dot] path").count() == 0
        expect(page.locator("#ratio-caption")).to_contain_text("thinned evenly")
        assert "Rank" not in page.inner_text("#ratio-caption"), "what is left of the trials has another correlation"
        painted = page.locator("#quality-plot canvas").evaluate(
            "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((v) => v)"
        )
        assert painted
        page.focus("#quality-plot")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("#quality-plot g[aria-label=tip] text")
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog[open]")
        browser.close()
