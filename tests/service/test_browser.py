"""Tests of the study page in a real browser, over a real socket, while a study is in progress."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from nefstudy.ledger import Ledger, Owner
from nefstudy.service.app import create_app

from ..ledger.records import as_cells
from .client import TOKEN
from .own_task import fill_own_study
from .served import WIDE, Served
from .small_study import CELLS, STUDY, fill_study, run_trial, trial_config

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def width_of_picture(page: Page) -> int:
    """Return the decoded width in pixels of the dialog's picture, or 0 if the picture is broken."""
    picture = page.locator("dialog img").first
    return picture.evaluate("image => image.decode().then(() => image.naturalWidth, () => 0)")


def test_the_page_shows_the_ledgers_numbers(opened, served):
    """The numbers on the page are those in the ledger.

    It shows complete trials, both cells, initializations, best trials, pictures, savings and failures.
    """
    page = opened(served)
    page.wait_for_selector("#initialization table")
    assert "16 / 32" in page.inner_text("#tiles")
    for cell in CELLS:
        assert cell in page.inner_text("#phases")
        assert cell in page.inner_text("#initialization")
    page.wait_for_selector("#gallery figure")
    assert page.locator("#best tbody tr").count() == 6
    heads = page.locator("#phases th[scope=col]").all_inner_texts()
    assert {"Best validation accuracy", "Its test accuracy"} <= set(heads)
    assert page.locator("footer a").all_inner_texts()[:2] == ["JSON", "CSV"]
    assert "16 complete trials" in page.inner_text("#quality-caption")
    assert page.locator("#gallery figure").count() == 8
    assert "of fitting steps saved" in page.inner_text("#tiles")
    assert "no luck in model.py" in page.inner_text("#failures")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_never_scrolls_sideways(opened, served, width, scheme):
    """At phone and desktop width, in light and dark mode, the page fits the width of the window.

    In dark mode, the page is dark.
    """
    page = opened(served, viewport={"width": width, "height": 850}, scheme=scheme)
    page.wait_for_selector("#initialization table")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    red = int(page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"))
    assert (red < 60) == (scheme == "dark")


def test_a_trial_opens_with_its_picture_and_curves(opened, served):
    """Selecting a trial opens a dialog with its decoded picture and its curves.

    Escape closes the dialog.
    """
    page = opened(served)
    page.click("#best button")
    page.wait_for_selector("dialog[open] img")
    assert width_of_picture(page) > 0
    assert page.locator("dialog .curve").count() == 2
    assert page.locator("dialog h3").all_inner_texts() == ["PSNR (dB)", "Validation accuracy"]
    terms = page.locator("dialog dt").all_inner_texts()
    assert terms[:2] == ["Test accuracy", "Validation accuracy"]
    assert {"AMI of the weights", "NMI of the weights"} <= set(terms)
    assert " dB" in page.inner_text("dialog .tiles")
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0


def test_every_trial_is_a_mark_and_ladders_are_lines(opened, served):
    """Each figure has one mark per trial and one panel per field.

    Each ladder is a line with a ring at its best rung.
    """
    page = opened(served)
    page.wait_for_selector("#ratio-plot svg")
    assert page.locator("#quality-plot g[aria-label=dot] path").count() == 16
    assert page.locator("#quality-plot g[aria-label=dot] circle").count() == 4
    assert page.locator("#quality-plot g[aria-label=line] path").count() == 4
    for name in ("mfn", "siren"):
        assert name in page.locator("#quality-plot g[aria-label='fx-axis tick label']").text_content()
    assert page.locator("#nmi-plot g[aria-label=dot] path").count() == 16


@pytest.mark.parametrize("plot", ["#quality-plot", "#nmi-plot", "#parallel"])
def test_trials_can_be_selected_by_keyboard(opened, explored, plot):
    """The arrow keys show and announce one trial after another.

    Enter opens the current trial.
    """
    page = opened(explored)
    page.wait_for_selector(f"{plot} svg")
    page.wait_for_selector("#best table")
    status = page.locator(f"{plot} + [role=status]")
    page.focus(plot)
    page.keyboard.press("ArrowRight")
    expect(status).to_contain_text("init" if plot != "#parallel" else "validation")
    first = status.inner_text()
    page.keyboard.press("ArrowRight")
    expect(status).not_to_have_text(first, use_inner_text=True)
    assert page.locator(f"{plot} g[aria-label=tip] text").count() > 0
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")


def test_a_click_opens_the_trial_under_the_pointer(opened, served):
    """Hovering over a point shows its tooltip, and a click opens its trial."""
    page = opened(served)
    page.wait_for_selector("#ratio-plot svg")
    page.locator("#nmi-plot g[aria-label=dot] path").first.hover(force=True)
    expect(page.locator("#nmi-plot g[aria-label=tip] text")).to_have_count(1)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_selector("dialog[open]")


def test_the_parts_that_need_many_trials_appear(opened, explored):
    """With forty trials, the page draws importance, parallel coordinates, savings, pace and best score over time."""
    page = opened(explored)
    page.wait_for_selector("#parallel svg")
    assert page.locator("#savings tbody tr").count() == 3
    for part in ("#importance", "#pace", "#best-over-time"):
        page.wait_for_selector(f"{part} svg")
        assert page.locator(f"{part} svg").count() == 1
        assert len(page.locator(part).get_attribute("aria-label")) > 20
    assert page.inner_text("#parallel").splitlines()[:3] == ["steps", "init", "hidden"]
    assert page.locator("#parallel g[aria-label=line]").count() == 2
    assert page.locator("#parallel g[aria-label=line]").nth(1).locator("path").count() == 4  # a tenth of forty


def test_a_users_own_task_has_its_own_parts(opened, ledger: Ledger):
    """The page shows a custom task's metrics with their units and direction.

    Parts that the task does not declare are hidden.
    """
    fill_own_study(ledger)
    with Served(create_app(ledger)) as running:
        page = opened(running.url)
        page.wait_for_selector("#parallel svg")
        assert "validation error (m)" in page.inner_text("#best")
        assert "0.200" in page.inner_text("#tiles") or "0.20" in page.inner_text("#tiles")
        for part in ("quality", "nmi", "ratio", "initialization", "classifiers"):
            assert page.locator(f"#{part}-part").is_hidden()
        page.click("#best button")
        page.wait_for_selector("dialog[open]")
        expect(page.locator("dialog dt")).to_have_text(["Test error", "Validation error"])
        assert page.locator("dialog dd").first.inner_text() == "0.20 m"
        page.close()


def test_every_control_has_a_name(opened, served):
    """Every button, select, link, picture and region has an accessible name."""
    page = opened(served)
    page.wait_for_selector("#best table")
    unnamed = page.evaluate(
        """[...document.querySelectorAll('button, select, a, [role=img], [role=region], [role=application]')]
           .filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length))
           .map((e) => e.outerHTML)"""
    )
    assert unnamed == []


@pytest.fixture
def followed(opened, ledger: Ledger) -> Iterator[Page]:
    """Yield the page of a running study with 16 of 32 trials complete, connected to the study's events."""
    fill_study(ledger)
    ledger.leases.acquire(STUDY, Owner.current(), lease_s=600)
    with Served(create_app(ledger)) as running:
        page = opened(running.url)
        page.wait_for_selector("#live[data-on=true]")
        expect(page.locator("#tiles")).to_contain_text("16 / 32")
        yield page
        page.close()


def test_the_page_follows_the_study(followed, ledger: Ledger):
    """When a trial ends, it appears on the page without a reload."""
    followed.evaluate("window.notReloaded = true")
    run_trial(ledger, "phase2", trial_config(CELLS[1], steps=500))
    expect(followed.locator("#tiles")).to_contain_text("17 / 32")
    expect(followed.locator("#quality-caption")).to_contain_text("17 complete")
    assert followed.evaluate("window.notReloaded")
    assert followed.evaluate("performance.getEntriesByName('interactive').length") == 1, (
        "marks are never freed while the page is open"
    )


def test_a_response_from_before_an_event_is_requested_again(followed, ledger: Ledger):
    """If the progress that the page fetches after an event is outdated, the page soon fetches it again."""
    followed.wait_for_timeout(1500)  # until the refresh at the opening of the stream is over
    older = followed.request.get(f"{followed.url.partition('#')[0]}v1/studies/{STUDY}/progress").text()
    followed.route("**/progress", lambda route: route.fulfill(body=older, content_type="application/json"), times=1)
    run_trial(ledger, "phase2", trial_config(CELLS[1], steps=500))
    expect(followed.locator("#tiles")).to_contain_text("17 / 32", timeout=15_000)


@pytest.fixture
def blank(browser) -> Iterator[Page]:
    """Yield a blank page whose console errors are ignored."""
    page = browser.new_page(viewport=WIDE)
    yield page
    page.close()


def test_a_closed_stream_is_reopened(blank, ledger: Ledger):
    """While requests for the event stream are rejected, the page polls and shows that it is reconnecting.

    Once the stream is accepted again, the page is live again.
    """
    fill_study(ledger)
    ledger.leases.acquire(STUDY, Owner.current(), lease_s=600)
    blank.route("**/events", lambda route: route.fulfill(status=503))
    with Served(create_app(ledger)) as running:
        blank.goto(running.url)
        expect(blank.locator("#live")).to_have_text("reconnecting (updates every 4 s)")
        expect(blank.locator("#tiles")).to_contain_text("16 / 32")
        run_trial(ledger, "phase2", trial_config(CELLS[1], steps=500))
        expect(blank.locator("#tiles")).to_contain_text("17 / 32")
        expect(blank.locator("#live")).to_have_text("reconnecting (updates every 4 s)")
        blank.unroute("**/events")
        expect(blank.locator("#live")).to_have_text("live")
        blank.close()


def test_a_study_that_starts_later_can_be_selected(blank, ledger: Ledger):
    """A study that starts while the page is open appears in the page's list within 40 seconds."""
    fill_study(ledger)
    blank.clock.install()
    with Served(create_app(ledger)) as running:
        blank.goto(running.url)
        expect(blank.locator("#tiles")).to_contain_text("16 / 32")
        expect(blank.locator("#study option")).to_have_text([STUDY])
        ledger.studies.put("later", {}, cells=as_cells({("phase2", CELLS[0]): 4}))
        blank.clock.fast_forward(40_000)
        expect(blank.locator("#study option")).to_have_text(["later", STUDY])
        expect(blank.locator("#study")).to_have_value(STUDY)
        blank.close()


def test_signing_in_opens_the_page(browser, filled):
    """If a token is set, the page asks for it and rejects a wrong token.

    With the correct token, it shows everything, including pictures.
    """
    with Served(create_app(filled[0], root=filled[1], token=TOKEN)) as running:
        page = browser.new_page(viewport=WIDE)
        page.goto(running.url)
        page.fill("input[name=token]", "wrong")
        page.click("button")
        assert "Wrong token" in page.inner_text("body")
        page.goto(running.url)
        page.fill("input[name=token]", TOKEN)
        page.click("button")
        page.wait_for_selector("#live[data-on=true]")
        page.click("#best button")
        page.wait_for_selector("dialog[open] img")
        assert width_of_picture(page) > 0
        page.close()
