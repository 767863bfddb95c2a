"""Tests that the study page stays correct while it is open.

They check units, times, failures, races and failed requests.
"""

import re

import pytest
from playwright.sync_api import Route, expect

from nefstudy.ledger import Ledger, Owner
from nefstudy.service.app import create_app

from ..ledger.records import as_cells, as_record
from .served import Served
from .small_study import CELLS, STUDY, stop_after_retry, trial_config

pytestmark = [pytest.mark.browser, pytest.mark.slow]


FEW = {"title": "What matters", "caption": "Known from 20 complete trials on.", "of": 3, "columns": [], "rows": []}


def two_trials(ledger: Ledger, metrics: dict, *, planned: int = 4) -> None:
    """Record two complete trials with the given metrics in the ledger."""
    ledger.studies.put(STUDY, {}, cells=as_cells({("phase2", "solids/siren"): planned}))
    for steps in (5, 25):
        trial = trial_config("solids/siren", steps=steps)
        token = ledger.trials.request(STUDY, "phase2", record=as_record(trial))
        ledger.trials.complete(STUDY, "phase2", key=trial.key, token=token, metrics=metrics)


def test_shapes_have_iou_instead_of_psnr(opened, ledger):
    """The page of a study of shapes shows IoU and never dB."""
    two_trials(ledger, {"val_accuracy": 0.5, "test_accuracy": 0.5, "all_iou": 0.9125})
    with Served(create_app(ledger)) as running:
        page = opened(running.url)
        page.wait_for_selector("#best table")
        assert page.locator("#quality-plot g[aria-label=dot] path").count() == 2
        assert "0.912" in page.inner_text("#best") or "0.913" in page.inner_text("#best")
        assert "IoU" in page.inner_text("#best thead")
        page.click("#best button")
        expect(page.locator("dialog")).to_contain_text("IoU")
        assert " dB" not in page.inner_text("body")
        page.close()


def test_time_axes_show_local_time(opened, ledger):
    """The charts of pace and of best score have the same time ticks, labeled with local time and date.

    For a study of a few seconds, there are at most two bars.
    """
    two_trials(ledger, {"val_accuracy": 0.5, "test_accuracy": 0.5, "all_psnr": 20.0})
    with Served(create_app(ledger)) as running:
        page = opened(running.url)
        page.wait_for_selector("#best-over-time svg")
        assert page.locator("#pace g[aria-label=rect] rect").count() <= 2
        ticks = [
            page.locator(f"#{part} g[aria-label='x-axis tick label'] text").all_text_contents()
            for part in ("pace", "best-over-time")
        ]
        assert ticks[0] == ticks[1]
        assert re.fullmatch(r"\d\d:\d\d\d{1,2} [A-Z][a-z]{2}", ticks[0][0])
        assert all(re.match(r"\d\d:\d\d", tick) for tick in ticks[0])
        page.close()


def test_failed_requests_are_retried(opened, served):
    """If requests for studies, ladders and importance fail once, the page retries and draws everything."""
    page = opened("about:blank")
    page.clock.install()
    for part in ("studies", "figures/ladders*", "tables/importance*"):
        page.route(f"**/{part}", lambda route: route.fulfill(json={"broken": True}), times=1)
    page.goto(served)
    for _ in range(3):
        expect(page.locator("#notice")).to_contain_text("Retrying")
        page.clock.run_for(4500)
        page.wait_for_timeout(300)
    expect(page.locator("#importance")).to_contain_text("leaves no parameter free")
    expect(page.locator("#notice")).to_be_hidden()


def test_a_dead_driver_is_noticed_without_an_event(opened, ledger, monkeypatch):
    """Although an expired lease sends no event, the page notices by polling that the study has no driver."""
    two_trials(ledger, {"val_accuracy": 0.5, "test_accuracy": 0.5})
    ledger.leases.acquire(STUDY, Owner.current(), lease_s=600)
    monkeypatch.setattr("nefstudy.service.routes.studies.PACE_AGE_S", 0.0)
    with Served(create_app(ledger)) as running:
        page = opened("about:blank")
        page.clock.install()
        page.goto(running.url)
        page.wait_for_selector("#state[data-alive=true]")
        page.wait_for_selector("#best table")
        page.clock.run_for(2000)  # the page refreshes once after the stream opens
        page.wait_for_timeout(500)
        monkeypatch.setattr("nefstudy.insight.progress.driver_since", lambda *_: None)
        page.wait_for_timeout(600)
        assert "not running" not in page.inner_text("#state")
        page.clock.run_for(60_000)
        expect(page.locator("#state")).to_have_text("not running: start its script again")
        page.close()


def test_the_last_selection_wins(opened, served):
    """A late response for an earlier selection does not replace the current selection."""
    page = opened(served)
    page.wait_for_selector("#gallery figure")
    late: list[Route] = []

    def hold(route: Route) -> None:
        late.append(route)

    page.route("**/figures/ladders?*cell=*", hold)
    page.select_option("#cell", CELLS[0])
    page.select_option("#cell", "")
    page.wait_for_timeout(300)
    assert late
    for route in late:
        route.continue_()
    page.wait_for_timeout(500)
    assert "16 complete" in page.inner_text("#quality-caption")
    assert page.locator("#quality-plot g[aria-label=dot] path").count() == 16


def test_a_message_replaces_a_chart(opened, explored):
    """If the selected cell has too few trials, a message replaces the chart.

    Resizing the page does not bring the old chart back.
    """
    page = opened(explored)
    page.wait_for_selector("#importance svg")
    page.route("**/tables/importance*", lambda route: route.fulfill(json=FEW))
    page.select_option("#cell", CELLS[0])
    expect(page.locator("#importance")).to_have_text(FEW["caption"])
    page.set_viewport_size({"width": 900, "height": 900})
    page.wait_for_timeout(300)
    assert page.locator("#importance svg").count() == 0
    assert page.locator("#importance").get_attribute("aria-label") is None


def test_stopped_cells_and_retries_are_shown(opened, ledger):
    """The page shows a stopped cell with the reason for the stop.

    It also shows the number of retries, even if no trial failed.
    """
    stop_after_retry(ledger)
    with Served(create_app(ledger)) as running:
        page = opened(running.url)
        page.wait_for_selector("#failures table")
        page.wait_for_selector("#stopped table")
        assert "bad_data: torn" in page.inner_text("#stopped")
        assert "Skipped until the study is run again" in page.inner_text("#stopped-caption")
        assert page.locator("#failures td").all_inner_texts()[2:4] == ["0", "1"]
        page.close()


def test_an_open_page_does_not_leak(opened, ledger):
    """Repeatedly redrawing the page with the same amount of data adds hardly any DOM nodes or event listeners."""
    two_trials(ledger, {"val_accuracy": 0.5, "test_accuracy": 0.5, "all_psnr": 20.0})
    counters = []
    with Served(create_app(ledger)) as running:
        page = opened("about:blank")
        page.clock.install()
        session = page.context.new_cdp_session(page)
        page.goto(running.url)
        for number in range(1, 6):
            failing = trial_config(CELLS[0], steps=1000 + number)
            token = ledger.trials.request(STUDY, "phase2", record=as_record(failing))
            ledger.trials.fail(STUDY, "phase2", key=failing.key, token=token, cause="bug", error="no luck")
            page.clock.run_for(40_000)
            expect(page.locator("#failures tbody td").nth(2)).to_have_text(str(number))
            session.send("HeapProfiler.collectGarbage")
            counters.append(session.send("Memory.getDOMCounters"))
        page.close()
    for name in ("nodes", "jsEventListeners"):
        assert counters[-1][name] <= 1.1 * counters[1][name], counters
