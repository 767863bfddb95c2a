"""The directory of a driver's own Ray: short enough for its sockets, owned from the start, swept after a kill."""

import os
import re
import secrets
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from nefstudy.errors import BadConfig
from nefstudy.ledger import Owner

FOLDER, OWNER = "nef-", "driver.json"
UNOWNED = "nef.new-"  # until the owner's file is written
SOCKET_BYTES = 103 if sys.platform == "darwin" else 107  # the longest path of a Unix socket
BELOW = "/nef-12345678/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"  # the longest that Ray makes
ROOM = SOCKET_BYTES - len(BELOW)
SILENT_S = 24 * 3600.0  # a living Ray writes to its logs within minutes
LEAVING_TRIES, LEAVING_S = 10, 0.3  # Ray's processes end a moment after its shutdown

_MADE_HERE = re.compile(rf"({re.escape(FOLDER)}|{re.escape(UNOWNED)})[0-9a-z_]{{8}}")


def make_ray_folder() -> Path:
    """Make a directory for a Ray of this process, in the first base that is writable and short enough.

    Raises:
        BadConfig: there is no such base.
    """
    refused = []
    for base in _bases():
        length = len(os.fsencode(base))
        if length > ROOM:
            refused.append(f"{base}: {length} characters")
            continue
        try:
            return _made(base)
        except OSError as error:
            refused.append(f"{base}: {error.strerror or error}")
    raise BadConfig(
        f"no directory for Ray's sockets and logs ({'; '.join(refused) or 'none is writable'}); "
        f"set TMPDIR to a writable directory whose path has at most {ROOM} characters"
    )


def sweep_rays() -> None:
    """Remove what the Rays of killed drivers of this machine left behind."""
    for base in _bases():
        with suppress(OSError):  # a base that is not there, or not ours to list
            for folder in [*base.glob(f"{FOLDER}*"), *base.glob(f"{UNOWNED}*")]:
                with suppress(OSError):
                    if _is_abandoned(folder):
                        _remove(folder)


def remove_ray_folder(folder: Path) -> None:
    """Remove a Ray's directory once its processes have let go of it."""
    for _ in range(LEAVING_TRIES):
        _remove(folder)
        if folder.is_symlink() or not folder.exists():
            break
        time.sleep(LEAVING_S)


def _bases() -> list[Path]:
    """Return where a Ray's directory may be, in the order of preference."""
    names = ["/tmp", "/var/tmp", os.environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm"]  # the last one is memory
    with suppress(FileNotFoundError):  # not even the working directory is writable
        names.insert(0, tempfile.gettempdir())
    return [Path(name) for name in dict.fromkeys(names) if Path(name).is_absolute()]


def _made(base: Path) -> Path:
    """Make a directory that holds its owner's name as soon as it has its own."""
    made = Path(tempfile.mkdtemp(prefix=UNOWNED, dir=base))
    try:
        (made / OWNER).write_text(Owner.here().to_json())
        return made.rename(base / f"{FOLDER}{secrets.token_hex(4)}")
    except OSError:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _is_abandoned(folder: Path) -> bool:
    """Return whether a directory of ours has no living driver; where its owner cannot be seen, its silence decides."""
    if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
        return False
    try:
        owner = Owner.from_json((folder / OWNER).read_text())
        if owner.is_visible:
            return owner.is_gone
    except (OSError, ValueError, TypeError):  # no owner, or a torn one
        if not _MADE_HERE.fullmatch(folder.name):
            return False
    holds_only_rays = all(part.name == OWNER or part.name.startswith("session_") for part in folder.iterdir())
    return holds_only_rays and _is_silent(folder)


def _is_silent(folder: Path) -> bool:
    """Return whether nothing below was written for a day, and no process listens there."""
    with suppress(OSError):
        if f" {folder}/" in Path("/proc/net/unix").read_text(errors="replace"):
            return False
    latest = max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
    return time.time() - latest > SILENT_S


def _remove(folder: Path) -> None:
    """Remove a Ray's directory; while a dying process of it still writes, its owner's name stays for the next sweep."""
    if folder.is_symlink():  # what it leads to is not ours
        return
    with suppress(OSError):
        owner = (folder / OWNER).read_text() if (folder / OWNER).exists() else Owner.here().to_json()
        for part in folder.iterdir():
            if part.is_dir() and not part.is_symlink():
                shutil.rmtree(part, ignore_errors=True)
            elif part.name != OWNER:
                part.unlink(missing_ok=True)
        (folder / OWNER).unlink(missing_ok=True)
        try:
            folder.rmdir()
        except OSError:
            (folder / OWNER).write_text(owner)
