"""Tests that REST, the study page and the report show the same numbers, in text and in plots."""

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
from . import reported_numbers

pytestmark = [pytest.mark.ray, pytest.mark.browser, pytest.mark.slow]

STUDY = "tiny"
ROUNDING = 6e-4  # the page and the report show three decimals
MARKS = """(svg) => {
  const [x, y] = ["x", "y"].map((name) => svg.scale(name));
  const position = (e) => e.getAttribute("transform").match(/-?[\\d.]+/g).map(Number);
  return [...svg.querySelectorAll("g[aria-label=dot] path")].map(position).map(([a, b]) => [x.invert(a), y.invert(b)]);
}"""
BARS = """(svg) => [...svg.querySelectorAll("g[aria-label=rect] rect")].map((bar) => {
  const [top, height] = ["y", "height"].map((name) => Number(bar.getAttribute(name)));
  return svg.scale("y").invert(top) - svg.scale("y").invert(top + height);
})"""
PLOTS = {
    "quality": "ladders?x=all_psnr",
    "nmi": "scatter?x=all_nmi",
    "ami": "scatter?x=all_ami",
    "ratio": "scatter?x=all_off_grid_ratio_published",
    "error-ratio": "scatter?x=all_off_grid_nmse_ratio",
}


@pytest.fixture(scope="module")
def root(finished_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with the finished study and an additional failed trial."""
    root = tmp_path_factory.mktemp("agreement") / "root"
    shutil.copytree(finished_root, root)
    with Ledger.open(f"sqlite:///{root}/ledger.db") as ledger:
        config = ledger.trials.page(STUDY, phase="phase2", limit=1).rows[0].config
        failing = ClassificationConfig.model_validate(config | {"seed": 7})
        token = ledger.trials.request(STUDY, "phase2", record=as_record(failing))
        ledger.trials.fail(STUDY, "phase2", key=failing.key, token=token, cause="diverged", error="no field survived")
    return root


@pytest.fixture(scope="module")
def service(root: Path, served) -> Iterator[Any]:
    """Yield a client of a status service that serves the root."""
    with served(root) as get:
        yield get


@pytest.fixture(scope="module")
def rest(service) -> reported_numbers.Numbers:
    """Return the numbers that REST reports."""
    return reported_numbers.from_rest(service, STUDY)


@pytest.fixture(scope="module")
def report(root: Path, run_python) -> Path:
    """Write the study's report and return its directory."""
    run_python("-m", "nefstudy", "report", STUDY, "--root", root, "--out", root / "report")
    return root / "report"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Yield the system's headless Chromium browser."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


def open_page(browser: Browser, address: str, *, tampered: bool = False) -> Page:
    """Open the study page and wait for its figures; if `tampered`, responses are altered as TAMPERED describes."""
    page = browser.new_page(viewport=WIDE)
    for part in TAMPERED if tampered else ():
        page.route(f"**/{part}?*", tamper)
        page.route(f"**/{part}", tamper)
    page.goto(address)
    page.wait_for_selector("#ratio-plot svg")
    page.wait_for_selector("#pace svg")
    return page


@pytest.fixture(scope="module")
def page(browser: Browser, service) -> Page:
    """Return the open study page."""
    return open_page(browser, service.address)


def tamper(route: Route) -> None:
    """Increase some numbers in a response before the page receives it."""
    response = route.fetch()
    body = response.json()
    for *path, name in TAMPERED[urlsplit(route.request.url).path.rpartition("/")[2]]:
        parent = body
        for step in path:
            by_kind = isinstance(parent, list) and isinstance(step, str)
            parent = next(mark for mark in parent if mark["kind"] == step) if by_kind else parent[step]
        parent[name] += 1
    route.fulfill(response=response, body=json.dumps(body))


TAMPERED: dict[str, tuple[tuple[str | int, ...], ...]] = {
    "progress": (("planned",), ("phases", 0, "cells", 0, "failed"), ("phases", 1, "cells", 1, "best", "score")),
    "initialization": (("rows", 0, 1, "mean"), ("rows", 1, 2, "sd"), ("rows", 0, 3, "mean")),
    "failures": (("rows", 0, 3),),
    "ladders": (("marks", "dot", "columns", "x", 3),),
    "scatter": (("marks", "dot", "columns", "x", 3),),
    "pace": (("marks", 0, "columns", "y", 0),),
}
FIRST, SECOND = "digits8/siren", "digits8/rffnet"  # in the order of the plan
CHANGED = {
    "study planned", f"phase1 {FIRST} failed", f"phase2 {SECOND} best val", f"{FIRST} random mean",
    f"{SECOND} shared sd", f"{FIRST} gain", "failed of diverged",
}  # fmt: skip


def columns_of(figure: dict[str, Any], kind: str) -> dict[str, list[Any]]:
    """Return the columns of a figure's marks of the given kind."""
    return next(mark["columns"] for mark in figure["marks"] if mark["kind"] == kind)


def points_of(service, plot: str) -> list[tuple[float, float]]:
    """Return the coordinates of a plot's points as reported by REST."""
    dots = columns_of(service(f"/v1/studies/{STUDY}/figures/{PLOTS[plot]}&phase=phase2"), "dot")
    return list(zip(dots["x"], dots["y"], strict=True))


def rates_of(service) -> list[float]:
    """Return the rate in trials per minute that REST reports for each interval."""
    return columns_of(service(f"/v1/studies/{STUDY}/figures/pace"), "bar")["y"]


def marks_of(page: Page, plot: str) -> list[tuple[float, float]]:
    """Return the coordinates of a plot's marks on the page, converted back to data values through its axes."""
    return [tuple(mark) for mark in page.locator(f"#{plot}-plot svg").evaluate(MARKS)]


def same(marks: list[tuple[float, float]], points: list[tuple[float, float]]) -> bool:
    """Return whether two lists contain the same coordinates, in any order."""
    sides = [sorted((round(x, 6), round(y, 6)) for x, y in side) for side in (marks, points)]
    return len(marks) == len(points) and all(a == pytest.approx(b, abs=1e-5) for a, b in zip(*sides, strict=True))


def test_page_and_report_agree_with_rest(page, rest, report):
    """Counts, best accuracies, the initialization table and failures are identical in REST, page and report."""
    assert len(rest) > 30
    assert (rest["study complete"], rest["failed of diverged"]) == (14, 1)
    assert reported_numbers.from_page(page) == pytest.approx(rest, abs=ROUNDING)
    assert reported_numbers.from_report(report) == pytest.approx(rest, abs=ROUNDING)


def test_marks_and_bars_agree_with_rest(page, service):
    """The marks and bars on the page have the coordinates that REST reports.

    Each plot has one mark per complete grid trial, and the bars over time count every complete trial.
    """
    for plot in PLOTS:
        points = points_of(service, plot)
        assert len(points) == 8
        assert f"{len(points)} complete trials." in page.inner_text(f"#{plot}-caption")
        assert same(marks_of(page, plot), points), plot
    assert service(f"/v1/studies/{STUDY}/figures/pace")["of"] == 14
    assert page.locator("#pace svg").evaluate(BARS) == pytest.approx(rates_of(service), abs=1e-6)


def test_a_different_number_on_the_page_is_detected(browser, service, rest):
    """If responses to the page are altered, exactly the numbers, marks and bars that show them differ."""
    page = open_page(browser, service.address, tampered=True)
    shown = reported_numbers.from_page(page)
    assert {name for name, value in rest.items() if abs(shown[name] - value) > ROUNDING} == CHANGED
    assert not any(same(marks_of(page, plot), points_of(service, plot)) for plot in PLOTS)
    assert page.locator("#pace svg").evaluate(BARS) != pytest.approx(rates_of(service), abs=1e-6)


def test_a_different_number_in_the_report_is_detected(rest, report, tmp_path):
    """If one accuracy in the report is altered, it is the only number that differs from REST."""
    text, name = (report / "report.html").read_text(), "digits8/siren random mean"
    cell = f"<td>{rest[name]:.3f} ±"
    assert cell in text
    (tmp_path / "report.html").write_text(text.replace(cell, f"<td>{rest[name] + 0.002:.3f} ±", 1))
    shown = reported_numbers.from_report(tmp_path)
    assert [key for key, value in rest.items() if abs(shown[key] - value) > ROUNDING] == [name]


def test_the_reports_csv_files_agree_with_rest(service, report):
    """Every number in the report's CSV files equals the number from REST, to full precision."""
    base = f"/v1/studies/{STUDY}"
    trials = {(t["phase"], t["key"]): t for t in service(f"{base}/trials?limit=1000")["trials"]}
    rows = reported_numbers.table_of(report / "trials.csv")
    assert len(rows) == len(trials) == 15
    for row in rows:
        trial = trials[row["phase"], row["key"]]
        known = {**trial["metrics"], **trial["parameters"], **trial}  # a parameter takes precedence over a metric
        numbers = {name: value for name, value in known.items() if name in row and isinstance(value, float)}
        assert {name: float(row[name]) for name in numbers} == numbers
        assert (row["state"], row["cell"]) == (trial["state"], trial["cell"])
    best = {(b["phase"], b["cell"]): (b["key"], b["val_accuracy"]) for b in service(f"{base}/best")["best"]}
    rows = reported_numbers.table_of(report / "best.csv")
    assert {(row["phase"], row["cell"]): (row["key"], float(row["val_accuracy"])) for row in rows} == best
    for name in ("initialization", "best", "savings", "failures"):
        table = service(f"{base}/tables/{name}")
        names = [column["name"] for column in table["columns"] if column["kind"] in ("number", "count", "text")]
        rows = reported_numbers.table_of(report / f"{name}.csv")
        assert [[row[name] for name in names] for row in rows] == [
            ["" if row[name] is None else str(row[name]) for name in names]
            for row in reported_numbers.rows_by_name(table)
        ]
    for row, line in zip(
        reported_numbers.table_of(report / "initialization.csv"),
        reported_numbers.rows_by_name(service(f"{base}/tables/initialization")),
        strict=True,
    ):
        for name in ("random", "shared", "gain.shared"):
            parts = [line[name][part] for part in ("n", "mean", "sd")]  # a gain over one ladder has no deviation
            read = [row[f"{name}.{part}"] for part in ("n", "mean", "sd")]
            assert [None if text == "" else float(text) for text in read] == parts
