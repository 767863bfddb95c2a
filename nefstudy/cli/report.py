"""`nefstudy report`: one study, or a comparison of two, as a self-contained page."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from nefstudy.cli.options import echo_json, locations_of, open_ledger
from nefstudy.errors import BadConfig
from nefstudy.flags import Json, LedgerUrl, Root
from nefstudy.paths import comparison_path, folder_below, report_path
from nefstudy.terminal import say


def add_report(cli: typer.Typer) -> None:
    """Add the report command."""
    cli.command()(report)


def report(  # noqa: PLR0917  # typer calls it by keyword
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Name of the study.")],
    other: Annotated[str | None, typer.Argument(metavar="OTHER", help="Second study, for a comparison.")] = None,
    root: Root = None,
    ledger: LedgerUrl = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory to write to; by default ROOT/reports/STUDY, or STUDY..OTHER for two.")
    ] = None,
    other_root: Annotated[str | None, typer.Option(help="Root of the second study, if different.")] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="Pair trials that may differ in this part, such as classifier or init; can be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a study's report: one self-contained HTML page, figures and CSV tables, from the ledger alone.

    With two studies, compare them: paired differences of trials that both have run, with 95 % intervals, and each
    cell's best and mean. Two trials are paired if their configurations are equal; `--without classifier` also pairs
    trials that differ only in their classifier.
    """
    locations = locations_of(root, ledger)
    if other is None:
        if other_root or without:
            raise BadConfig("--other-root and --without apply to two studies; name the second one too")
        from nefstudy.report.report import write_report

        with open_ledger(root, ledger) as book:
            page = write_report(
                book, study, root=locations.root, out=out or folder_below(locations.root, report_path(study))
            )
    else:
        from nefstudy.report.comparison_page import compare, write_comparison

        with ExitStack() as opened:
            left = opened.enter_context(open_ledger(root, ledger))
            right = opened.enter_context(open_ledger(other_root, None)) if other_root else left
            found = compare((left, study), (right, other), without=without or ())
        page = write_comparison(found, out or folder_below(locations.root, comparison_path(study, other)))
    echo_json({"report": str(page)}) if as_json else say(str(page))
