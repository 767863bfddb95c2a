"""The study page says what is true for as long as it is open: units, hours, failures, races, answers that fail."""

import re

import pytest
from playwright.sync_api import Route, expect

from nefstudy.ledger import Ledger, Owner
from nefstudy.service.app import create_app

from ..ledger.records import as_cells, as_record
from .conftest import CELLS, STUDY, stop_after_retry, trial_config
from .served import Served

pytestmark = [pytest.mark.browser, pytest.mark.slow]


FEW = {"title": "What matters", "caption": "Known from 20 complete trials on.", "of": 3, "columns": [], "rows": []}


def two_trials(ledger: Ledger, metrics: dict, *, planned: int = 4) -> None:
    """Puts two trials with these metrics into the ledger."""
    ledger.studies.put(STUDY, {}, cells=as_cells({("phase2", "solids/siren"): planned}))
    for steps in (5, 25):
        trial = trial_config("solids/siren", steps=steps)
        token = ledger.trials.request(STUDY, "phase2", record=as_record(trial))
        ledger.trials.complete(STUDY, "phase2", key=trial.key, token=token, metrics=metrics)


def test_shapes_have_iou_where_images_have_psnr(opened, ledger):
    """A study of shapes is drawn over IoU at once, and its quality is never said to be in dB."""
    two_trials(ledger, {"val_accuracy": 0.5, "test_accuracy": 0.5, "all_iou": 0.9125})
    with Served(create_app(ledger)) as running:
        page = opened(running.url)
        page.wait_for_selector("#best table")
        assert page.locator("#quality-plot g[aria-label=dot] path").count() == 2
        assert "0.912" in page.inner_text("#best") or "0.913" in page.inner_text("#best")
        assert "IoU" in page.inner_text("#best thead")
        page.click("#best button")
        expect(page.locator("dialog")).to_contain_text("all iou")
        assert " dB" not in page.inner_text("body")
        page.close()


def test_the_hours_on_the_axes_are_those_of_the_clock(opened, ledger):
    """A study some seconds old has one bar, whole minutes below it with the day, and both charts the same ones."""
    two_trials(ledger, {"val_accuracy": 0.5, "test_accuracy": 0.5, "all_psnr": 20.0})
    with Served(create_app(ledger)) as running:
        page = opened(running.url)
        page.wait_for_selector("#climb svg")
        assert page.locator("#pace g[aria-label=rect] rect").count() <= 2
        ticks = [
            page.locator(f"#{part} g[aria-label='x-axis tick label'] text").all_text_contents()
            for part in ("pace", "climb")
        ]
        assert ticks[0] == ticks[1]
        assert re.fullmatch(r"\d\d:\d\d\d{1,2} [A-Z][a-z]{2}", ticks[0][0])
        assert all(re.match(r"\d\d:\d\d", tick) for tick in ticks[0])
        page.close()


def test_what_the_service_could_not_answer_is_asked_for_again(opened, served):
    """A page whose list of studies, figures and importance fail once each draws itself without being told to."""
    page = opened("about:blank")
    page.clock.install()
    for part in ("studies", "figures/ladders*", "tables/importance*"):
        page.route(f"**/{part}", lambda route: route.fulfill(json={"broken": True}), times=1)
    page.goto(served)
    for _ in range(3):
        expect(page.locator("#notice")).to_contain_text("keeps trying")
        page.clock.run_for(4500)
        page.wait_for_timeout(300)
    expect(page.locator("#importance")).to_contain_text("leaves no parameter free")
    expect(page.locator("#notice")).to_be_hidden()


def test_a_driver_that_dies_is_noticed_without_an_event(opened, ledger, monkeypatch):
    """No event tells of a lease that ends; the page asks now and then, and says that nobody drives the study."""
    two_trials(ledger, {"val_accuracy": 0.5, "test_accuracy": 0.5})
    ledger.leases.acquire(STUDY, Owner.here(), lease_s=600)
    monkeypatch.setattr("nefstudy.service.studies.PACE_AGE_S", 0.0)
    with Served(create_app(ledger)) as running:
        page = opened("about:blank")
        page.clock.install()
        page.goto(running.url)
        page.wait_for_selector("#state[data-alive=true]")
        page.wait_for_selector("#best table")
        page.clock.run_for(2000)  # the stream has opened, which is asked after once
        page.wait_for_timeout(500)
        monkeypatch.setattr("nefstudy.insight.progress.driver_since", lambda *_: None)
        page.wait_for_timeout(600)
        assert "no driver" not in page.inner_text("#state")
        page.clock.run_for(60_000)
        expect(page.locator("#state")).to_contain_text("no driver")
        page.close()


def test_the_last_choice_wins(opened, served):
    """A late answer to an earlier choice does not replace what is chosen now."""
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


def test_words_stay_where_a_chart_was(opened, explored):
    """A choice with too few trials for a chart gets words, and no new width brings the old chart back."""
    page = opened(explored)
    page.wait_for_selector("#importance svg")
    page.route("**/tables/importance*", lambda route: route.fulfill(json=FEW))
    page.select_option("#cell", CELLS[0])
    expect(page.locator("#importance")).to_have_text(FEW["caption"])
    page.set_viewport_size({"width": 900, "height": 900})
    page.wait_for_timeout(300)
    assert page.locator("#importance svg").count() == 0
    assert page.locator("#importance").get_attribute("aria-label") is None


def test_stopped_cells_and_repeated_attempts_are_shown(opened, ledger):
    """A cell that is left alone is named with the reason, and so is what was tried again, without any failed trial."""
    stop_after_retry(ledger)
    with Served(create_app(ledger)) as running:
        page = opened(running.url)
        page.wait_for_selector("#failures table")
        page.wait_for_selector("#stopped table")
        assert "bad_data: torn" in page.inner_text("#stopped")
        assert "Skipped until the study is run again" in page.inner_text("#stopped-caption")
        assert page.locator("#failures td").all_inner_texts()[2:4] == ["0", "1"]
        page.close()


def test_a_page_that_stays_open_does_not_grow(opened, ledger):
    """Drawn again and again while the study says as much as before, it holds no more nodes and listeners."""
    two_trials(ledger, {"val_accuracy": 0.5, "test_accuracy": 0.5, "all_psnr": 20.0})
    counted = []
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
            counted.append(session.send("Memory.getDOMCounters"))
        page.close()
    for name in ("nodes", "jsEventListeners"):
        assert counted[-1][name] <= 1.1 * counted[1][name], counted
