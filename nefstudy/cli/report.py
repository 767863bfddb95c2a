"""`nefstudy report`: one study, or two side by side, as a page that can be kept and sent."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from nefstudy.cli.door import Json, LedgerUrl, Root, echo_json, open_ledger, place_of
from nefstudy.errors import BadConfig
from nefstudy.paths import comparison_path, folder_below, report_path
from nefstudy.terminal import say


def add_report(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command()(report)


def report(  # noqa: PLR0917  # typer calls it by keyword
    study: Annotated[str, typer.Argument(help="Name of the study.")],
    other: Annotated[str | None, typer.Argument(help="A second study, to compare the first with.")] = None,
    root: Root = None,
    ledger: LedgerUrl = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory to write to; ROOT/reports/STUDY by default, of two STUDY..OTHER.")
    ] = None,
    other_root: Annotated[str | None, typer.Option(help="Root of the second study, if it has another.")] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="Leave this part out when pairing trials, such as classifier or init; repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a study's report: one self-contained HTML page, figures and CSV tables, from the ledger alone.

    With two studies, they are compared: paired differences of what both have run, with 95 % intervals, and each
    cell's best and mean. Pairs are trials of one digest; `--without classifier` pairs what differs in that alone.
    """
    place = place_of(root, ledger)
    if other is None:
        if other_root or without:
            raise BadConfig("--other-root and --without are about two studies; name the second one too")
        from nefstudy.report.report import write_report

        with open_ledger(root, ledger) as book:
            page = write_report(book, study, root=place.root, out=out or folder_below(place.root, report_path(study)))
    else:
        from nefstudy.report.comparison_page import compare, write_comparison

        with ExitStack() as opened:
            left = opened.enter_context(open_ledger(root, ledger))
            right = opened.enter_context(open_ledger(other_root, None)) if other_root else left
            found = compare((left, study), (right, other), without=without or ())
        page = write_comparison(found, out or folder_below(place.root, comparison_path(study, other)))
    echo_json({"report": str(page)}) if as_json else say(str(page))
