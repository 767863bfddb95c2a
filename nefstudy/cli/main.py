"""The `nefstudy` command: plan, watch and serve studies, inspect neural datasets, export and report.

Each command opens what it needs and calls one function. Heavy libraries are imported by the command that uses them,
so that `nefstudy status` responds in a second.
"""

from pathlib import Path
from typing import Annotated

import typer

from nefstudy import __version__
from nefstudy.cli.bench import bench
from nefstudy.cli.control import add_control
from nefstudy.cli.datasets import dataset
from nefstudy.cli.options import echo_json, load_script, locations_of, open_ledger
from nefstudy.cli.report import add_report
from nefstudy.cli.signals import signals
from nefstudy.cli.trials import add_trials
from nefstudy.flags import Json, LedgerUrl, Root
from nefstudy.terminal import Terminal, run_command, say

cli = typer.Typer(
    name="nefstudy",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Studies of neural-field representations. Run a study with its script (python studies/phase1.py). "
    "These commands plan, watch, control and serve it, and inspect its results.",
)
export = typer.Typer(no_args_is_help=True, help="Export trials to MLflow and Optuna.")
cli.add_typer(dataset, name="dataset")
cli.add_typer(signals, name="signals")
cli.add_typer(bench, name="bench")
cli.add_typer(export, name="export")


def app() -> None:
    """Run the command; print errors as one line and exit with their exit code."""
    run_command(lambda: cli(standalone_mode=False))


@cli.callback(invoke_without_command=True)
def root_options(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Handle the options of `nefstudy` itself."""
    if version:
        say(__version__)
        raise typer.Exit


@cli.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def plan(
    context: typer.Context, script: Annotated[str, typer.Argument(metavar="SCRIPT", help="A study script.")] = ""
) -> None:
    """Estimate a study before it runs: trials, fits, field-steps and device-hours, by phase and cell.

    Takes the flags of the script: python SCRIPT --help.

    nefstudy plan studies/phase1.py --scale paper --json
    """
    if script in ("", "--help"):
        typer.echo(context.get_help())
        raise typer.Exit
    from nefstudy.study.command import main

    about, program = f"The plan of {script}.", f"nefstudy plan {script}"
    main(load_script(script), about=about, program=program, arguments=[*context.args, "--dry-run"])


@cli.command()
def status(root: Root = None, ledger: LedgerUrl = None, as_json: Json = False) -> None:
    """Show the status of all studies: trials by phase and state, speed, time left and each cell's best trial."""
    from nefstudy.insight.status import status as status_of

    with open_ledger(root, ledger) as book:
        found = status_of(book)
    if as_json:
        echo_json(found.model_dump(mode="json"))
        return
    from nefstudy.service.status_table import status_tables

    for table in status_tables(found):
        Terminal().print(table)


@cli.command()
def serve(  # noqa: PLR0917  # typer calls it by keyword
    root: Root = None,
    ledger: LedgerUrl = None,
    host: Annotated[str, typer.Option(help="Address to bind; a token is required beyond loopback.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to bind; 0 picks a free one.")] = 8000,
    token: Annotated[
        str | None, typer.Option(envvar="NEFSTUDY_API_TOKEN", help="Bearer token that clients must send.")
    ] = None,
    root_path: Annotated[str, typer.Option(help="Path prefix behind a reverse proxy, such as /nef.")] = "",
    forwarded_allow_ips: Annotated[
        str | None,
        typer.Option(
            help="Proxies whose X-Forwarded-Prefix and X-Forwarded-Proto are trusted: addresses, networks or *; "
            "by default this machine."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Serve the study page at / and the REST API under /v1; the ledger may be created later."""
    from nefstudy.service.forwarded import Forwarding
    from nefstudy.service.server import serve as listen

    def announce(url: str, found: bool) -> None:
        if as_json:
            echo_json({"url": url, "ledger": found})
            return
        say(f"study page and REST API: {url}   (Ctrl-C to stop)", err=True)
        if not found:
            shown = locations.root if locations.local else "the given location"
            say(f"no ledger in {shown} yet; it is read once a study has created it", err=True)

    locations = locations_of(root, ledger)
    listen(
        locations.ledger,
        host=host,
        port=port,
        token=token,
        root=locations.root if locations.local else None,
        forwarding=Forwarding.parse(root_path, forwarded_allow_ips),
        announce=announce,
    )


@cli.command()
def handover(  # noqa: PLR0917  # typer calls it by keyword
    script: Annotated[str, typer.Argument(metavar="SCRIPT", help="Study script of phase 1.")] = "studies/phase1.py",
    study: Annotated[str | None, typer.Option(help="Name of the study; the scale's name by default.")] = None,
    scale: Annotated[str, typer.Option(help="Scale of phase 1.")] = "cpu",
    cells: Annotated[str | None, typer.Option(help="Use only these cells, as signals/field,...")] = None,
    root: Root = None,
    ledger: LedgerUrl = None,
    as_json: Json = False,
) -> None:
    """Propose a grid for phase 2 from phase 1: parameters by importance, good values, and the paper's Table 3.

    Writes ROOT/handover/STUDY.json, which you can edit; `studies/phase2.py --from-phase1` runs it.
    """
    from nefstudy.study.exchange.handover import handover as found_by
    from nefstudy.study.exchange.handover import handover_file, write_handover
    from nefstudy.study.options import StudyOptions

    chosen = None if cells is None else tuple(cells.split(","))
    options = StudyOptions(study=study, scale=scale, cells=chosen, root=root, ledger=ledger)
    with open_ledger(root, ledger) as book:
        found = found_by(book, load_script(script)(options))
    path = handover_file(locations_of(root, ledger).root, options.name)
    write_handover(found, path)
    echo_json(found | {"file": str(path)}) if as_json else say(str(path))


@export.command("mlflow")
def export_mlflow(
    root: Root = None,
    ledger: LedgerUrl = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Also write missing runs and rewrite stale ones.")] = False,
    study: Annotated[str | None, typer.Option(help="Export only this study (with --rebuild).")] = None,
    as_json: Json = False,
) -> None:
    """Bring MLflow up to date with the ledger: one run per trial, written once."""
    from nefstudy.tracking import export

    locations = locations_of(root, ledger)
    with open_ledger(root, ledger, read_only=False) as book:
        if rebuild:
            written = export.rebuild(book, tracking_uri=locations.mlflow, root=locations.root, study=study)
        else:
            book.outbox.retry()
            waiting = book.outbox.size()
            written = max(0, waiting - export.drain_all(book, tracking_uri=locations.mlflow, root=locations.root))
        left = book.outbox.size(study if rebuild else None)
    if as_json:
        echo_json({"written": written, "left": left, "mlflow": locations.mlflow})
    else:
        say(f"{written} runs written to {locations.mlflow}, {left} waiting")


@export.command("optuna")
def export_optuna(  # noqa: PLR0917  # typer calls it by keyword
    out: Annotated[Path, typer.Option(help="SQLite file to write; the file of an earlier export is replaced.")],
    study: Annotated[str | None, typer.Option(help="Export only this study.")] = None,
    phase: Annotated[str | None, typer.Option(help="Export only this phase.")] = None,
    cell: Annotated[str | None, typer.Option(help="Export only this cell, as signals/field.")] = None,
    root: Root = None,
    ledger: LedgerUrl = None,
    as_json: Json = False,
) -> None:
    """Export trials as Optuna studies, one per phase and cell, for `optuna-dashboard sqlite:///study.db`.

    Each Optuna value is the objective; intermediate values are its curve by epoch. Key and test accuracy are user
    attributes.
    """
    import dataclasses

    from nefstudy.study.exchange.optuna_export import export_optuna as exported

    with open_ledger(root, ledger) as book:
        found = exported(book, out, study=study, phase=phase, cell=cell)
    if as_json:
        echo_json([dataclasses.asdict(one) for one in found])
        return
    for one in found:
        outside = f", {one.outside} outside the declared space skipped" if one.outside else ""
        say(f"{one.name}: {one.trials} trials{outside}")


# `nefstudy --help` lists commands in the order of these calls: first those above, which plan, watch and serve a study.
add_control(cli)
add_trials(cli)
add_report(cli)
