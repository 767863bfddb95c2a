"""The paths on which a process depends (root, working directory, code), which can vanish while it runs."""

import platform
from pathlib import Path

from nefstudy.errors import BadRoot

_CODE = Path(__file__)
_IS_FILE = _CODE.is_file()  # False if the package is imported from an archive


def check_root(root: str) -> None:
    """Raise BadRoot if a local root does not exist, because creating it could hide an unmounted disk.

    A root that is a URI is not checked.
    """
    if "://" not in root and not Path(root).is_dir():
        raise BadRoot(f"root {root!r} does not exist on node {platform.node()}; restore it, or mount it on every node")


def check_working_directory() -> None:
    """Raise BadRoot if this process's working directory was removed."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise BadRoot(
            f"the working directory of a process on node {platform.node()} was removed; "
            "run the same command again from one that stays; the study resumes"
        ) from None


def check_code() -> None:
    """Raise BadRoot if this package's files were removed, as can happen to the working directory of a Ray job."""
    if _IS_FILE and not _CODE.is_file():
        raise BadRoot(
            f"the code of a process on node {platform.node()}, {_CODE.parents[1]}, was removed; "
            "run the same command again with code in a directory that stays; the study resumes"
        )


def find_removed_path(root: str) -> BadRoot | None:
    """Return an error that names the removed working directory, code or root; None if all exist."""
    try:
        check_working_directory()
        check_code()
        check_root(root)
    except BadRoot as error:
        return error
    return None
