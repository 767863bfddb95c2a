"""`nefstudy ...`: plan a study, watch it, serve it, look into its neural datasets, export and report.

Thin: each command opens what it needs and calls one function; heavy libraries are imported by the command
that uses them, so that `nefstudy status` answers in a second.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nefstudy import __version__
from nefstudy.cli.bench import bench
from nefstudy.cli.control import add_control
from nefstudy.cli.datasets import dataset
from nefstudy.cli.door import Json, LedgerUrl, Root, echo_json, open_ledger, place_of
from nefstudy.cli.report import add_report
from nefstudy.cli.signals import signals
from nefstudy.cli.trials import add_trials
from nefstudy.errors import BadConfig
from nefstudy.terminal import Terminal, run_command, say

cli = typer.Typer(
    name="nefstudy",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Studies of neural-field representations. A study runs by its script (python studies/phase1.py); "
    "these commands plan it, show where it stands, serve it, and look at what it made.",
)
export = typer.Typer(no_args_is_help=True, help="Carry the ledger's trials to other tools.")
cli.add_typer(dataset, name="dataset")
cli.add_typer(signals, name="signals")
cli.add_typer(bench, name="bench")
add_control(cli)
add_trials(cli)
add_report(cli)
cli.add_typer(export, name="export")


def app() -> None:
    """Entry point: errors of ours become one line and their exit code."""
    run_command(lambda: cli(standalone_mode=False))


@cli.callback(invoke_without_command=True)
def root_options(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Options of `nefstudy` itself."""
    if version:
        say(__version__)
        raise typer.Exit


@cli.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def plan(context: typer.Context, script: Annotated[str, typer.Argument(help="A study script.")] = "") -> None:
    """Price a study before it runs: trials, fits, field-steps and device-hours, by phase and cell.

    nefstudy plan studies/phase1.py --scale paper --json    (the script's own flags; --help lists them)
    """
    if script in ("", "--help"):
        typer.echo(context.get_help())
        raise typer.Exit
    from nefstudy.study.command import main

    main(load_script(script), about=f"The plan of {script}.", arguments=[*context.args, "--dry-run"])


def load_script(path: str) -> Any:
    """The `plan` function of a study script.

    Raises:
        BadConfig: no such file, or it defines no `plan(options)`.
    """
    file = Path(path)
    if not file.is_file():
        raise BadConfig(f"no study script {path!r}; give the path of one, such as studies/phase1.py")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise BadConfig(f"{path!r} is not a Python file; give the path of a study script, such as studies/phase1.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    if not callable(getattr(module, "plan", None)):
        raise BadConfig(f"{path!r} defines no plan(options) -> StudyPlan; studies/phase1.py shows what a script needs")
    return module.plan


@cli.command()
def status(root: Root = None, ledger: LedgerUrl = None, as_json: Json = False) -> None:
    """Where every study stands: trials by phase and state, pace, time left, the best of each cell."""
    from nefstudy.insight.status import status as status_of

    with open_ledger(root, ledger) as book:
        found = status_of(book)
    if as_json:
        echo_json(found.model_dump(mode="json"))
        return
    from nefstudy.service.tables import status_tables

    for table in status_tables(found):
        Terminal().print(table)


@cli.command()
def serve(  # noqa: PLR0917  # typer calls it by keyword
    root: Root = None,
    ledger: LedgerUrl = None,
    host: Annotated[str, typer.Option(help="Address to bind; beyond loopback a token is required.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to bind; 0 picks a free one.")] = 8000,
    token: Annotated[str | None, typer.Option(envvar="NEFSTUDY_API_TOKEN", help="Bearer token to ask for.")] = None,
    root_path: Annotated[str, typer.Option(help="Path below which a reverse proxy serves it, such as /nef.")] = "",
    forwarded_allow_ips: Annotated[
        str | None,
        typer.Option(
            help="Proxies whose X-Forwarded-Prefix and X-Forwarded-Proto are believed: addresses or networks, or *; "
            "by default this machine's."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Serve the study page at / and the REST API under /v1, from the ledger alone, which may be made later."""
    from nefstudy.service.forwarded import Forwarding
    from nefstudy.service.server import serve as listen

    def announce(url: str, found: bool) -> None:
        if as_json:
            echo_json({"url": url, "ledger": found})
            return
        say(f"study page and REST API: {url}   (Ctrl-C ends it)", err=True)
        if not found:
            shown = place.root if place.local else "the address given"
            say(f"no ledger to read in {shown} yet; it is picked up once a study has made it", err=True)

    place = place_of(root, ledger)
    listen(
        place.ledger,
        host=host,
        port=port,
        token=token,
        root=place.root if place.local else None,
        forwarding=Forwarding.parse(root_path, forwarded_allow_ips),
        announce=announce,
    )


@cli.command()
def handover(  # noqa: PLR0917  # typer calls it by keyword
    script: Annotated[str, typer.Argument(help="The study script of phase 1.")] = "studies/phase1.py",
    study: Annotated[str | None, typer.Option(help="Name of the study; the scale's name when not given.")] = None,
    scale: Annotated[str, typer.Option(help="Scale it was run at.")] = "cpu",
    cells: Annotated[str | None, typer.Option(help="Only these cells, as signals/field,...")] = None,
    root: Root = None,
    ledger: LedgerUrl = None,
    as_json: Json = False,
) -> None:
    """Turn phase 1 into a grid for phase 2: what mattered, which values, beside the paper's Table 3.

    Writes ROOT/handover/STUDY.json, to be edited at will; `studies/phase2.py --from-phase1` runs it.
    """
    from nefstudy.study.handover import handover as found_by
    from nefstudy.study.handover import handover_file, write_handover
    from nefstudy.study.options import StudyOptions

    chosen = None if cells is None else tuple(cells.split(","))
    options = StudyOptions(study=study, scale=scale, cells=chosen, root=root, ledger=ledger)
    with open_ledger(root, ledger) as book:
        found = found_by(book, load_script(script)(options))
    path = handover_file(place_of(root, ledger).root, options.name)
    write_handover(found, path)
    echo_json(found | {"file": str(path)}) if as_json else say(str(path))


@export.command("mlflow")
def export_mlflow(
    root: Root = None,
    ledger: LedgerUrl = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Look for runs that are missing or stale too, and write them again.")
    ] = False,
    study: Annotated[str | None, typer.Option(help="Only this study (with --rebuild).")] = None,
    as_json: Json = False,
) -> None:
    """Bring MLflow up to date with the ledger: one run per trial, written once."""
    from nefstudy import tracking

    place = place_of(root, ledger)
    with open_ledger(root, ledger, read_only=False) as book:
        if rebuild:
            written = tracking.rebuild(book, tracking_uri=place.mlflow, root=place.root, study=study)
        else:
            book.outbox.retry()
            waiting = book.outbox.size()
            written = max(0, waiting - tracking.drain_all(book, tracking_uri=place.mlflow, root=place.root))
        left = book.outbox.size(study if rebuild else None)
    if as_json:
        echo_json({"written": written, "left": left, "mlflow": place.mlflow})
    else:
        say(f"{written} runs written to {place.mlflow}, {left} waiting")


@export.command("optuna")
def export_optuna(  # noqa: PLR0917  # typer calls it by keyword
    out: Annotated[Path, typer.Option(help="SQLite file to write, new or of an earlier export.")],
    study: Annotated[str | None, typer.Option(help="Only this study.")] = None,
    phase: Annotated[str | None, typer.Option(help="Only this phase.")] = None,
    cell: Annotated[str | None, typer.Option(help="Only this cell, as signals/field.")] = None,
    root: Root = None,
    ledger: LedgerUrl = None,
    as_json: Json = False,
) -> None:
    """Write the trials as Optuna studies, one per phase and cell: `optuna-dashboard sqlite:///study.db` shows them.

    Values are validation accuracy, intermediate values its curve by epoch; key and test accuracy are user attributes.
    """
    import dataclasses

    from nefstudy.study.optuna_export import export_optuna as exported

    with open_ledger(root, ledger) as book:
        found = exported(book, out, study=study, phase=phase, cell=cell)
    if as_json:
        echo_json([dataclasses.asdict(one) for one in found])
        return
    for one in found:
        outside = f", {one.outside} outside the declared space left out" if one.outside else ""
        say(f"{one.name}: {one.trials} trials{outside}")
