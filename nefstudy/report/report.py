"""Writes a study's report: one page, and its figures and tables as files beside it."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from nefstudy.errors import BadRoot
from nefstudy.ledger import Ledger
from nefstudy.report.classifiers import classifier_files
from nefstudy.report.content import Report, gather, trial_cells
from nefstudy.report.page import render
from nefstudy.report.replicates import replicate_rows
from nefstudy.report.tables import start_markdown, start_rows


def write_report(ledger: Ledger, study: str, *, root: str | Path, out: str | Path) -> Path:
    """Write the report of a study into directory `out` and return the path of its page.

    It is made from the ledger alone; reconstructions and learned features under `root` are shown where still there;
    the same ledger gives the same files.

    Raises:
        BadConfig: the ledger holds no study of this name.
        BadRoot: `out` cannot be written.
    """
    report = gather(ledger, study, root=root)
    write_files(classifier_files(ledger, report.trials) | files(report), Path(out))
    return Path(out) / "report.html"


def write_files(found: Mapping[str, bytes], folder: Path) -> None:
    """Write each file whole into a directory.

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
    """Name -> content of every file of the report; the page comes last, so that it names what is there."""
    found = {
        "start_table.csv": csv_bytes(start_rows(report.starts)),
        "start_table.md": f"{start_markdown(report.starts)}\n".encode(),
        "best.csv": csv_bytes(trial_cells(report.best)),
        "trials.csv": csv_bytes(trial_cells(report.trials)),
    }
    if report.replicates:
        found["replicates.csv"] = csv_bytes(replicate_rows(report.replicates))
    for picture in report.pictures:
        found |= {f"{picture.name}.png": picture.png, f"{picture.name}.svg": picture.svg}
    if report.learned is not None:
        found |= dict(zip(("learned_features.png", "learned_features.svg"), report.learned, strict=True))
    return found | {"report.html": render(report).encode()}


def csv_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    """Rows as UTF-8 CSV with bare line feeds; None is an empty cell."""
    held = io.StringIO()
    csv.writer(held, lineterminator="\n").writerows(rows)
    return held.getvalue().encode()
