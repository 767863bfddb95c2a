"""Writes a study's report: one page, with its figures and tables as files next to it."""

from collections.abc import Mapping
from pathlib import Path

from nefstudy.errors import BadRoot
from nefstudy.insight.catalog import TableId
from nefstudy.ledger import Ledger
from nefstudy.report.classifiers import size_files
from nefstudy.report.content import Report, gather, trial_cells
from nefstudy.report.page import render
from nefstudy.report.tables import csv_bytes, markdown

WRITTEN: tuple[TableId, ...] = ("initialization", "classifiers")  # tables that are written as Markdown too


def write_report(ledger: Ledger, study: str, *, root: str | Path, out: str | Path) -> Path:
    """Write the report of a study into directory `out` and return the path of its page.

    It is made from the ledger alone; reconstructions and learned features under `root` are shown where still there;
    the same ledger gives the same files.

    Raises:
        BadConfig: the ledger holds no study of this name.
        BadRoot: `out` cannot be written.
    """
    report = gather(ledger, study, root=root)
    write_files(size_files(ledger, report.trials) | files(report), Path(out))
    return Path(out) / "report.html"


def write_files(found: Mapping[str, bytes], folder: Path) -> None:
    """Write each file atomically into a directory.

    Raises:
        BadRoot: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in found.items():
            beside = folder / f"{name}.tmp"
            beside.write_bytes(content)
            beside.replace(folder / name)
    except OSError as error:
        raise BadRoot(f"out = {folder}: {error.strerror}; name a directory that can be written with --out") from None


def files(report: Report) -> dict[str, bytes]:
    """Return name -> content of every file of the report; the page comes last, so that it names files that exist."""
    found = {f"{name}.csv": csv_bytes(table.flat()) for name, table in report.every.items() if table.rows}
    written = [name for name in WRITTEN if name in report.every and report.every[name].rows]
    found |= {f"{name}.md": f"{markdown(report.every[name])}\n".encode() for name in written}
    found["trials.csv"] = csv_bytes(trial_cells(report.trials))
    for picture in report.pictures:
        found |= {f"{picture.name}.png": picture.png, f"{picture.name}.svg": picture.svg}
    if report.learned is not None:
        found |= dict(zip(("learned_features.png", "learned_features.svg"), report.learned, strict=True))
    return found | {"report.html": render(report).encode()}
