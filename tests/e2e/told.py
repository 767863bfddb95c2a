"""What a study is said to have found, number by number, by three who tell it: REST, the study page, the report."""

import csv
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

Told = dict[str, float]
COUNTS = ("planned", "complete", "running", "failed")
BEST = {"val": "score", "test": "reported"}


def by_rest(get: Callable[[str], Any], study: str) -> Told:
    """Numbers from the answers of the service."""
    base = f"/v1/studies/{study}"
    progress = get(f"{base}/progress")
    told = {f"study {name}": progress[name] for name in ("planned", "complete")}
    for phase in progress["phases"]:
        for cell in phase["cells"]:
            place = f"{phase['phase']} {cell['cell']}"
            told |= {f"{place} {name}": cell[name] for name in COUNTS}
            told |= {f"{place} best {of}": cell["best"][name] for of, name in BEST.items()}
    for row in rows_by_name(get(f"{base}/tables/initialization")):
        for init in ("random", "shared"):
            told |= {f"{row['cell']} {init} {name}": row[init][name] for name in ("mean", "sd")}
        told[f"{row['cell']} gain"] = row["gain.shared"]["mean"] / 100
    for row in rows_by_name(get(f"{base}/tables/failures")):
        told[f"failed of {row['cause']}"] = told.get(f"failed of {row['cause']}", 0) + row["failed"]
    return told


def rows_by_name(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a table by the names of its columns."""
    names = [column["name"] for column in table["columns"]]
    return [dict(zip(names, row, strict=True)) for row in table["rows"]]


def by_page(page: Page) -> Told:
    """Numbers that are shown by the study page, once it has drawn everything."""
    page.wait_for_selector("#best table")
    complete, planned = re.findall(r"[\d,]+", page.inner_text("#tiles .tile:first-child dd"))[:2]
    told = {"study planned": number(planned), "study complete": number(complete)}
    for table in page.locator("#phases .scroll").all():
        phase = re.search(r"phase\d", table.get_attribute("aria-label"))[0]
        for cell, _, done, running, failed, _, val, test in rows_of(table):
            shown = (*reversed(done.split(" / ")), running, failed, val, test)
            names = (*COUNTS, "best val", "best test")
            told |= {f"{phase} {cell} {name}": number(text) for name, text in zip(names, shown, strict=True)}
    for cell, random, shared, gain, *_ in rows_of(page.locator("#starts .scroll")):
        told |= means_told(cell, random=random, shared=shared, gain=gain)
    if page.locator("#failures-part").is_visible():
        for cause, _, _, n, *_ in rows_of(page.locator("#failures .scroll")):
            told[f"failed of {cause}"] = told.get(f"failed of {cause}", 0) + number(n)
    return told


def by_report(folder: Path) -> Told:
    """Numbers that the report's page shows."""
    reader = Tables()
    reader.feed((folder / "report.html").read_text())
    complete, planned = re.search(r"(\d+) of (\d+) trials complete", reader.text).groups()
    told = {"study planned": number(planned), "study complete": number(complete)}
    for row in reader.rows("Trials by phase and cell"):
        told |= {f"{row['phase']} {row['cell']} {name}": number(row.get(name, "0")) for name in COUNTS}
    for row in reader.rows("Best trial of each cell"):
        shown = {"val": row["validation accuracy"], "test": row["test accuracy"]}
        told |= {f"{row['phase']} {row['cell']} best {split}": number(text) for split, text in shown.items()}
    for row in reader.rows("Test accuracy by initialization"):
        told |= means_told(row["cell"], random=row["random"], shared=row["shared"], gain=row["gain (%)"])
    for row in reader.rows("Failures"):
        name = f"failed of {row['cause']}"
        told[name] = told.get(name, 0) + number(row["failed"])
    return told


def means_told(cell: str, *, random: str, shared: str, gain: str) -> Told:
    """A line of the table by initialization, each accuracy written as mean ± sd, the gain in per cent ± interval."""
    told: Told = {f"{cell} gain": number(gain.partition("±")[0]) / 100}
    for init, text in (("random", random), ("shared", shared)):
        mean, sd = text.split("±")
        told |= {f"{cell} {init} mean": number(mean), f"{cell} {init} sd": number(sd)}
    return told


def number(text: str) -> float:
    """A number as people write it."""
    return float(text.strip().replace(",", "").replace("−", "-"))


def rows_of(table) -> list[list[str]]:
    """The words of a table's body."""
    return table.evaluate(
        "t => [...t.querySelectorAll('tbody tr')].map((r) => [...r.children].map((c) => c.innerText))"
    )


def table_of(path: Path) -> list[dict[str, str]]:
    """A CSV file's rows by their header."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class Tables(HTMLParser):
    """Collects an HTML page's tables by the heading above them, and its text."""

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
        """The rows of the table below the heading that begins so, by the names of its columns."""
        found = (rows for name, rows in self._tables.items() if name.startswith(heading))
        header, *body = next(found, [[]])
        return [dict(zip(header, row, strict=True)) for row in body]
