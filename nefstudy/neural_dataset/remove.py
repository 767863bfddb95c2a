"""Removal of a neural dataset by one process, while others may read it, fit it again, or outlive this one."""

import errno
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from nefstudy.errors import NefstudyError
from nefstudy.paths import DROPPED, dataset_path, dropped_path, manifest_path
from nefstudy.storage import TEMPORARY, Storage


def remove_neural_dataset(root: str, digest: str, *, check: Callable[[], None]) -> None:
    """Remove a neural dataset, so that none is ever seen half-removed.

    A process that is suspended at any point removes, when it wakes, nothing that was written since: what goes is
    renamed first, `check` must pass after that, and only then the renamed one is removed. An object store renames no
    folders: there the check comes right before each of two removals, and a fit makes good what was lost between them.

    Args:
        check: raises unless the caller may still remove it.
    """
    storage = Storage.at(root)
    check()
    if not storage.is_local:
        storage.remove(manifest_path(digest))
        check()
        storage.remove(dataset_path(digest))
        return
    aside = dropped_path(f"{digest}.{uuid4().hex}")
    if move(storage, dataset_path(digest), aside):
        try:
            check()
        except NefstudyError:
            _restore(storage, aside, digest)
            raise
        storage.remove(aside)


def folder_outside(storage: Storage, digest: str) -> str | None:
    """Return the folder outside the root in which a neural dataset lies, or would be while it is removed; else None."""
    found = storage.outside(dataset_path(digest))
    return storage.outside(DROPPED) if found is None else str(Path(found).parent)


def sweep_dropped(root: str, *, is_present: Callable[[str], bool]) -> None:
    """Remove what a killed process left in the middle of removing; put back what is to be there and is not."""
    storage = Storage.at(root)
    for name in () if storage.outside(DROPPED) is not None else storage.names(DROPPED):
        digest = name.partition(".")[0]
        if is_present(digest) and storage.size(manifest_path(digest)) is None:
            _restore(storage, dropped_path(name), digest)
        else:
            storage.remove(dropped_path(name))


def _restore(storage: Storage, aside: str, digest: str) -> None:
    """Move a neural dataset back; files that were written at its place in the meantime stay."""
    if not move(storage, aside, dataset_path(digest)):
        base = Path(storage.locate(aside))
        for file in (found.relative_to(base).as_posix() for found in sorted(base.rglob("*")) if found.is_file()):
            move(storage, f"{aside}/{file}", f"{dataset_path(digest)}/{file}")
        storage.remove(aside)


def remove_if(storage: Storage, path: str, *, may_go: Callable[[bytes], bool]) -> bool:
    """Remove a file whose bytes may go; return whether it is gone by this.

    A process that is suspended at any point removes, when it wakes, nothing that was written since: the file is renamed
    first, and removed only if its bytes are those that were judged and may still go. An object store renames nothing
    atomically: there the check comes right before the removal.
    """
    if storage.size(path) is None:
        return False
    judged = storage.read(path)
    if not may_go(judged):
        return False
    if not storage.is_local:
        storage.remove(path)
        return True
    aside = f"{path}.{uuid4().hex}{TEMPORARY}"
    if not move(storage, path, aside):
        return False
    try:
        found = storage.read(aside)
        if found == judged and may_go(found):
            storage.remove(aside)
            return True
    except (NefstudyError, OSError):
        _restore_file(storage, aside, path)
        raise
    _restore_file(storage, aside, path)
    return False


def _restore_file(storage: Storage, aside: str, path: str) -> None:
    """Move a file back; one that was written at its place in the meantime stays."""
    if not move(storage, aside, path):
        storage.remove(aside)


def move(storage: Storage, path: str, to: str) -> bool:
    """Rename a file or a directory of a local root; return False where `path` is absent or `to` is taken.

    Raises:
        BadRoot: a path leads out of the root.
    """
    source, target = Path(storage.locate(path)), Path(storage.locate(to))
    if not source.exists() or target.is_file():
        return False
    storage.refuse_outside(path)
    storage.refuse_outside(to)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY):
            raise
        return False
    return True
