"""Provenance of a result in addition to its fingerprint: code revision, library versions and device name.

Library versions must be equal wherever the trials of a study run; otherwise their results would not be comparable.
"""

import functools
import json
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import torch

import nefstudy
from nefstudy.errors import TrialFailed

LIBRARIES = ("numpy", "scipy", "scikit-learn", "pyarrow", "ray", "optuna")
REVISION = "NEFSTUDY_REVISION"  # set when an image without a repository is built
UNKNOWN = "unknown"


def revision(environment: Mapping[str, str]) -> str:
    """Return the commit of the running code, plus `+changes` if files were modified; `unknown` without a commit."""
    return environment.get(REVISION) or _checked_out() or _installed() or UNKNOWN


@functools.cache
def _checked_out() -> str | None:
    """Return the commit of the repository whose root contains this package; None if there is no such repository."""
    package = Path(nefstudy.__file__).parent
    if not (package.parent / ".git").exists():
        return None
    commit = _git("rev-parse", "HEAD", folder=package)
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ".", folder=package)
    return None if not commit else commit + ("+changes" if changes else "")


def _git(*arguments: str, folder: Path) -> str | None:
    try:
        process = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return process.stdout.strip()


def _installed() -> str | None:
    """Return the commit from which pip installed this package (PEP 610); None if it was not installed from a commit."""
    try:
        origin = distribution("nefstudy").read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    commit = json.loads(origin or "{}").get("vcs_info", {}).get("commit_id")
    return None if commit is None else str(commit)


@functools.cache
def software() -> dict[str, str]:
    """Return the versions of nefstudy, Python, and every library that can affect a result."""
    versions = {"nefstudy": nefstudy.__version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


@functools.cache
def processor() -> str:
    """Return the product name of the GPU, or of the CPU if there is no GPU."""
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def made_by(*, revision: str, workers: int) -> dict[str, str]:
    """Return the provenance stored in a trial's row in addition to the fingerprint.

    Args:
        workers: number of the trial's worker processes; 0 if it runs in the Tune actor itself.
    """
    return {"revision": revision, "workers": str(workers), "processor": processor(), **software()}


def versions_here() -> dict[str, str]:
    """Return the installed versions of nefstudy and of the libraries on which results depend."""
    return software() | {"torch": torch.__version__.split("+")[0]}


def check_versions(driver: Mapping[str, str]) -> None:
    """Check that this process has the same versions as the driver.

    Raises:
        TrialFailed: versions differ. The error names the node and both versions; a retry may run on another node.
    """
    here = versions_here()
    differences = [
        f"{name} {here.get(name)} (driver: {expected})"
        for name, expected in driver.items()
        if here.get(name) != expected
    ]
    if differences:
        raise TrialFailed(
            f"node {platform.node()} has {', '.join(differences)}; install the same constraints on every node",
            cause="worker_lost",
        )
