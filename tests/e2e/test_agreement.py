"""One study told three times, by REST, the study page and the report: the same numbers, down to the plots' marks."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from nefstudy.ledger import Ledger
from nefstudy.tasks.classification import ClassificationConfig

from ..ledger.records import as_record
from ..service.served import CHROMIUM, WIDE
from . import told

pytestmark = [pytest.mark.ray, pytest.mark.browser, pytest.mark.slow]

STUDY = "tiny"
SHOWN = 6e-4  # the page and the report write three decimals
MARKS = """(svg) => {
  const [x, y] = ["x", "y"].map((name) => svg.scale(name));
  const place = (e) => e.getAttribute("transform").match(/-?[\\d.]+/g).map(Number);
  return [...svg.querySelectorAll("g[aria-label=dot] path")].map(place).map(([a, b]) => [x.invert(a), y.invert(b)]);
}"""
BARS = """(svg) => [...svg.querySelectorAll("g[aria-label=rect] rect")].map((bar) => {
  const [top, height] = ["y", "height"].map((name) => Number(bar.getAttribute(name)));
  return svg.scale("y").invert(top) - svg.scale("y").invert(top + height);
})"""
PLOTS = {"quality": "ladders?x=all_psnr", "nmi": "scatter?x=all_nmi", "ratio": "scatter?x=all_off_grid_ratio"}


@pytest.fixture(scope="module")
def root(finished_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished study with one more trial, which failed."""
    root = tmp_path_factory.mktemp("told") / "root"
    shutil.copytree(finished_root, root)
    with Ledger.open(f"sqlite:///{root}/ledger.db") as ledger:
        config = ledger.trials.page(STUDY, phase="phase2", limit=1).rows[0].config
        failing = ClassificationConfig.model_validate(config | {"seed": 7})
        token = ledger.trials.request(STUDY, "phase2", record=as_record(failing))
        ledger.trials.fail(STUDY, "phase2", key=failing.key, token=token, cause="diverged", error="no field survived")
    return root


@pytest.fixture(scope="module")
def service(root: Path, served) -> Iterator[Any]:
    """The service over that study."""
    with served(root) as get:
        yield get


@pytest.fixture(scope="module")
def rest(service) -> told.Told:
    """What REST says."""
    return told.by_rest(service, STUDY)


@pytest.fixture(scope="module")
def report(root: Path, run_python) -> Path:
    """The study's report."""
    run_python("-m", "nefstudy", "report", STUDY, "--root", root, "--out", root / "report")
    return root / "report"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium of the system."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


def drawn(browser: Browser, address: str, *, lying: bool = False) -> Page:
    """The study page with all its figures; with LIES told to it, if so wanted."""
    page = browser.new_page(viewport=WIDE)
    for part in LIES if lying else ():
        page.route(f"**/{part}?*", lie)
        page.route(f"**/{part}", lie)
    page.goto(address)
    page.wait_for_selector("#ratio-plot svg")
    page.wait_for_selector("#pace svg")
    return page


@pytest.fixture(scope="module")
def page(browser: Browser, service) -> Page:
    """The study page."""
    return drawn(browser, service.address)


def lie(route: Route) -> None:
    """Raises some numbers of an answer on its way to the page."""
    answer = route.fetch()
    body = answer.json()
    for *path, name in LIES[urlsplit(route.request.url).path.rpartition("/")[2]]:
        found = body
        for step in path:
            found = found[step]
        found[name] += 1
    route.fulfill(response=answer, body=json.dumps(body))


LIES: dict[str, tuple[tuple[str | int, ...], ...]] = {
    "progress": (("planned",), ("phases", 0, "cells", 0, "failed"), ("phases", 1, "cells", 1, "best", "score")),
    "initialization": (("rows", 0, 1, "mean"), ("rows", 1, 2, "sd"), ("rows", 0, 3, "mean")),
    "failures": (("rows", 0, 3),),
    "ladders": (("marks", -1, "columns", "x", 3),),
    "scatter": (("marks", -1, "columns", "x", 3),),
    "pace": (("marks", 0, "columns", "y", 0),),
}
FIRST, SECOND = "digits8/siren", "digits8/rffnet"  # in the order of the plan
CHANGED = {
    "study planned", f"phase1 {FIRST} failed", f"phase2 {SECOND} best val", f"{FIRST} random mean",
    f"{SECOND} shared sd", f"{FIRST} gain", "failed of diverged",
}  # fmt: skip


def columns_of(figure: dict[str, Any], kind: str) -> dict[str, list[Any]]:
    """The columns of a figure's marks of one kind."""
    return next(mark["columns"] for mark in figure["marks"] if mark["kind"] == kind)


def places_of(service, plot: str) -> list[tuple[float, float]]:
    """Where REST says that the points of a plot are."""
    found = columns_of(service(f"/v1/studies/{STUDY}/figures/{PLOTS[plot]}&phase=phase2"), "dot")
    return list(zip(found["x"], found["y"], strict=True))


def rates_of(service) -> list[float]:
    """Trials a minute in each span, as REST has them."""
    return columns_of(service(f"/v1/studies/{STUDY}/figures/pace"), "bar")["y"]


def marks_of(page: Page, plot: str) -> list[tuple[float, float]]:
    """Where the marks of a plot are, read back through its axes."""
    return [tuple(place) for place in page.locator(f"#{plot}-plot svg").evaluate(MARKS)]


def same(marks: list[tuple[float, float]], places: list[tuple[float, float]]) -> bool:
    """Whether these are the same places, in whatever order."""
    sides = [sorted((round(x, 6), round(y, 6)) for x, y in side) for side in (marks, places)]
    return len(marks) == len(places) and all(a == pytest.approx(b, abs=1e-5) for a, b in zip(*sides, strict=True))


def test_page_and_report_tell_what_rest_tells(page, rest, report):
    """Counts, best accuracies, the table by initialization and failures are the same numbers everywhere."""
    assert len(rest) > 30
    assert (rest["study complete"], rest["failed of diverged"]) == (14, 1)
    assert told.by_page(page) == pytest.approx(rest, abs=SHOWN)
    assert told.by_report(report) == pytest.approx(rest, abs=SHOWN)


def test_the_marks_are_rests_points_and_the_bars_its_counts(page, service):
    """Each mark of each figure is one complete trial of the grid; the bars over time hold every complete trial."""
    for plot in PLOTS:
        places = places_of(service, plot)
        assert len(places) == 8
        assert f"{len(places)} complete trials." in page.inner_text(f"#{plot}-caption")
        assert same(marks_of(page, plot), places), plot
    assert service(f"/v1/studies/{STUDY}/figures/pace")["of"] == 14
    assert page.locator("#pace svg").evaluate(BARS) == pytest.approx(rates_of(service), abs=1e-6)


def test_a_number_that_differs_on_the_page_is_seen(browser, service, rest):
    """Numbers changed between service and page make exactly those numbers differ, and the marks and bars too."""
    page = drawn(browser, service.address, lying=True)
    shown = told.by_page(page)
    assert {name for name, value in rest.items() if abs(shown[name] - value) > SHOWN} == CHANGED
    assert not any(same(marks_of(page, plot), places_of(service, plot)) for plot in PLOTS)
    assert page.locator("#pace svg").evaluate(BARS) != pytest.approx(rates_of(service), abs=1e-6)


def test_a_number_that_differs_in_the_report_is_seen(rest, report, tmp_path):
    """The last digit of one accuracy changed in the report's page is one number that differs."""
    text, name = (report / "report.html").read_text(), "digits8/siren random mean"
    was = f"<td>{rest[name]:.3f} ±"
    assert was in text
    (tmp_path / "report.html").write_text(text.replace(was, f"<td>{rest[name] + 0.002:.3f} ±", 1))
    shown = told.by_report(tmp_path)
    assert [key for key, value in rest.items() if abs(shown[key] - value) > SHOWN] == [name]


def test_the_reports_tables_are_rests_trials(service, report):
    """Every number of trials.csv, best.csv and initialization.csv is REST's, in full precision."""
    base = f"/v1/studies/{STUDY}"
    trials = {(t["phase"], t["key"]): t for t in service(f"{base}/trials?limit=1000")["trials"]}
    rows = told.table_of(report / "trials.csv")
    assert len(rows) == len(trials) == 15
    for row in rows:
        trial = trials[row["phase"], row["key"]]
        known = {**trial["metrics"], **trial["parameters"], **trial}  # a parameter goes before a metric
        numbers = {name: value for name, value in known.items() if name in row and isinstance(value, float)}
        assert {name: float(row[name]) for name in numbers} == numbers
        assert (row["state"], row["cell"]) == (trial["state"], trial["cell"])
    best = {(b["phase"], b["cell"]): (b["key"], b["val_accuracy"]) for b in service(f"{base}/best")["best"]}
    rows = told.table_of(report / "best.csv")
    assert {(row["phase"], row["cell"]): (row["key"], float(row["val_accuracy"])) for row in rows} == best
    for name in ("initialization", "best", "savings", "failures"):
        table = service(f"{base}/tables/{name}")
        names = [column["name"] for column in table["columns"] if column["kind"] in ("number", "count", "text")]
        rows = told.table_of(report / f"{name}.csv")
        assert [[row[name] for name in names] for row in rows] == [
            ["" if row[name] is None else str(row[name]) for name in names] for row in told.rows_by_name(table)
        ]
    for row, line in zip(
        told.table_of(report / "initialization.csv"),
        told.rows_by_name(service(f"{base}/tables/initialization")),
        strict=True,
    ):
        for name in ("random", "shared", "gain.shared"):
            assert [float(row[f"{name}.{part}"]) for part in ("n", "mean", "sd")] == [
                line[name][part] for part in ("n", "mean", "sd")
            ]
