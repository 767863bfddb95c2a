"""`nefstudy signals ...`: the catalogue, one set of signals in numbers and pictures, a check of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from nefstudy.cli.door import Json, echo_json
from nefstudy.errors import BadConfig
from nefstudy.scalars import Scalar
from nefstudy.terminal import Terminal, say

signals = typer.Typer(no_args_is_help=True, help="Signals: list the catalogue, show a set, check one's own data.")

Options = Annotated[
    list[str] | None, typer.Option("--option", help="An option of the source, NAME=VALUE; can be repeated.")
]


@signals.command("ls")
def signals_ls(as_json: Json = False) -> None:
    """List the sources of signals by the names that cells use."""
    from nefstudy.signals.show import catalogue_rows, catalogue_table

    rows = catalogue_rows()
    echo_json(rows) if as_json else Terminal().print(catalogue_table(rows))


@signals.command("show")
def signals_show(  # noqa: PLR0917  # typer calls it by keyword
    name: Annotated[str, typer.Argument(help="A name of the catalogue, such as mnist5k.")],
    option: Options = None,
    subset: Annotated[int | None, typer.Option(min=1, help="Only this many, stratified.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet, a row a class, to this PNG file.")] = None,
    baseline: Annotated[bool, typer.Option(help="Train logistic regression on the signals themselves.")] = True,
    as_json: Json = False,
) -> None:
    """Show one set: size, classes by split, license, content hash, baseline accuracy, and its pictures."""
    from nefstudy.config import SignalsConfig, parse
    from nefstudy.signals.catalog import load_signals
    from nefstudy.signals.show import class_sheet, summary, summary_card

    asked = {"name": name, "subset": subset, "options": parsed_options(option)}
    config = parse(SignalsConfig, asked, where="signals")
    found = summary(config, baseline=baseline)
    if sheet is not None:
        sheet.write_bytes(class_sheet(load_signals(config)))
        found["sheet"] = str(sheet)
    echo_json(found) if as_json else Terminal().print(summary_card(found))


@signals.command("check")
def signals_check(
    location: Annotated[str, typer.Argument(help="A folder, file or URI of signals.")],
    source: Annotated[str | None, typer.Option(help="The reader to use; guessed from the files by default.")] = None,
    option: Options = None,
    as_json: Json = False,
) -> None:
    """Read data of one's own and check all of it; exit 2 says what is wrong and how to mend it."""
    from nefstudy.signals.show import check_location

    found = check_location(location, options=parsed_options(option), source=source)
    if as_json:
        echo_json(found)
    else:
        split = ", ".join(f"{count} {part}" for part, count in found["split"].items())
        say(f"{location}: {found['signals']} signals of {len(found['classes'])} classes ({split}), sound")
        if found["test_signals_in_train"]:
            say(
                f"warning: {found['test_signals_in_train']} test signals equal a training signal; remove them", err=True
            )


def parsed_options(given: list[str] | None) -> dict[str, Scalar]:
    """Options from NAME=VALUE; whole numbers become numbers.

    Raises:
        BadConfig: one without a name or a value.
    """
    options: dict[str, Scalar] = {}
    for text in given or ():
        name, _, value = text.partition("=")
        if not name or not value:
            raise BadConfig(f"--option {text!r} is not NAME=VALUE, such as size=32; correct it")
        options[name] = int(value) if value.lstrip("-").isdigit() else value
    return options
