"""Every path under a root, relative to it and with forward slashes: roots are directories and object stores alike."""

import re
from pathlib import Path

from nefstudy.errors import BadRoot
from nefstudy.names import study_name, trial_key
from nefstudy.outside_text import shortened, without_secrets

LEDGER = "ledger.db"
MLFLOW = "mlflow.db"
DATASETS = "neural_datasets"
DROPPED = ".dropped"
PART_BYTES, PATH_LENGTH = 255, 4000  # of Linux and macOS; the names of files come on top
_RUNG = re.compile(r"rung-([0-9]{8})")
_SHARD = re.compile(r"shard-([0-9]{5,9})\.(?:arrow|json)")


def scratch_path(study: str) -> str:
    """Path of what Ray Train and Tune keep while a study runs."""
    return f".ray/{study_name(study)}"


def dataset_path(digest: str) -> str:
    """Path of a neural dataset below the root."""
    return f"{DATASETS}/{digest}"


def dropped_path(name: str) -> str:
    """Path of a neural dataset that is being removed, out of readers' way."""
    return f"{DROPPED}/{name}"


def manifest_path(digest: str) -> str:
    """Path of the manifest below the root."""
    return f"{dataset_path(digest)}/manifest.json"


def rung_folder(steps: int) -> str:
    """Folder of a rung below the dataset."""
    return f"rung-{steps:08d}"


def shard_file(steps: int, index: int) -> str:
    """Path of a shard below the dataset."""
    return f"{rung_folder(steps)}/shard-{index:05d}.arrow"


def receipt_file(steps: int, index: int) -> str:
    """Path of a shard's receipt below the dataset."""
    return f"{rung_folder(steps)}/shard-{index:05d}.json"


def trial_file(key: str, name: str) -> str:
    """Path of one file that a trial leaves."""
    return f"{trial_path(key)}/{name}"


def trial_path(key: str) -> str:
    """Path of a trial's files."""
    return f"trials/{trial_key(key)}"


def log_path(key: str) -> str:
    """Path of a trial's log."""
    return trial_file(key, "log.txt")


def earlier_log_path(key: str) -> str:
    """Path of the half of a trial's log before the latest one, where there is more than a half."""
    return f"{log_path(key)}.1"


def report_path(study: str) -> str:
    """Path of a study's report."""
    return f"reports/{study_name(study)}"


def comparison_path(study: str, other: str) -> str:
    """Path of the report that compares two studies; no study has that name, for names hold no two dots in a row."""
    return f"reports/{study_name(study)}..{study_name(other)}"


def handover_path(study: str) -> str:
    """Path of the grid that a study's searches suggest."""
    return f"handover/{study_name(study)}.json"


def artifacts_path(experiment: str) -> str:
    """Path of the artifacts of an MLflow experiment whose store lies under the root."""
    return f"mlartifacts/{experiment}"


def folder_below(root: str, path: str) -> Path:
    """Return a path below a root that is a directory of this machine.

    Raises:
        BadRoot: the root is a URI.
    """
    if "://" in root:
        raise BadRoot(
            f"root {without_secrets(root)!r} is a URI, and {path} is written to a directory; pass --out DIRECTORY "
            "where the command has it, else --root DIRECTORY with --ledger URL"
        )
    return Path(root) / path


def rung_steps(name: str) -> int | None:
    """Return the step count in the name of a rung's folder; None for anything else."""
    match = _RUNG.fullmatch(name)
    return None if match is None else int(match[1])


def shard_index(name: str) -> int | None:
    """Return the number in the name of a shard or of its receipt; None for a file that is neither."""
    match = _SHARD.fullmatch(name)
    return None if match is None else int(match[1])


def expanded(text: str) -> Path:
    """Return a path from outside with its `~` replaced by the home directory.

    Raises:
        BadRoot: there is no such home directory, or the path is longer than a file system takes.
    """
    longest = max(len(part.encode(errors="surrogatepass")) for part in text.split("/"))
    if longest > PART_BYTES or len(text) > PATH_LENGTH:
        raise BadRoot(
            f"path {shortened(text, 100)!r} is too long: a name has at most {PART_BYTES} bytes, a path {PATH_LENGTH}; "
            "choose a shorter one"
        )
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise BadRoot(f"path {text!r}: ~ names no home directory; write the path without it, or set HOME") from None
