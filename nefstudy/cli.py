"""`nefstudy ...`: plan a study, watch it, serve it, look into its neural datasets, export and report.

Thin: each command opens what it needs and calls one function; heavy libraries are imported by the command
that uses them, so that `nefstudy status` answers in a second.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from nefstudy import __version__
from nefstudy.errors import BadConfig, NefstudyError

cli = typer.Typer(
    name="nefstudy",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Studies of neural-field representations. A study runs by its script (python studies/phase1.py); "
    "these commands plan it, show where it stands, serve it, and look at what it made.",
)
dataset = typer.Typer(no_args_is_help=True, help="Neural datasets: list, show, verify, export.")
export = typer.Typer(no_args_is_help=True, help="Carry the ledger's trials to other tools.")
cli.add_typer(dataset, name="dataset")
cli.add_typer(export, name="export")

Root = Annotated[str | None, typer.Option(help="The study's root (NEFSTUDY_ROOT, else ./runs).")]
LedgerUrl = Annotated[str | None, typer.Option(help="URL of the ledger (NEFSTUDY_LEDGER, else ROOT/ledger.db).")]
Json = Annotated[bool, typer.Option("--json", help="Print plain JSON instead of tables.")]


def app() -> None:
    """Entry point: errors of ours become one line and their exit code."""
    try:
        cli()
    except NefstudyError as error:
        Console(stderr=True).print(f"error: {error}", style="red", soft_wrap=True, highlight=False, markup=False)
        sys.exit(error.exit_code)


@cli.callback(invoke_without_command=True)
def root_options(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Options of `nefstudy` itself."""
    if version:
        typer.echo(__version__)
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
    from nefstudy.service.progress import status as status_of

    with _ledger(root, ledger) as book:
        found = status_of(book)
    if as_json:
        _echo_json(found.model_dump(mode="json"))
        return
    from nefstudy.service.tables import status_tables

    for table in status_tables(found):
        Console().print(table)


@cli.command()
def serve(
    root: Root = None,
    ledger: LedgerUrl = None,
    host: Annotated[str, typer.Option(help="Address to bind; beyond loopback a token is required.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to bind; 0 picks a free one.")] = 8000,
    token: Annotated[str | None, typer.Option(envvar="NEFSTUDY_API_TOKEN", help="Bearer token to ask for.")] = None,
) -> None:
    """Serve the study page at / and the REST API under /v1, from the ledger alone."""
    from nefstudy.service.server import serve as listen

    place = _place(root, ledger)
    listen(
        place.ledger,
        host=host,
        port=port,
        token=token,
        root=place.root if place.local else None,
        announce=lambda url: typer.echo(f"study page and REST API: {url}   (Ctrl-C ends it)", err=True),
    )


@cli.command()
def report(
    study: Annotated[str, typer.Argument(help="Name of the study.")],
    root: Root = None,
    ledger: LedgerUrl = None,
    out: Annotated[Path | None, typer.Option(help="Directory to write to; ROOT/reports/STUDY by default.")] = None,
    as_json: Json = False,
) -> None:
    """Write the study's report: one self-contained HTML page, figures and CSV tables, from the ledger alone."""
    from nefstudy.report.report import write_report

    place = _place(root, ledger)
    with _ledger(root, ledger) as book:
        page = write_report(book, study, root=place.root, out=out or Path(place.root) / "reports" / study)
    _echo_json({"report": str(page)}) if as_json else typer.echo(str(page))


@export.command("mlflow")
def export_mlflow(
    root: Root = None,
    ledger: LedgerUrl = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Write every trial again, not only those waiting.")
    ] = False,
    study: Annotated[str | None, typer.Option(help="Only this study (with --rebuild).")] = None,
    as_json: Json = False,
) -> None:
    """Bring MLflow up to date with the ledger: one run per trial, written once."""
    from nefstudy import tracking
    from nefstudy.ledger import Ledger

    place = _place(root, ledger)
    with Ledger.open(place.ledger) as book:
        if rebuild:
            written = tracking.rebuild(book, tracking_uri=place.mlflow, root=place.root, study=study)
        else:
            waiting = book.outbox_size()
            written = waiting - tracking.drain(book, tracking_uri=place.mlflow, root=place.root)
        left = book.outbox_size()
    if as_json:
        _echo_json({"written": written, "left": left, "mlflow": place.mlflow})
    else:
        typer.echo(f"{written} runs written to {place.mlflow}, {left} waiting")


@dataset.command("ls")
def dataset_ls(root: Root = None, as_json: Json = False) -> None:
    """List the neural datasets under the root."""
    from nefstudy.neural_dataset.show import dataset_rows, dataset_table

    rows = dataset_rows(_place(root, None).root)
    _echo_json(rows) if as_json else Console().print(dataset_table(rows))


Digest = Annotated[str, typer.Argument(help="Digest of the neural dataset, or the beginning of one.")]


@dataset.command("show")
def dataset_show(digest: Digest, root: Root = None, as_json: Json = False) -> None:
    """Show one neural dataset: recipe, field, rungs with their quality, fingerprint."""
    from nefstudy.neural_dataset.show import dataset_card, dataset_summary

    card = dataset_summary(_place(root, None).root, digest)
    _echo_json(card) if as_json else Console().print(dataset_card(card))


@dataset.command("verify")
def dataset_verify(digest: Digest, root: Root = None, as_json: Json = False) -> None:
    """Check every shard of a neural dataset against its manifest; exit 2 names the first that differs."""
    from nefstudy.neural_dataset.show import resolve_digest, verify_dataset

    place = _place(root, None)
    found = verify_dataset(place.root, resolve_digest(place.root, digest))
    _echo_json(found) if as_json else typer.echo(f"{found['dataset']}: {found['shards']} shards verify")


@dataset.command("export")
def dataset_export(
    digest: Digest,
    out: Annotated[Path, typer.Argument(help="File to write: .safetensors or .npz.")],
    steps: Annotated[int | None, typer.Option(help="The rung to export; the longest by default.")] = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Write one rung as a single file of arrays: parameters, labels, split, ids."""
    from nefstudy.neural_dataset.show import export_rung, resolve_digest

    place = _place(root, None)
    written = export_rung(place.root, resolve_digest(place.root, digest), out, steps=steps)
    _echo_json(written) if as_json else typer.echo(f"{written['fields']} fields at {written['steps']} steps: {out}")


def _place(root: str | None, ledger: str | None) -> Any:
    from nefstudy.study.place import resolve_place

    return resolve_place(root, ledger, environment=os.environ)


def _ledger(root: str | None, ledger: str | None) -> Any:
    from nefstudy.ledger import Ledger

    return Ledger.open(_place(root, ledger).ledger, read_only=True)


def _echo_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))
