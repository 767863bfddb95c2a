"""Parts shared by all commands: locations, the ledger, study scripts and JSON output.

Commands import what they run when they run, so that help is shown at once.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nefstudy.errors import BadConfig
from nefstudy.outside_text import without_secrets

if TYPE_CHECKING:
    from nefstudy.ledger import Ledger
    from nefstudy.study.locations import Locations


def locations_of(root: str | None, ledger: str | None = None) -> "Locations":
    """Return the locations given by flags or the environment."""
    from nefstudy.study.locations import resolve_locations

    return resolve_locations(root, ledger, environment=os.environ)


def open_ledger(root: str | None, ledger: str | None, *, read_only: bool = True) -> "Ledger":
    """Open an existing ledger.

    Raises:
        BadLedger: the ledger is missing, unreadable or of another version.
    """
    from nefstudy.ledger import Ledger

    url = locations_of(root, ledger).ledger
    if not read_only:
        Ledger.open(url, read_only=True).close()  # commands never create a ledger
    return Ledger.open(url, read_only=read_only)


def load_script(path: str) -> Any:
    """Return the `plan` function of a study script.

    Raises:
        BadConfig: the file is missing or defines no `plan(options)`.
    """
    file = Path(path)
    if not file.is_file():
        raise BadConfig(f"no study script {path!r}; pass the path of one, such as studies/phase1.py")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise BadConfig(f"{path!r} is not a Python file; pass the path of a study script, such as studies/phase1.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    if not callable(getattr(module, "plan", None)):
        raise BadConfig(f"{path!r} defines no plan(options) -> StudyPlan; studies/phase1.py shows what a script needs")
    return module.plan


def echo_json(value: Any) -> None:
    """Print plain data as JSON, with secrets removed."""
    typer.echo(json.dumps(_shown(value), indent=2))


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, dict):
        return {name: _shown(inner) for name, inner in value.items()}
    return [_shown(inner) for inner in value] if isinstance(value, list | tuple) else value
