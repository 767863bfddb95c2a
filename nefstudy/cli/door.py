"""What every command shares: the flags that say where, and how it answers."""

import json
import os
from typing import Annotated, Any

import typer

from nefstudy.ledger import Ledger
from nefstudy.outside_text import without_secrets
from nefstudy.study.place import Place, resolve_place

Root = Annotated[str | None, typer.Option(help="The study's root (NEFSTUDY_ROOT, else ./runs).")]
LedgerUrl = Annotated[str | None, typer.Option(help="URL of the ledger (NEFSTUDY_LEDGER, else ROOT/ledger.db).")]
Json = Annotated[bool, typer.Option("--json", help="Print plain JSON instead of tables.")]


def place_of(root: str | None, ledger: str | None = None) -> Place:
    """The place named by flags or environment."""
    return resolve_place(root, ledger, environment=os.environ)


def open_ledger(root: str | None, ledger: str | None, *, read_only: bool = True) -> Ledger:
    """The ledger of a place, which must be there already.

    Raises:
        BadLedger: it is missing, unreadable or of a newer version.
    """
    url = place_of(root, ledger).ledger
    if not read_only:
        Ledger.open(url, read_only=True).close()  # a command about a study makes no new ledger
    return Ledger.open(url, read_only=read_only)


def echo_json(value: Any) -> None:
    """Print plain data for scripts, its texts without secrets."""
    typer.echo(json.dumps(_shown(value), indent=2))


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, dict):
        return {name: _shown(inner) for name, inner in value.items()}
    return [_shown(inner) for inner in value] if isinstance(value, list | tuple) else value
