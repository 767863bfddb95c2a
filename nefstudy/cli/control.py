"""`nefstudy pause | resume | stop | enqueue | retry | concurrency`: ask something of a study's driver."""

import json
from typing import Annotated, Any

import typer

from nefstudy.cli.door import Json, LedgerUrl, Root, echo_json, open_ledger
from nefstudy.errors import BadConfig
from nefstudy.terminal import say

Study = Annotated[str, typer.Argument(help="Name of the study.")]


def add_control(cli: typer.Typer) -> None:
    """Add the commands that steer a study; each appends to the ledger what the driver then obeys."""
    cli.command()(pause)
    cli.command()(resume)
    cli.command()(stop)
    cli.command()(enqueue)
    cli.command()(retry)
    cli.command()(concurrency)


def pause(study: Study, root: Root = None, ledger: LedgerUrl = None, as_json: Json = False) -> None:
    """Ask the driver to start no further trial; those under way end."""
    _ask(study, "pause", {}, root=root, ledger=ledger, as_json=as_json)


def resume(study: Study, root: Root = None, ledger: LedgerUrl = None, as_json: Json = False) -> None:
    """Ask a paused driver to go on. (A driver that ended is continued by running its script again.)"""
    _ask(study, "resume", {}, root=root, ledger=ledger, as_json=as_json)


def stop(study: Study, root: Root = None, ledger: LedgerUrl = None, as_json: Json = False) -> None:
    """Ask the driver to end once the trials under way have; running its script again continues the study."""
    _ask(study, "stop", {}, root=root, ledger=ledger, as_json=as_json)


def enqueue(  # noqa: PLR0917  # typer calls it by keyword
    study: Study,
    cell: Annotated[str, typer.Argument(help="Cell of the trial, as signals/field.")],
    point: Annotated[str, typer.Argument(help='Its parameters as JSON: \'{"start": "shared", "steps": 75}\'.')],
    phase: Annotated[str, typer.Option(help="Phase of the trial.")] = "phase1",
    root: Root = None,
    ledger: LedgerUrl = None,
    as_json: Json = False,
) -> None:
    """Ask the driver to run a point of your choice next; what the plan fixes need not be given."""
    try:
        values = json.loads(point)
    except ValueError as error:
        raise BadConfig(f"point {point!r} is not JSON ({error}); quote it for the shell") from None
    body = {"phase": phase, "cell": cell, "point": values}
    _ask(study, "enqueue", body, root=root, ledger=ledger, as_json=as_json)


def retry(
    study: Study,
    cause: Annotated[
        str | None, typer.Option(help="Only trials that failed for this cause: oom, disk, bug, ...")
    ] = None,
    root: Root = None,
    ledger: LedgerUrl = None,
    as_json: Json = False,
) -> None:
    """Put failed trials back; a driver obeys at once, or the next one does when it starts."""
    _ask(study, "retry", {} if cause is None else {"cause": cause}, root=root, ledger=ledger, as_json=as_json)


def concurrency(
    study: Study,
    trials: Annotated[int, typer.Argument(min=1, help="Trials at once.")],
    root: Root = None,
    ledger: LedgerUrl = None,
    as_json: Json = False,
) -> None:
    """Bound how many trials run at once, below what the cluster would hold."""
    _ask(study, "concurrency", {"trials": trials}, root=root, ledger=ledger, as_json=as_json)


def _ask(study: str, verb: str, body: dict[str, Any], *, root: str | None, ledger: str | None, as_json: bool) -> None:
    with open_ledger(root, ledger, read_only=False) as book:
        if book.study(study) is None:
            names = ", ".join(row.study for row in book.studies()) or "none yet"
            raise BadConfig(f"unknown study {study!r}: the ledger holds {names}; name one of them")
        command = book.append_command(study, verb, body=body)
        driver = book.holder(study)
    if as_json:
        echo_json({"id": command.id, "study": study, "verb": verb, "body": body, "driver": driver is not None})
    else:
        say(f"{verb}: asked the driver of {study}" if driver else f"{verb}: noted; no driver is at work on {study}")
