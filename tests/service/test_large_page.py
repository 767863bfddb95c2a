"""Tests of the study page with thirty thousand trials."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from nefstudy.ledger import Ledger
from nefstudy.service.app import create_app

from .large_study import fill_large_study
from .served import WIDE, Served

# total size of the responses before the page is interactive, and once all trials are drawn
INTERACTIVE_KB = 1_200
ALL_KB = 3_000

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[str]:
    """Yield the address of a service with a study of thirty thousand trials."""
    path = tmp_path_factory.mktemp("large") / "ledger.db"
    assert fill_large_study(path) == 30_000
    with Ledger.open(str(path), read_only=True, timeout_s=5.0) as ledger, Served(create_app(ledger)) as running:
        yield running.url


def weight_kb(page: Page) -> float:
    """Return the total size of all responses that a page has received so far, in kilobytes."""
    sizes = page.evaluate("performance.getEntriesByType('resource').map((response) => response.transferSize)")
    return sum(sizes) / 1000


def test_thirty_thousand_trials_take_little_data_and_use_a_canvas(browser, served):
    """With thirty thousand trials, the page loads little data and draws a sample of the dots on a canvas.

    The dots can still be selected. The dots of the grid alone are SVG marks.
    """
    page = browser.new_page(viewport=WIDE)
    page.goto(served)
    page.wait_for_selector("#quality-caption .legend")
    assert weight_kb(page) < INTERACTIVE_KB
    assert page.evaluate("performance.getEntriesByName('interactive').length") == 1
    assert page.locator("footer a").all_inner_texts()[:2] == ["JSON (first 1,000 trials)", "CSV (first 1,000 trials)"]
    for name in ("json", "csv"):
        assert f"format={name}&limit=1000" in (page.get_attribute(f"#{name}", "href") or "")
    assert "720 complete trials" in page.inner_text("#quality-caption")
    page.wait_for_selector("#parallel svg")
    expect(page.locator("#importance-caption")).to_contain_text("Shown: ")
    assert page.locator("#quality-plot canvas").count() == 0
    page.select_option("#phase", "")
    page.wait_for_selector("#quality-plot canvas")
    assert weight_kb(page) < ALL_KB
    assert "30,000 complete trials, 8,000 shown" in page.inner_text("#quality-caption")
    assert page.locator("#quality-plot g[aria-label=dot] path").count() == 0
    expect(page.locator("#ratio-caption")).to_contain_text("3,000 shown")
    assert "(n = 15," in page.inner_text("#ratio-caption"), "correlations use all trials, not only those shown"
    painted = page.locator("#quality-plot canvas").evaluate(
        "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((v) => v)"
    )
    assert painted
    page.focus("#quality-plot")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#quality-plot g[aria-label=tip] text")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    page.close()
