"""Where a study keeps its things: the root, the ledger's URL and MLflow's, all checked before anything runs."""

import os
import uuid
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from nefstudy.errors import BadConfig, BadLedger, BadRoot
from nefstudy.ledger.address import ledger_file, mlflow_url, sqlite_url
from nefstudy.outside_text import refuse_secrets, without_secrets
from nefstudy.paths import LEDGER, MLFLOW, expanded

DEFAULT_ROOT = "runs"
DATABRICKS = ("databricks", "uc")  # MLflow's stores that are named without a colon
RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # set by Ray for the entry point of a submitted job


@dataclass(frozen=True)
class Place:
    """An absolute root (directory or URI), a ledger URL, an MLflow tracking URI."""

    root: str
    ledger: str
    mlflow: str

    @property
    def local(self) -> bool:
        """Whether the root is a directory of this machine."""
        return "://" not in self.root


def resolve_place(root: str | None, ledger: str | None = None, *, environment: Mapping[str, str]) -> Place:
    """The place named by flags, else by NEFSTUDY_ROOT, NEFSTUDY_LEDGER and MLFLOW_TRACKING_URI, else ./runs.

    Raises:
        BadRoot: a root that is not UTF-8, or relative inside a Ray job, whose working directory is thrown away.
        BadLedger: a ledger that is relative inside a Ray job.
        BadConfig: a root that is a URI without a ledger and MLflow of its own, or an MLflow store that is relative
            inside a Ray job.
    """
    chosen = root or environment.get("NEFSTUDY_ROOT") or DEFAULT_ROOT
    ledger = ledger or environment.get("NEFSTUDY_LEDGER")
    mlflow = environment.get("MLFLOW_TRACKING_URI")
    in_job = RAY_JOB in environment
    if in_job and ledger and (file := ledger_file(ledger)) is not None and not file.is_absolute():
        raise BadLedger(_thrown_away(f"ledger {ledger!r}", "--ledger /an/absolute/path or a postgresql:// URL"))
    store = None if mlflow is None else _mlflow(mlflow, in_job=in_job)
    if "://" in chosen:
        refuse_secrets(chosen, what="root")
        if ledger is None:
            raise BadConfig(
                f"root {chosen!r} is a URI, where no SQLite ledger can live; "
                "pass --ledger postgresql://... or set NEFSTUDY_LEDGER"
            )
        return Place(chosen.rstrip("/"), ledger, store or "")
    base = _directory(chosen, in_job=in_job)
    return Place(str(base), ledger or sqlite_url(base / LEDGER), store or mlflow_url(base / MLFLOW))


def _directory(root: str, *, in_job: bool) -> Path:
    if "\0" in root or root.encode(errors="replace").decode() != root:
        raise BadRoot(f"root {root!a} is not UTF-8 text without zero bytes; rename it, or pass another --root")
    if root.startswith("file:"):
        raise BadRoot(f"root {root!r} is neither a path nor a URI; write file:///an/absolute/path, or ./{root}")
    path = expanded(root)
    if in_job and not path.is_absolute():
        raise BadRoot(
            _thrown_away(f"root {root!r}", "--root /an/absolute/path or a URI that every node can reach")
            + ", or set NEFSTUDY_ROOT"
        )
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # symbolic links in a circle
        raise BadRoot(f"root {root!r} cannot be resolved ({error}); choose another with --root") from None


def _mlflow(uri: str, *, in_job: bool) -> str:
    """The MLflow store with ~ replaced by the home directory."""
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
        raise BadConfig(_thrown_away(f"MLFLOW_TRACKING_URI {uri!r}", "the URL of a server or an absolute path"))
    return uri


def _thrown_away(what: str, instead: str) -> str:
    return (
        f"{what} is relative, but a Ray job runs in a copy of the working directory that is thrown away; pass {instead}"
    )


def ensure_home(environment: MutableMapping[str, str]) -> None:
    """Name a home directory where the system knows none, as for a container's user without a name: Ray asks for one."""
    try:
        Path.home()
    except RuntimeError:
        environment["HOME"] = "/nonexistent"


def ensure_writable(place: Place) -> None:
    """Make a local root, or open a URI's, and prove that it can be written.

    Raises:
        BadRoot: it cannot, or pyarrow does not know the URI.
    """
    name = f".write-{uuid.uuid4().hex}.tmp"
    if not place.local:
        from nefstudy.storage import Storage

        storage = Storage.at(place.root)
        storage.write(name, b"nefstudy")
        storage.remove(name)
        return
    probe = Path(place.root) / name
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        with probe.open("wb") as file:
            file.write(b"nefstudy")
            file.flush()
            os.fsync(file.fileno())
        probe.unlink()
    except OSError as error:
        raise BadRoot(
            f"root {place.root!r} cannot be written ({error.strerror or error}); "
            "choose a writable directory with --root or NEFSTUDY_ROOT"
        ) from None
