"""`nefstudy replay`: one trial, looked at closely."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from nefstudy.cli.door import Json, LedgerUrl, Root, echo_json, open_ledger

if TYPE_CHECKING:
    from nefstudy.trial.experiment import Choices

Key = Annotated[str, typer.Argument(help="Key of the trial, as the study page, MLflow and `--json` answers give it.")]


def add_trials(cli: typer.Typer) -> None:
    """Add the commands about a single trial."""
    cli.command()(replay)


def replay(  # noqa: PLR0917  # typer calls it by keyword
    key: Key,
    script: Annotated[
        str | None, typer.Option(help="Study script, for a trial with fields, classifiers or signals of its own.")
    ] = None,
    scratch: Annotated[
        Path | None, typer.Option(help="Folder to compute in; the system's own by default. Emptied afterwards.")
    ] = None,
    root: Root = None,
    ledger: LedgerUrl = None,
    as_json: Json = False,
) -> None:
    """Compute one finished trial again, from the ledger alone, and compare; nothing under the root changes.

    Under the same fingerprint (engine, torch, device class) and libraries, the bytes of the neural dataset and
    every metric must be equal; elsewhere metrics must agree within tolerances that the table states. Ends with 0
    when they do, 1 when they do not, 2 when the trial or its signals are not there.
    """
    import dataclasses

    from nefstudy.errors import ReplayDiffers
    from nefstudy.study.replay import replay as replayed
    from nefstudy.study.replay import replay_table

    with open_ledger(root, ledger) as book:
        found = replayed(book, key, choices=_choices(script), scratch=scratch)
    if as_json:
        echo_json(dataclasses.asdict(found) | {"same": found.same})
    else:
        Console().print(replay_table(found))
    if not found.same:
        names = ", ".join(line.what for line in found.lines if not line.same)
        raise ReplayDiffers(f"trial {key} came out otherwise: {names}; compare the conditions named above")
    if not as_json:
        typer.echo("the same" if found.exact else "the same within tolerance")


def _choices(script: str | None) -> "Choices":
    from nefstudy.trial.experiment import Choices

    if script is None:
        return Choices()
    from nefstudy.cli.main import load_script
    from nefstudy.study.options import StudyOptions

    plan = load_script(script)(StudyOptions())
    return Choices(plan.fields, plan.classifiers, plan.signals)
