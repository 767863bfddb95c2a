"""The files of a study's report: one page, with figures and tables as files next to it."""

from collections.abc import Mapping
from pathlib import Path

from nefstudy.errors import BadRoot
from nefstudy.insight.catalog import TableId
from nefstudy.ledger import Ledger
from nefstudy.report.classifiers import size_files
from nefstudy.report.content import Report, gather, trial_table
from nefstudy.report.page import render
from nefstudy.report.tables import csv_bytes, markdown

MARKDOWN_TABLES: tuple[TableId, ...] = ("initialization", "classifiers")  # also written as Markdown


def write_report(ledger: Ledger, study: str, *, root: str | Path, out: str | Path) -> Path:
    """Write the report of a study into directory `out` and return the path of its page.

    The report needs only the ledger; reconstructions and learned features are included if they still exist under
    `root`. The same ledger and root give the same files.

    Raises:
        BadConfig: the ledger has no study of this name.
        BadRoot: `out` cannot be written.
    """
    report = gather(ledger, study, root=root)
    write_files(files(report), Path(out))
    return Path(out) / "report.html"


def write_files(contents: Mapping[str, bytes], folder: Path) -> None:
    """Write each file atomically into a directory.

    Raises:
        BadRoot: the directory cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            temporary = folder / f"{name}.tmp"
            temporary.write_bytes(content)
            temporary.replace(folder / name)
    except OSError as error:
        raise BadRoot(f"out = {folder}: {error.strerror}; choose a writable directory with --out") from None


def files(report: Report) -> dict[str, bytes]:
    """Return the report's files by name; the page, which links to the other files, comes last."""
    tables = {name: table for name, table in report.full_tables.items() if table.rows}
    contents = {f"{name}.csv": csv_bytes(table.flat()) for name, table in tables.items()}
    contents |= {f"{name}.md": f"{markdown(tables[name])}\n".encode() for name in MARKDOWN_TABLES if name in tables}
    contents["trials.csv"] = csv_bytes(trial_table(report.trials))
    for picture in report.pictures:
        contents |= {f"{picture.name}.png": picture.png, f"{picture.name}.svg": picture.svg}
    contents |= size_files(report.sizes)
    if report.learned is not None:
        contents |= dict(zip(("learned_features.png", "learned_features.svg"), report.learned, strict=True))
    return contents | {"report.html": render(report).encode()}
