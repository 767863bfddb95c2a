"""`nefstudy replay | logs | predict`: commands for a single trial."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from nefstudy.cli.options import echo_json, load_script, locations_of, open_ledger
from nefstudy.flags import Json, LedgerUrl, Root
from nefstudy.terminal import Terminal, say

Key = Annotated[
    str, typer.Argument(metavar="KEY", help="Key of the trial, as shown by the study page, MLflow and `--json`.")
]


def add_trials(cli: typer.Typer) -> None:
    """Add the commands for a single trial."""
    cli.command()(replay)
    cli.command()(logs)
    cli.command()(predict)


def replay(  # noqa: PLR0917  # typer calls it by keyword
    key: Key,
    script: Annotated[
        str | None, typer.Option(help="Study script, for a trial that uses custom fields, tasks or other code.")
    ] = None,
    scratch: Annotated[
        Path | None,
        typer.Option(help="Folder for the computation, emptied afterwards; by default the system's temporary folder."),
    ] = None,
    root: Root = None,
    ledger: LedgerUrl = None,
    as_json: Json = False,
) -> None:
    """Recompute a finished trial from the ledger and compare the results; nothing under the root is modified.

    With the same fingerprint (engine, torch, device class) and libraries, the bytes of the neural dataset and all
    metrics must be equal; otherwise metrics must agree within the tolerances in the table. Exits with 0 if they
    do, 1 if they differ, 2 if the trial or its signals are missing.
    """
    import dataclasses

    from nefstudy.errors import ReplayDiffers
    from nefstudy.study.exchange.replay import replay as replayed
    from nefstudy.study.exchange.replay import replay_table

    with open_ledger(root, ledger) as book:
        found = replayed(book, key, scratch=scratch, **_code_of(script))
    if as_json:
        echo_json(dataclasses.asdict(found) | {"same": found.same})
    else:
        Terminal().print(replay_table(found))
    if not found.same:
        names = ", ".join(line.what for line in found.lines if not line.same)
        raise ReplayDiffers(f"trial {key} differs in {names}; compare the conditions listed above")
    if not as_json:
        say("equal" if found.exact else "equal within tolerance")


def logs(
    key: Key,
    lines: Annotated[int | None, typer.Option(min=1, help="Show only the last N lines.")] = None,
    root: Root = None,
    ledger: LedgerUrl = None,
    as_json: Json = False,
) -> None:
    """Show a trial's log: epochs, warnings and the traceback of a failure.

    One log holds all attempts, up to one megabyte per trial (the older half is dropped first). Your own code writes
    to it with `logging.getLogger("nefstudy.mine").info(...)`.
    """
    from nefstudy.errors import BadConfig
    from nefstudy.paths import log_path
    from nefstudy.trial.log import read_log

    locations = locations_of(root, ledger)
    said = read_log(locations.root, key, lines=lines)
    with open_ledger(root, ledger) as book:
        row = book.trials.get(key)
    if not said and row is None:
        raise BadConfig(
            f"trial {key}: neither in the ledger nor with a log in {locations.root}; correct the key or --root"
        )
    if as_json:
        echo_json({"key": key, "state": row and row.state, "error": row and row.error, "lines": said})
        return
    say("\n".join(said) if said else f"{log_path(key)}: no log; the trial has not run under this root")
    if row is not None and row.error:
        say(f"{row.state} ({row.cause}): {row.error}", err=True)


def predict(  # noqa: PLR0917  # typer calls it by keyword
    key: Key,
    dataset: Annotated[
        str | None, typer.Option(help="Digest of another neural dataset of the same field; the trial's own by default.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Step count to classify; the trial's own by default.")] = None,
    split: Annotated[str, typer.Option(help="Split to classify: train, val or test.")] = "test",
    out: Annotated[Path | None, typer.Option(help="CSV file for the predictions, one row per signal.")] = None,
    script: Annotated[
        str | None, typer.Option(help="Study script, for a trial that uses custom fields or classifiers.")
    ] = None,
    root: Root = None,
    ledger: LedgerUrl = None,
    as_json: Json = False,
) -> None:
    """Apply a trial's saved classifier to a neural dataset, and show its accuracy and predictions.

    nefstudy predict KEY --dataset DIGEST --split test --out predictions.csv
    """
    import csv

    from nefstudy.errors import BadConfig
    from nefstudy.neural_dataset.show import resolve_digest
    from nefstudy.tasks.standalone import predict as predicted_by

    locations = locations_of(root, ledger)
    with open_ledger(root, ledger) as book:
        row = book.trials.get(key)
    if row is None:
        raise BadConfig(f"trial {key}: not in the ledger; pass a key from `nefstudy status --json`")
    digest = None if dataset is None else resolve_digest(locations.root, dataset)
    catalogs = _code_of(script).get("catalogs")
    found = predicted_by(
        locations.root, key, config=row.config, dataset=digest, steps=steps, split=cast(Any, split), catalogs=catalogs
    )
    rows = found.rows()
    if out is not None:
        with out.open("w", newline="") as file:
            table = csv.DictWriter(file, fieldnames=list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    summary = {"key": key, "dataset": found.dataset, "steps": found.steps, "split": found.split}
    low, high = found.interval
    if as_json:
        echo_json(summary | {"n": len(rows), "accuracy": found.accuracy, "interval": [low, high], "predictions": rows})
        return
    say(
        f"{found.split} accuracy {found.accuracy:.3f} (n = {len(rows)}, 95 % interval {low:.3f} to {high:.3f}) "
        f"on neural dataset {found.dataset} at {found.steps} steps"
    )
    if out is not None:
        say(f"predictions: {out}")


def _code_of(script: str | None) -> dict[str, Any]:
    """Return the catalogs and tasks that a study script defines."""
    if script is None:
        return {}
    from nefstudy.study.options import StudyOptions

    plan = load_script(script)(StudyOptions())
    return {"catalogs": plan.catalogs, "tasks": plan.tasks}
