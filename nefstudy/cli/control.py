"""`nefstudy pause | resume | stop | enqueue | retry | withdraw | concurrency`: ask something of a study's driver."""

import json
from typing import Annotated, Any

import typer

from nefstudy.cli.door import Json, LedgerUrl, Root, echo_json, open_ledger
from nefstudy.errors import BadConfig
from nefstudy.ledger import TrialState
from nefstudy.terminal import say

Study = Annotated[str, typer.Argument(help="Name of the study.")]


def add_control(cli: typer.Typer) -> None:
    """Add the commands that steer a study; each appends to the ledger what the driver then obeys."""
    cli.command()(pause)
    cli.command()(resume)
    cli.command()(stop)
    cli.command()(enqueue)
    cli.command()(retry)
    cli.command()(withdraw)
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
    point: Annotated[str, typer.Argument(help='Its parameters as JSON: \'{"init": "shared", "steps": 75}\'.')],
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


def withdraw(  # noqa: PLR0917  # typer calls it by keyword
    key: Annotated[str, typer.Argument(help="Key of a trial that is queued or running.")],
    study: Annotated[str | None, typer.Option(help="Its study, where several have an open trial of this key.")] = None,
    phase: Annotated[str | None, typer.Option(help="Only the trial of this phase.")] = None,
    root: Root = None,
    ledger: LedgerUrl = None,
    as_json: Json = False,
) -> None:
    """Take a queued trial back, or end a running one; its row is FAILED (withdrawn) and `retry` repeats it.

    A driver obeys at once; without one, the next does before it runs anything.
    """
    if study is None:
        study = _study_of(key, root=root, ledger=ledger)
    body = {"key": key} | ({} if phase is None else {"phase": phase})
    _ask(study, "withdraw", body, root=root, ledger=ledger, as_json=as_json)


def _study_of(key: str, *, root: str | None, ledger: str | None) -> str:
    """The study that has a trial of this key which has not ended well."""
    with open_ledger(root, ledger) as book:
        rows = [row for one in book.studies.all() if (row := book.trials.get(key, study=one.study)) is not None]
    found = [row.study for row in rows if row.state not in (TrialState.COMPLETE, TrialState.PRUNED)]
    if len(found) == 1:
        return found[0]
    if found:
        raise BadConfig(f"trial {key!r} is in the studies {', '.join(found)}; name one with --study")
    states = ", ".join(f"{row.state} in {row.study}" for row in rows) or "not in this ledger"
    raise BadConfig(f"trial {key!r} is {states}; give the key of a trial that is queued or running")


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
    from nefstudy.service.control import check_cell

    with open_ledger(root, ledger, read_only=False) as book:
        if (row := book.studies.get(study)) is None:
            names = ", ".join(row.study for row in book.studies.all()) or "none yet"
            raise BadConfig(f"unknown study {study!r}: the ledger holds {names}; name one of them")
        if verb == "enqueue":
            check_cell(row.plan, body)
        command = book.commands.append(study, verb, body=body)
        driver = book.leases.holder(study)
    if as_json:
        echo_json({"id": command.id, "study": study, "verb": verb, "body": body, "driver": driver is not None})
    else:
        say(f"{verb}: asked the driver of {study}" if driver else f"{verb}: noted; no driver is at work on {study}")
