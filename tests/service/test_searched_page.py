"""Tests that the study page shows a search without test signals by its validation metrics."""

import pytest
from playwright.sync_api import expect

from nefstudy.service.app import create_app

from .searched_study import fill_searched_study
from .served import Served

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("grid", [False, True])
def test_only_phases_with_a_test_metric_have_a_column_for_it(opened, ledger, grid: bool):
    """The search's table of cells ends with the best validation accuracy, the grid's with its trial's test accuracy."""
    fill_searched_study(ledger, grid=grid)
    with Served(create_app(ledger)) as running:
        page = opened(running.url)
        page.wait_for_selector("#best table")
        tables = page.locator("#phases table")
        last = [tables.nth(number).locator("thead th").last for number in range(2)]
        expect(last[0]).to_have_text("Best validation accuracy")
        expect(last[1]).to_have_text("Its test accuracy" if grid else "Best objective")
        for number in range(2):
            columns, entries = (tables.nth(number).locator(f"{part} tr > *") for part in ("thead", "tbody"))
            assert columns.count() == entries.count()
        shown = "Test accuracy" if grid else "Validation accuracy"
        expect(page.locator("#quality-title")).to_have_text(f"{shown} against PSNR")
        page.close()  # its stream of events ends before the service does
