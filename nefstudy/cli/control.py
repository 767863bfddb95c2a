"""`nefstudy pause | resume | stop | enqueue | retry | withdraw | concurrency`: control a running study."""

import json
from typing import Annotated, Any

import typer

from nefstudy.cli.options import echo_json, open_ledger
from nefstudy.errors import BadConfig
from nefstudy.flags import Json, LedgerUrl, Root
from nefstudy.terminal import say

Study = Annotated[str, typer.Argument(metavar="STUDY", help="Name of the study.")]


def add_control(cli: typer.Typer) -> None:
    """Add the commands that control a study. Each appends a command to the ledger for the driver."""
    cli.command()(pause)
    cli.command()(resume)
    cli.command()(stop)
    cli.command()(enqueue)
    cli.command()(retry)
    cli.command()(withdraw)
    cli.command()(concurrency)


def pause(study: Study, root: Root = None, ledger: LedgerUrl = None, as_json: Json = False) -> None:
    """Stop starting new trials; running trials finish."""
    _ask(study, "pause", {}, root=root, ledger=ledger, as_json=as_json)


def resume(study: Study, root: Root = None, ledger: LedgerUrl = None, as_json: Json = False) -> None:
    """Resume a paused study. To resume a study whose driver has ended, run its script again."""
    _ask(study, "resume", {}, root=root, ledger=ledger, as_json=as_json)


def stop(study: Study, root: Root = None, ledger: LedgerUrl = None, as_json: Json = False) -> None:
    """Stop the driver once its running trials have finished; run its script again to resume."""
    _ask(study, "stop", {}, root=root, ledger=ledger, as_json=as_json)


def enqueue(  # noqa: PLR0917  # typer calls it by keyword
    study: Study,
    cell: Annotated[str, typer.Argument(metavar="CELL", help="Cell of the trial, as signals/field.")],
    point: Annotated[
        str, typer.Argument(metavar="POINT", help='Its parameters as JSON: \'{"init": "shared", "steps": 75}\'.')
    ],
    phase: Annotated[
        str | None, typer.Option(help="Phase of the trial; required if the study has several phases.")
    ] = None,
    root: Root = None,
    ledger: LedgerUrl = None,
    as_json: Json = False,
) -> None:
    """Queue a trial with given parameter values to run next. Parameters that the plan fixes can be omitted."""
    try:
        values = json.loads(point)
    except ValueError as error:
        raise BadConfig(f"point {point!r} is not JSON ({error}); quote it for the shell") from None
    body = ({} if phase is None else {"phase": phase}) | {"cell": cell, "point": values}
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
    """Retry failed trials, now or when the next driver starts."""
    _ask(study, "retry", {} if cause is None else {"cause": cause}, root=root, ledger=ledger, as_json=as_json)


def withdraw(  # noqa: PLR0917  # typer calls it by keyword
    key: Annotated[str, typer.Argument(metavar="KEY", help="Key of a trial that is queued or running.")],
    study: Annotated[
        str | None,
        typer.Option(help="Its study; needed if several studies have an unfinished or failed trial with this key."),
    ] = None,
    phase: Annotated[str | None, typer.Option(help="Only the trial of this phase.")] = None,
    root: Root = None,
    ledger: LedgerUrl = None,
    as_json: Json = False,
) -> None:
    """Withdraw a queued trial or end a running one: it becomes FAILED (withdrawn), and `retry` runs it again.

    Takes effect at once, or when the next driver starts.
    """
    if study is None:
        study = _study_of(key, root=root, ledger=ledger)
    body = {"key": key} | ({} if phase is None else {"phase": phase})
    _ask(study, "withdraw", body, root=root, ledger=ledger, as_json=as_json)


def _study_of(key: str, *, root: str | None, ledger: str | None) -> str:
    """Return the study that has an unfinished or failed trial with the given key."""
    from nefstudy.ledger import TrialState

    with open_ledger(root, ledger) as book:
        rows = [row for one in book.studies.all() if (row := book.trials.get(key, study=one.study)) is not None]
    found = [row.study for row in rows if row.state not in (TrialState.COMPLETE, TrialState.PRUNED)]
    if len(found) == 1:
        return found[0]
    if found:
        raise BadConfig(f"trial {key!r} is in the studies {', '.join(found)}; name one with --study")
    states = ", ".join(f"{row.state} in {row.study}" for row in rows) or "not in this ledger"
    raise BadConfig(f"trial {key!r} is {states}; pass the key of a trial that is queued or running")


def concurrency(
    study: Study,
    trials: Annotated[int, typer.Argument(metavar="TRIALS", min=1, help="Maximum number of trials to run at once.")],
    root: Root = None,
    ledger: LedgerUrl = None,
    as_json: Json = False,
) -> None:
    """Limit how many trials run at once, below the capacity of the cluster.

    A large number lifts the limit; the --concurrency of the study's script still applies.
    """
    _ask(study, "concurrency", {"trials": trials}, root=root, ledger=ledger, as_json=as_json)


def _ask(study: str, verb: str, body: dict[str, Any], *, root: str | None, ledger: str | None, as_json: bool) -> None:
    from nefstudy.insight.declared import check_cell, declarations

    with open_ledger(root, ledger, read_only=False) as book:
        if (row := book.studies.get(study)) is None:
            names = ", ".join(row.study for row in book.studies.all()) or "none yet"
            raise BadConfig(f"unknown study {study!r}: the ledger holds {names}; name one of them")
        if verb == "enqueue":
            phases = declarations(row.plan).phases()
            if "phase" not in body and len(phases) > 1:
                raise BadConfig(f"study {study!r} has the phases {', '.join(phases)}; name one with --phase")
            body = ({"phase": phases[0]} if phases else {}) | body
            check_cell(row.plan, body)
        command = book.commands.append(study, verb, body=body)
        driver = book.leases.holder(study)
    if as_json:
        echo_json({"id": command.id, "study": study, "verb": verb, "body": body, "driver": driver is not None})
    else:
        say(f"{verb}: sent to the driver of {study}" if driver else f"{verb}: recorded; no driver is running {study}")
