"""The study page in a real browser, over a real socket, while a study moves."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from nefstudy.ledger import Ledger, Owner
from nefstudy.service.app import create_app

from ..ledger.records import as_cells
from .conftest import CELLS, STUDY, TOKEN, fill_study, run_trial, trial_config
from .own_task import fill_own_study
from .served import WIDE, Served

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def width_of_picture(page: Page) -> int:
    """Pixels across of the dialog's picture once it is decoded; 0 for a broken one."""
    picture = page.locator("dialog img").first
    return picture.evaluate("image => image.decode().then(() => image.naturalWidth, () => 0)")


def test_the_page_shows_the_ledgers_numbers(opened, served):
    """Complete trials, both cells, the table by start and the best trials are on the page."""
    page = opened(served)
    page.wait_for_selector("#starts table")
    assert "16 / 32" in page.inner_text("#tiles")
    for cell in CELLS:
        assert cell in page.inner_text("#phases")
        assert cell in page.inner_text("#starts")
    page.wait_for_selector("#gallery figure")
    assert page.locator("#best tbody tr").count() == 6
    assert "16 complete trials" in page.inner_text("#quality-caption")
    assert page.locator("#gallery figure").count() == 8
    assert "by reuse" in page.inner_text("#tiles")
    assert "no luck in model.py" in page.inner_text("#failures")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_never_scrolls_sideways(opened, served, width, scheme):
    """At phone and desk width, by day and by night, the page fits; night is dark."""
    page = opened(served, viewport={"width": width, "height": 850}, scheme=scheme)
    page.wait_for_selector("#starts table")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    red = int(page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"))
    assert (red < 60) == (scheme == "dark")


def test_a_trial_opens_with_its_picture_and_curves(opened, served):
    """Choosing a trial shows its picture, drawn, and its curves; Escape closes it."""
    page = opened(served)
    page.click("#best button")
    page.wait_for_selector("dialog[open] img")
    assert width_of_picture(page) > 0
    assert page.locator("dialog .curve").count() == 2
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0


def test_every_trial_is_a_mark_of_its_start_and_rungs_are_joined(opened, served):
    """Each figure has one mark a trial; a ladder is one line, its most accurate rung ringed, over a panel a field."""
    page = opened(served)
    page.wait_for_selector("#ratio-plot svg")
    assert page.locator("#quality-plot g[aria-label=dot] path").count() == 16
    assert page.locator("#quality-plot g[aria-label=dot] circle").count() == 4
    assert page.locator("#quality-plot g[aria-label=line] path").count() == 4
    for name in ("mfn", "siren"):
        assert name in page.locator("#quality-plot g[aria-label='fx-axis tick label']").text_content()
    assert page.locator("#nmi-plot g[aria-label=dot] path").count() == 16


@pytest.mark.parametrize("plot", ["#quality-plot", "#nmi-plot", "#parallel"])
def test_trials_can_be_walked_by_keyboard(opened, explored, plot):
    """Arrow keys show and say one trial after another, Enter opens the one that is shown."""
    page = opened(explored)
    page.wait_for_selector(f"{plot} svg")
    page.wait_for_selector("#best table")
    said = page.locator(f"{plot} + [role=status]")
    page.focus(plot)
    page.keyboard.press("ArrowRight")
    expect(said).to_contain_text("init" if plot != "#parallel" else "validation")
    first = said.inner_text()
    page.keyboard.press("ArrowRight")
    expect(said).not_to_have_text(first, use_inner_text=True)
    assert page.locator(f"{plot} g[aria-label=tip] text").count() > 0
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")


def test_a_click_opens_the_trial_under_the_pointer(opened, served):
    """A point that is pointed at shows its tip; a click opens that trial."""
    page = opened(served)
    page.wait_for_selector("#ratio-plot svg")
    page.locator("#nmi-plot g[aria-label=dot] path").first.hover(force=True)
    expect(page.locator("#nmi-plot g[aria-label=tip] text")).to_have_count(1)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_selector("dialog[open]")


def test_the_parts_that_need_many_trials_appear_with_them(opened, explored):
    """Importance bars, parallel coordinates with the best in front, reuse, pace and climb are drawn and described."""
    page = opened(explored)
    page.wait_for_selector("#parallel svg")
    assert page.locator("#savings tbody tr").count() == 3
    for part in ("#importance", "#pace", "#climb"):
        assert page.locator(f"{part} svg").count() == 1
        assert len(page.locator(part).get_attribute("aria-label")) > 20
    assert page.inner_text("#parallel").splitlines()[:3] == ["steps", "init", "hidden"]
    assert page.locator("#parallel g[aria-label=line]").count() == 2
    assert page.locator("#parallel g[aria-label=line]").nth(1).locator("path").count() == 4  # a tenth of forty


def test_a_users_own_task_has_its_own_parts(opened, ledger: Ledger):
    """What its plan declares is shown, in its units and direction; parts that its task does not name are hidden."""
    fill_own_study(ledger)
    with Served(create_app(ledger)) as running:
        page = opened(running.url)
        page.wait_for_selector("#parallel svg")
        assert "validation error (m)" in page.inner_text("#best")
        assert "0.200" in page.inner_text("#tiles") or "0.20" in page.inner_text("#tiles")
        for part in ("quality", "nmi", "ratio", "starts", "classifiers"):
            assert page.locator(f"#{part}-part").is_hidden()
        page.click("#best button")
        page.wait_for_selector("dialog[open]")
        assert "val error" in page.inner_text("dialog")
        page.close()


def test_every_control_has_a_name(opened, served):
    """Buttons, selects, links, pictures and regions can be told apart without seeing them."""
    page = opened(served)
    page.wait_for_selector("#best table")
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, select, a, [role=img], [role=region], [role=application]')]
           .filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length))
           .map((e) => e.outerHTML)"""
    )
    assert nameless == []


def test_the_page_moves_with_the_study(opened, ledger: Ledger):
    """A trial that ends appears without reloading the page."""
    fill_study(ledger)
    ledger.leases.acquire(STUDY, Owner.here(), lease_s=600)
    with Served(create_app(ledger)) as running:
        page = opened(running.url)
        page.wait_for_selector("#live[data-on=true]")
        expect(page.locator("#tiles")).to_contain_text("16 / 32")
        page.evaluate("window.kept = true")
        run_trial(ledger, "phase2", trial_config(CELLS[1], steps=500))
        expect(page.locator("#tiles")).to_contain_text("17 / 32")
        expect(page.locator("#quality-caption")).to_contain_text("17 complete")
        assert page.evaluate("window.kept")
        assert page.evaluate("performance.getEntriesByName('interactive').length") == 1, "they are kept for ever"
        page.close()


@pytest.fixture
def blank(browser) -> Iterator[Page]:
    """A page that is at no address yet, and may complain."""
    page = browser.new_page(viewport=WIDE)
    yield page
    page.close()


def test_a_stream_that_the_browser_gave_up_is_opened_anew(blank, ledger: Ledger):
    """Events that are refused leave a page that says so and asks by itself; it is live again once they are there."""
    fill_study(ledger)
    ledger.leases.acquire(STUDY, Owner.here(), lease_s=600)
    blank.route("**/events", lambda route: route.fulfill(status=503))
    with Served(create_app(ledger)) as running:
        blank.goto(running.url)
        expect(blank.locator("#live")).to_have_text("reconnecting")
        expect(blank.locator("#tiles")).to_contain_text("16 / 32")
        run_trial(ledger, "phase2", trial_config(CELLS[1], steps=500))
        expect(blank.locator("#tiles")).to_contain_text("17 / 32")
        expect(blank.locator("#live")).to_have_text("reconnecting")
        blank.unroute("**/events")
        expect(blank.locator("#live")).to_have_text("live")
        blank.close()


def test_a_study_that_begins_later_can_be_chosen(blank, ledger: Ledger):
    """Within half a minute of looking on, the list of studies has it."""
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
    """With a token set the page asks for it, refuses another, and then shows everything, pictures too."""
    with Served(create_app(filled[0], root=filled[1], token=TOKEN)) as running:
        page = browser.new_page(viewport=WIDE)
        page.goto(running.url)
        page.fill("input[name=token]", "wrong")
        page.click("button")
        assert "not the token" in page.inner_text("body")
        page.goto(running.url)
        page.fill("input[name=token]", TOKEN)
        page.click("button")
        page.wait_for_selector("#live[data-on=true]")
        page.click("#best button")
        page.wait_for_selector("dialog[open] img")
        assert width_of_picture(page) > 0
        page.close()
