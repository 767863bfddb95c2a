"""Where a result comes from beside its fingerprint: revision of the code, versions of libraries, the device's name."""

import functools
import json
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import torch

import nefstudy

LIBRARIES = ("numpy", "scipy", "scikit-learn", "pyarrow", "ray", "optuna")
REVISION = "NEFSTUDY_REVISION"  # for an image that carries no repository: set it when the image is built
UNKNOWN = "unknown"


def revision(environment: Mapping[str, str]) -> str:
    """Commit of the running code, `+changes` where files differ from it, `unknown` where nothing tells."""
    return environment.get(REVISION) or _checked_out() or _installed() or UNKNOWN


@functools.cache
def _checked_out() -> str | None:
    """The commit of the repository that the package lies in, if it lies in one of its own."""
    package = Path(nefstudy.__file__).parent
    if not (package.parent / ".git").exists():
        return None
    commit = _git("rev-parse", "HEAD", folder=package)
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ".", folder=package)
    return None if not commit else commit + ("+changes" if changes else "")


def _git(*words: str, folder: Path) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _installed() -> str | None:
    """The commit that pip installed from (PEP 610), if it installed from a repository."""
    try:
        said = distribution("nefstudy").read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    commit = json.loads(said or "{}").get("vcs_info", {}).get("commit_id")
    return None if commit is None else str(commit)


@functools.cache
def software() -> dict[str, str]:
    """Versions of nefstudy, Python, and of each library whose change could change a number."""
    found = {"nefstudy": nefstudy.__version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@functools.cache
def processor() -> str:
    """The device as its maker calls it: the GPU's name if there is one, else the CPU's."""
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def made_by(*, revision: str, workers: int) -> dict[str, str]:
    """What is kept on a trial's row beside its fingerprint.

    Args:
        workers: processes of the trial; 0 is the Tune actor itself.
    """
    return {"revision": revision, "workers": str(workers), "processor": processor(), **software()}
