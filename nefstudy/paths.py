"""All paths under a root: relative, with forward slashes, because a root may be a directory or an object store."""

import re
from pathlib import Path

from nefstudy.errors import BadRoot
from nefstudy.names import study_name, trial_key
from nefstudy.outside_text import shortened, without_secrets

LEDGER = "ledger.db"
MLFLOW = "mlflow.db"
DATASETS = "neural_datasets"
DROPPED = ".dropped"
PART_BYTES, PATH_LENGTH = 255, 4000  # limits of Linux and macOS; the path limit leaves room for file names
_RUNG = re.compile(r"rung-([0-9]{8})")
_SHARD = re.compile(r"shard-([0-9]{5,9})\.(?:arrow|json)")


def scratch_path(study: str) -> str:
    """Return the path of Ray Train's and Tune's working files for a study."""
    return f".ray/{study_name(study)}"


def dataset_path(digest: str) -> str:
    """Return the path of a neural dataset below the root."""
    return f"{DATASETS}/{digest}"


def dropped_path(name: str) -> str:
    """Return the path to which a neural dataset is moved for deletion, where readers do not see it."""
    return f"{DROPPED}/{name}"


def manifest_path(digest: str) -> str:
    """Return the path of a neural dataset's manifest below the root."""
    return f"{dataset_path(digest)}/manifest.json"


def rung_folder(steps: int) -> str:
    """Return the name of a rung's folder below the dataset."""
    return f"rung-{steps:08d}"


def shard_file(steps: int, index: int) -> str:
    """Return the path of a shard below the dataset."""
    return f"{rung_folder(steps)}/shard-{index:05d}.arrow"


def receipt_file(steps: int, index: int) -> str:
    """Return the path of a shard's receipt below the dataset."""
    return f"{rung_folder(steps)}/shard-{index:05d}.json"


def trial_file(key: str, name: str) -> str:
    """Return the path of a file in a trial's folder."""
    return f"{trial_path(key)}/{name}"


def trial_path(key: str) -> str:
    """Return the path of a trial's folder."""
    return f"trials/{trial_key(key)}"


def log_path(key: str) -> str:
    """Return the path of a trial's log."""
    return trial_file(key, "log.txt")


def earlier_log_path(key: str) -> str:
    """Return the path of the older half of a trial's log, which exists once the log has been rotated."""
    return f"{log_path(key)}.1"


def report_path(study: str) -> str:
    """Return the path of a study's report."""
    return f"reports/{study_name(study)}"


def comparison_path(study: str, other: str) -> str:
    """Return the path of a report that compares two studies.

    The path is unique, because study names cannot contain two dots in a row.
    """
    return f"reports/{study_name(study)}..{study_name(other)}"


def handover_path(study: str) -> str:
    """Return the path of the file with the grid suggested by a study's searches."""
    return f"handover/{study_name(study)}.json"


def artifacts_path(experiment: str) -> str:
    """Return the artifact path of an MLflow experiment whose store is under the root."""
    return f"mlartifacts/{experiment}"


def folder_below(root: str, path: str) -> Path:
    """Return `path` below a local root as a path of the file system.

    Raises:
        BadRoot: the root is a URI.
    """
    if "://" in root:
        raise BadRoot(
            f"root {without_secrets(root)!r} is a URI, but {path} must be written to a local directory; pass --out "
            "DIRECTORY if the command supports it, otherwise --root DIRECTORY with --ledger URL"
        )
    return Path(root) / path


def rung_steps(name: str) -> int | None:
    """Return the step count in a rung folder's name; None for any other name."""
    match = _RUNG.fullmatch(name)
    return None if match is None else int(match[1])


def shard_index(name: str) -> int | None:
    """Return the index in the name of a shard or receipt; None for any other file."""
    match = _SHARD.fullmatch(name)
    return None if match is None else int(match[1])


def expanded(text: str) -> Path:
    """Return a user-supplied path with `~` expanded.

    Raises:
        BadRoot: the home directory does not exist, or the path is too long for a file system.
    """
    longest = max(len(part.encode(errors="surrogatepass")) for part in text.split("/"))
    if longest > PART_BYTES or len(text) > PATH_LENGTH:
        raise BadRoot(
            f"path {shortened(text, 100)!r} is too long: names may have {PART_BYTES} bytes, paths {PATH_LENGTH}; "
            "choose a shorter one"
        )
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise BadRoot(f"path {text!r}: there is no home directory for ~; write the full path, or set HOME") from None
