"""Ray's directories: a short directory for a local Ray's sockets, and Ray Tune's storage under a root."""

import logging
import os
import re
import secrets
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from nefstudy.errors import BadConfig, BadRoot
from nefstudy.ledger import Lease, Owner
from nefstudy.paths import scratch_path
from nefstudy.storage import Storage
from nefstudy.study.cluster.liveness import end_processes

log = logging.getLogger(__name__)
FOLDER, OWNER = "nef-", "driver.json"
UNOWNED = "nef.new-"  # until the owner's file is written
SOCKET_BYTES = 103 if sys.platform == "darwin" else 107  # the longest path of a Unix socket
LONGEST_SUBPATH = "/nef-12345678/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"  # that Ray creates
MAX_BASE_BYTES = SOCKET_BYTES - len(LONGEST_SUBPATH)
SILENT_S = 24 * 3600.0  # a living Ray writes to its logs within minutes
REMOVE_TRIES, REMOVE_PAUSE_S = 10, 0.3  # Ray's processes end a moment after its shutdown

_OUR_NAME = re.compile(rf"({re.escape(FOLDER)}|{re.escape(UNOWNED)})[0-9a-z_]{{8}}")


def make_ray_folder() -> Path:
    """Create a directory for a local Ray in the first base directory that is writable and short enough.

    Raises:
        BadConfig: there is no such base directory.
    """
    refused = []
    for base in _bases():
        length = len(os.fsencode(base))
        if length > MAX_BASE_BYTES:
            refused.append(f"{base}: {length} characters")
            continue
        try:
            return _make_owned(base)
        except OSError as error:
            refused.append(f"{base}: {error.strerror or error}")
    raise BadConfig(
        f"no directory for Ray's sockets and logs ({'; '.join(refused) or 'none is writable'}); "
        f"set TMPDIR to a writable directory whose path has at most {MAX_BASE_BYTES} characters"
    )


def sweep_rays() -> None:
    """Remove the Ray directories that killed drivers left on this machine, and kill processes that still use them.

    Ray's agents outlive their driver for seconds and create missing folders again, then without an owner.
    """
    for base in _bases():
        with suppress(OSError):  # a base that does not exist or cannot be listed
            for folder in [*base.glob(f"{FOLDER}*"), *base.glob(f"{UNOWNED}*")]:
                with suppress(OSError):
                    if _is_abandoned(folder):
                        end_processes(str(folder))
                        _remove(folder)


def remove_ray_folder(folder: Path) -> None:
    """Remove a Ray directory, retrying until Ray's processes have closed its files."""
    for _ in range(REMOVE_TRIES):
        _remove(folder)
        if folder.is_symlink() or not folder.exists():
            break
        time.sleep(REMOVE_PAUSE_S)


def _bases() -> list[Path]:
    """Return the candidate base directories for Ray's directory, in order of preference."""
    names = ["/tmp", "/var/tmp", os.environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm"]  # the last one is memory
    with suppress(FileNotFoundError):  # not even the working directory is writable
        names.insert(0, tempfile.gettempdir())
    return [Path(name) for name in dict.fromkeys(names) if Path(name).is_absolute()]


def _make_owned(base: Path) -> Path:
    """Create a directory under a temporary name, write its owner file, and rename the directory."""
    new = Path(tempfile.mkdtemp(prefix=UNOWNED, dir=base))
    try:
        (new / OWNER).write_text(Owner.current().to_json())
        return new.rename(base / f"{FOLDER}{secrets.token_hex(4)}")
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _is_abandoned(folder: Path) -> bool:
    """Return whether the driver that created a directory has ended; if this is unknown, `_is_silent` decides."""
    if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
        return False
    try:
        owner = Owner.from_json((folder / OWNER).read_text())
        if owner.is_visible:
            return owner.has_ended
    except (OSError, ValueError, TypeError):  # no owner file, or a torn one
        if not _OUR_NAME.fullmatch(folder.name):
            return False
    holds_only_rays = all(part.name == OWNER or part.name.startswith("session_") for part in folder.iterdir())
    return holds_only_rays and _is_silent(folder)


def _is_silent(folder: Path) -> bool:
    """Return whether a directory has had no writes for a day and no process listens on a socket in it."""
    with suppress(OSError):
        if f" {folder}/" in Path("/proc/net/unix").read_text(errors="replace"):
            return False
    latest = max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
    return time.time() - latest > SILENT_S


def _remove(folder: Path) -> None:
    """Remove a Ray directory; keep the owner file for the next sweep if a dying process still writes there."""
    if folder.is_symlink():  # its target is not ours
        return
    with suppress(OSError):
        owner = (folder / OWNER).read_text() if (folder / OWNER).exists() else Owner.current().to_json()
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


def storage_under(root: str, lease: Lease) -> str:
    """Return the directory for the files of Ray Train and Tune under one lease; the run removes it at its end."""
    storage, path = Storage.at(root), f"{scratch_path(lease.study)}/{lease.epoch}"
    return storage.locate(path) if storage.is_local else storage.uri(path)


def clear_storage(root: str, lease: Lease) -> None:
    """Remove the Ray Train and Tune files of this driver and of earlier drivers, but not those of later drivers.

    Files that cannot be removed are logged and stay.
    """
    storage, path = Storage.at(root), scratch_path(lease.study)
    try:
        for epoch in storage.names(path):
            if epoch.isdecimal() and int(epoch) <= lease.epoch:
                storage.remove(f"{path}/{epoch}")
        storage.remove_empty(path)
    except (OSError, BadRoot) as error:
        log.info("%s cannot be removed: %s", path, getattr(error, "strerror", None) or error)
