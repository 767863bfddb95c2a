"""The numbers of a study as reported by REST, the study page and the report."""

import csv
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from nefstudy.insight.table import DASH

from ..present import present

Numbers = dict[str, float]
COUNTS = ("planned", "complete", "running", "failed")
BEST = {"val": "score", "test": "reported"}


def from_rest(get: Callable[[str], Any], study: str) -> Numbers:
    """Return the numbers in the service's responses."""
    base = f"/v1/studies/{study}"
    progress = get(f"{base}/progress")
    numbers = {f"study {name}": progress[name] for name in ("planned", "complete")}
    for phase in progress["phases"]:
        for cell in phase["cells"]:
            cell_name = f"{phase['phase']} {cell['cell']}"
            numbers |= {f"{cell_name} {name}": cell[name] for name in COUNTS}
            best = {split: cell["best"][name] for split, name in BEST.items()}
            numbers |= {f"{cell_name} best {split}": value for split, value in best.items() if value is not None}
    for row in rows_by_name(get(f"{base}/tables/initialization")):
        for init in ("random", "shared"):
            numbers |= {f"{row['cell']} {init} {name}": row[init][name] for name in ("mean", "sd")}
        numbers[f"{row['cell']} gain"] = row["gain.shared"]["mean"] / 100
    for row in rows_by_name(get(f"{base}/tables/failures")):
        numbers[f"failed of {row['cause']}"] = numbers.get(f"failed of {row['cause']}", 0) + row["failed"]
    return numbers


def rows_by_name(table: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a table as dictionaries keyed by column name."""
    names = [column["name"] for column in table["columns"]]
    return [dict(zip(names, row, strict=True)) for row in table["rows"]]


def from_page(page: Page) -> Numbers:
    """Return the numbers on the study page once everything is drawn."""
    page.wait_for_selector("#best table")
    complete, planned = re.findall(r"[\d,]+", page.inner_text("#tiles .tile:first-child dd"))[:2]
    numbers = {"study planned": number(planned), "study complete": number(complete)}
    for table in page.locator("#phases .scroll").all():
        phase = present(re.search(r"phase\d", present(table.get_attribute("aria-label"))))[0]
        for cell, _, done, running, failed, _, *best in rows_of(table):
            shown = (*reversed(done.split(" / ")), running, failed, *best)
            names = (*COUNTS, "best val", "best test")[
                : len(shown)
            ]  # a search without test signals shows no test metric
            numbers |= {f"{phase} {cell} {name}": number(text) for name, text in zip(names, shown, strict=True)}
    for cell, random, shared, gain, *_ in rows_of(page.locator("#initialization .scroll")):
        numbers |= row_numbers(cell, random=random, shared=shared, gain=gain)
    if page.locator("#failures-part").is_visible():
        for cause, _, _, n, *_ in rows_of(page.locator("#failures .scroll")):
            numbers[f"failed of {cause}"] = numbers.get(f"failed of {cause}", 0) + number(n)
    return numbers


def from_report(folder: Path) -> Numbers:
    """Return the numbers in the report's HTML page."""
    reader = Tables()
    reader.feed((folder / "report.html").read_text())
    complete, planned = present(re.search(r"(\d+) of (\d+) trials complete", reader.text)).groups()
    numbers = {"study planned": number(planned), "study complete": number(complete)}
    for row in reader.rows("Trials by phase and cell"):
        numbers |= {f"{row['phase']} {row['cell']} {name}": number(row.get(name, "0")) for name in COUNTS}
    for row in reader.rows("Best trial of each cell"):
        shown = {"val": row["validation accuracy"], "test": row["test accuracy"]}
        at = f"{row['phase']} {row['cell']}"
        numbers |= {f"{at} best {split}": number(text) for split, text in shown.items() if text != DASH}
    for row in reader.rows("Test accuracy over all by initialization"):
        numbers |= row_numbers(row["cell"], random=row["random"], shared=row["shared"], gain=row["gain (%)"])
    for row in reader.rows("Failures"):
        name = f"failed of {row['cause']}"
        numbers[name] = numbers.get(name, 0) + number(row["failed"])
    return numbers


def row_numbers(cell: str, *, random: str, shared: str, gain: str) -> Numbers:
    """Return the numbers in a row of the initialization table: accuracies as mean ± sd, gains in percent ± interval."""
    numbers: Numbers = {f"{cell} gain": number(gain.partition("±")[0]) / 100}
    for init, text in (("random", random), ("shared", shared)):
        mean, sd = text.split("±")
        numbers |= {f"{cell} {init} mean": number(mean), f"{cell} {init} sd": number(sd)}
    return numbers


def number(text: str) -> float:
    """Return the number in a formatted string."""
    return float(text.strip().replace(",", "").replace("−", "-"))


def rows_of(table) -> list[list[str]]:
    """Return the text of each entry in a table's body, row by row."""
    return table.evaluate(
        "t => [...t.querySelectorAll('tbody tr')].map((r) => [...r.children].map((c) => c.innerText))"
    )


def table_of(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file as dictionaries keyed by column name."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class Tables(HTMLParser):
    """A parser that collects an HTML page's text and its tables, keyed by the heading above each table."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self._heading = ""
        self._tables: dict[str, list[list[str]]] = {}
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = tag
        if tag == "h2":
            self._heading = ""
        if tag == "tr":
            self._tables.setdefault(self._heading, []).append([])
        if tag in ("td", "th"):
            self._tables[self._heading][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open == "h2":
            self._heading += data
        if self._open in ("td", "th"):
            self._tables[self._heading][-1][-1] += data

    def rows(self, heading: str) -> list[dict[str, str]]:
        """Return the rows of the table below the heading that starts with `heading`, keyed by column name."""
        matching = (rows for name, rows in self._tables.items() if name.startswith(heading))
        header, *body = next(matching, [[]])
        return [dict(zip(header, row, strict=True)) for row in body]
