"""The locations of a study (root, ledger URL and MLflow URI), all checked before anything runs."""

import os
import uuid
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from nefstudy.errors import BadConfig, BadLedger, BadRoot
from nefstudy.ledger.sql.address import ledger_file, mlflow_url, sqlite_url
from nefstudy.outside_text import refuse_secrets, without_secrets
from nefstudy.paths import LEDGER, MLFLOW, expanded

DEFAULT_ROOT = "runs"
DATABRICKS = ("databricks", "uc")  # MLflow stores whose name has no colon
RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # set by Ray for the entry point of a submitted job


@dataclass(frozen=True)
class Locations:
    """A study's absolute root (directory or URI), ledger URL and MLflow tracking URI."""

    root: str
    ledger: str
    mlflow: str

    @property
    def local(self) -> bool:
        """Whether the root is a local directory."""
        return "://" not in self.root


def resolve_locations(root: str | None, ledger: str | None = None, *, environment: Mapping[str, str]) -> Locations:
    """Return the locations from flags, else from environment variables, else under ./runs.

    The variables are NEFSTUDY_ROOT, NEFSTUDY_LEDGER and MLFLOW_TRACKING_URI.

    Raises:
        BadRoot: the root is not UTF-8, or is relative inside a Ray job, which deletes its working directory.
        BadLedger: the ledger is relative inside a Ray job.
        BadConfig: the root is a URI and no ledger is given, or the MLflow store is relative inside a Ray job.
    """
    chosen = root or environment.get("NEFSTUDY_ROOT") or DEFAULT_ROOT
    ledger = ledger or environment.get("NEFSTUDY_LEDGER")
    mlflow = environment.get("MLFLOW_TRACKING_URI")
    in_job = RAY_JOB in environment
    if in_job and ledger and (file := ledger_file(ledger)) is not None and not file.is_absolute():
        raise BadLedger(_deleted(f"ledger {ledger!r}", "--ledger /an/absolute/path or a postgresql:// URL"))
    store = None if mlflow is None else _mlflow(mlflow, in_job=in_job)
    if "://" in chosen:
        refuse_secrets(chosen, what="root")
        if ledger is None:
            raise BadConfig(
                f"root {chosen!r} is a URI, which cannot hold a SQLite ledger; "
                "pass --ledger postgresql://... or set NEFSTUDY_LEDGER"
            )
        return Locations(chosen.rstrip("/"), ledger, store or "")
    base = _directory(chosen, in_job=in_job)
    return Locations(str(base), ledger or sqlite_url(base / LEDGER), store or mlflow_url(base / MLFLOW))


def _directory(root: str, *, in_job: bool) -> Path:
    if "\0" in root or root.encode(errors="replace").decode() != root:
        raise BadRoot(f"root {root!a} is not UTF-8 text without zero bytes; rename it or pass another --root")
    if root.startswith("file:"):
        raise BadRoot(f"root {root!r} is neither a path nor a URI; write file:///an/absolute/path or ./{root}")
    path = expanded(root)
    if in_job and not path.is_absolute():
        raise BadRoot(
            _deleted(f"root {root!r}", "--root /an/absolute/path or a URI that every node can reach")
            + ", or set NEFSTUDY_ROOT"
        )
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # symbolic links in a circle
        raise BadRoot(f"root {root!r} cannot be resolved ({error}); choose another with --root") from None


def _mlflow(uri: str, *, in_job: bool) -> str:
    """Return an MLflow store with ~ expanded to the home directory."""
    scheme, mark, _ = uri.partition(":")
    if scheme.partition("+")[0] == "sqlite" and mark:
        try:
            address = make_url(uri)
        except (ArgumentError, ValueError):
            raise BadConfig(
                f"MLFLOW_TRACKING_URI {without_secrets(uri)!r} is not sqlite:////an/absolute/path; correct it"
            ) from None
        path = expanded(address.database or "")
        if str(address.database).startswith("~"):
            uri = mlflow_url(path)
    elif mark and scheme == "file":
        path = Path(uri.removeprefix("file:").removeprefix("//"))
    elif mark or scheme in DATABRICKS:
        return uri
    else:
        path = expanded(uri)
        uri = str(path) if uri.startswith("~") else uri
    if in_job and not path.is_absolute():
        raise BadConfig(_deleted(f"MLFLOW_TRACKING_URI {uri!r}", "the URL of a server or an absolute path"))
    return uri


def _deleted(what: str, instead: str) -> str:
    return f"{what} is relative, but a Ray job runs in a copy of the working directory that is deleted; pass {instead}"


def ensure_home(environment: MutableMapping[str, str]) -> None:
    """Set HOME if the user has no home directory, such as an unnamed user in a container; Ray requires one."""
    try:
        Path.home()
    except RuntimeError:
        environment["HOME"] = "/nonexistent"


def ensure_writable(locations: Locations) -> None:
    """Create a local root or open a URI, and check that it is writable.

    Raises:
        BadRoot: the root cannot be written, or pyarrow does not support the URI.
    """
    name = f".write-{uuid.uuid4().hex}.tmp"
    if not locations.local:
        from nefstudy.storage import Storage

        storage = Storage.at(locations.root)
        storage.write(name, b"nefstudy")
        storage.remove(name)
        return
    probe = Path(locations.root) / name
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        with probe.open("wb") as file:
            file.write(b"nefstudy")
            file.flush()
            os.fsync(file.fileno())
        probe.unlink()
    except OSError as error:
        raise BadRoot(
            f"root {locations.root!r} cannot be written ({error.strerror or error}); "
            "choose a writable directory with --root or NEFSTUDY_ROOT"
        ) from None
