"""Where a study keeps its things: the root, the ledger's URL and MLflow's, all checked before anything runs."""

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nefstudy.errors import BadConfig, BadRoot
from nefstudy.paths import LEDGER, MLFLOW

DEFAULT_ROOT = "runs"
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
        BadRoot: a relative root inside a Ray job, whose working directory is thrown away.
        BadConfig: a root that is a URI without a ledger and MLflow of its own.
    """
    chosen = root or environment.get("NEFSTUDY_ROOT") or DEFAULT_ROOT
    ledger = ledger or environment.get("NEFSTUDY_LEDGER")
    mlflow = environment.get("MLFLOW_TRACKING_URI")
    if "://" in chosen:
        if ledger is None:
            raise BadConfig(
                f"root {chosen!r} is a URI, where no SQLite ledger can live; "
                "pass --ledger postgresql://... or set NEFSTUDY_LEDGER"
            )
        return Place(chosen.rstrip("/"), ledger, mlflow or "")
    if not Path(chosen).is_absolute() and RAY_JOB in environment:
        raise BadRoot(
            f"root {chosen!r} is relative, but a Ray job runs in a copy of the working directory that is thrown "
            "away; pass --root /an/absolute/path or a URI that every node can reach, or set NEFSTUDY_ROOT"
        )
    base = Path(chosen).expanduser().resolve()
    return Place(str(base), ledger or f"sqlite:///{base / LEDGER}", mlflow or f"sqlite:///{base / MLFLOW}")


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
