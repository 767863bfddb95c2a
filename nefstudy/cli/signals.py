"""`nefstudy signals ...`: list the catalog, show one set of signals, and check your own data."""

from pathlib import Path
from typing import Annotated

import typer

from nefstudy.cli.options import echo_json
from nefstudy.errors import BadConfig
from nefstudy.flags import Json
from nefstudy.scalars import Scalar
from nefstudy.terminal import Terminal, say

signals = typer.Typer(no_args_is_help=True, help="List the catalog of signals, show a set, check your own data.")

Options = Annotated[
    list[str] | None, typer.Option("--option", help="Option of the source, NAME=VALUE; can be repeated.")
]


@signals.command("ls")
def signals_ls(as_json: Json = False) -> None:
    """List the sources of signals by the names that cells use."""
    from nefstudy.signals.show import catalog_rows, catalog_table

    rows = catalog_rows()
    echo_json(rows) if as_json else Terminal().print(catalog_table(rows))


@signals.command("show")
def signals_show(  # noqa: PLR0917  # typer calls it by keyword
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name from the catalog, such as mnist5k.")],
    option: Options = None,
    subset: Annotated[int | None, typer.Option(min=1, help="Use only N signals, stratified by class.")] = None,
    without_test: Annotated[
        bool, typer.Option("--without-test", help="Leave out the test signals and validate on more, as a search does.")
    ] = False,
    sheet: Annotated[Path | None, typer.Option(help="PNG file for a contact sheet, one row per class.")] = None,
    baseline: Annotated[bool, typer.Option(help="Train logistic regression on the raw signals.")] = True,
    as_json: Json = False,
) -> None:
    """Show one set of signals: size, classes by split, license, content hash, baseline accuracy and pictures."""
    from nefstudy.config import SignalsConfig, parse
    from nefstudy.signals.catalog import load_signals
    from nefstudy.signals.show import class_sheet, summary, summary_card

    asked = {"name": name, "subset": subset, "options": parsed_options(option), "without_test": without_test}
    config = parse(SignalsConfig, asked, where="signals")
    found = summary(config, baseline=baseline)
    if sheet is not None:
        sheet.write_bytes(class_sheet(load_signals(config)))
        found["sheet"] = str(sheet)
    echo_json(found) if as_json else Terminal().print(summary_card(found))


@signals.command("check")
def signals_check(
    location: Annotated[str, typer.Argument(metavar="LOCATION", help="A folder, file or URI of signals.")],
    source: Annotated[str | None, typer.Option(help="Reader to use; by default detected from the files.")] = None,
    option: Options = None,
    as_json: Json = False,
) -> None:
    """Read and check a whole data set; exit with code 2 and say how to fix it if there is a problem."""
    from nefstudy.signals.show import check_location, leak_warning

    found = check_location(location, options=parsed_options(option), source=source)
    if as_json:
        echo_json(found)
    else:
        split = ", ".join(f"{count} {part}" for part, count in found["split"].items())
        say(f"{location}: {found['signals']} signals of {len(found['classes'])} classes ({split}), all valid")
        if found["test_signals_in_train"]:
            say(f"warning: {leak_warning(found['test_signals_in_train'])}", err=True)


def parsed_options(given: list[str] | None) -> dict[str, Scalar]:
    """Parse NAME=VALUE options; whole numbers become integers.

    Raises:
        BadConfig: an option without a name or a value.
    """
    options: dict[str, Scalar] = {}
    for text in given or ():
        name, _, value = text.partition("=")
        if not name or not value:
            raise BadConfig(f"--option {text!r} is not NAME=VALUE, such as size=32; correct it")
        options[name] = int(value) if value.lstrip("-").isdigit() else value
    return options
