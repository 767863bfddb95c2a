"""What a process stands on: root, working directory and code, any of which may be taken away while it runs."""

import platform
from pathlib import Path

from nefstudy.errors import BadRoot

_CODE = Path(__file__)
_IS_FILE = _CODE.is_file()  # not so where the package is read from an archive


def check_root(root: str) -> None:
    """Raise BadRoot when a root that is a directory is not there: to make it would hide what others have in it."""
    if "://" not in root and not Path(root).is_dir():
        raise BadRoot(f"root {root!r} is not there on node {platform.node()}; bring it back, or mount it on every node")


def check_working_directory() -> None:
    """Raise BadRoot when this process's working directory was removed."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise BadRoot(
            f"the working directory of a process on node {platform.node()} was removed; "
            "run the same command again from one that stays, it goes on where it stopped"
        ) from None


def check_code() -> None:
    """Raise BadRoot when the files of this package were removed, as those of a job are with its working directory."""
    if _IS_FILE and not _CODE.is_file():
        raise BadRoot(
            f"the code of a process on node {platform.node()}, {_CODE.parents[1]}, was removed; "
            "run the same command again where it stays, it goes on where it stopped"
        )


def lost_ground(root: str) -> BadRoot | None:
    """What was taken away from under this process, if anything was."""
    try:
        check_working_directory()
        check_code()
        check_root(root)
    except BadRoot as lost:
        return lost
    return None
