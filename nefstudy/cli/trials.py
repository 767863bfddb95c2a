"""`nefstudy replay | logs`: one trial, looked at closely."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nefstudy.cli.door import Json, LedgerUrl, Root, echo_json, open_ledger, place_of
from nefstudy.terminal import Terminal, say

Key = Annotated[str, typer.Argument(help="Key of the trial, as the study page, MLflow and `--json` answers give it.")]


def add_trials(cli: typer.Typer) -> None:
    """Add the commands about a single trial."""
    cli.command()(replay)
    cli.command()(logs)


def replay(  # noqa: PLR0917  # typer calls it by keyword
    key: Key,
    script: Annotated[
        str | None, typer.Option(help="Study script, for a trial that uses custom fields, tasks or other code.")
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
        found = replayed(book, key, scratch=scratch, **_code_of(script))
    if as_json:
        echo_json(dataclasses.asdict(found) | {"same": found.same})
    else:
        Terminal().print(replay_table(found))
    if not found.same:
        names = ", ".join(line.what for line in found.lines if not line.same)
        raise ReplayDiffers(f"trial {key} came out otherwise: {names}; compare the conditions named above")
    if not as_json:
        say("the same" if found.exact else "the same within tolerance")


def logs(
    key: Key,
    lines: Annotated[int | None, typer.Option(min=1, help="Only the last so many lines.")] = None,
    root: Root = None,
    ledger: LedgerUrl = None,
    as_json: Json = False,
) -> None:
    """Show what a trial said while it ran: its epochs, its warnings, the traceback of a failure.

    All attempts are in one log, up to a megabyte a trial (the older half goes first). A field or classifier of
    your own adds to it by `logging.getLogger("nefstudy.mine").info(...)`.
    """
    from nefstudy.errors import BadConfig
    from nefstudy.paths import log_path
    from nefstudy.trial.log import read_log

    place = place_of(root, ledger)
    said = read_log(place.root, key, lines=lines)
    with open_ledger(root, ledger) as book:
        row = book.trials.get(key)
    if not said and row is None:
        raise BadConfig(f"trial {key}: neither in the ledger nor with a log at {place.root}; correct the key or --root")
    if as_json:
        echo_json({"key": key, "state": row and row.state, "error": row and row.error, "lines": said})
        return
    say("\n".join(said) if said else f"{log_path(key)}: nothing; the trial has not run under this root")
    if row is not None and row.error:
        say(f"{row.state} ({row.cause}): {row.error}", err=True)


def _code_of(script: str | None) -> dict[str, Any]:
    """Return the catalogs and tasks that a study script brings along."""
    if script is None:
        return {}
    from nefstudy.cli.main import load_script
    from nefstudy.study.options import StudyOptions

    plan = load_script(script)(StudyOptions())
    return {"catalogs": plan.catalogs, "tasks": plan.tasks}
