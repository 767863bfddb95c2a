"""Removal of neural datasets and files while other processes may read or rewrite them."""

import errno
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from nefstudy.errors import NefstudyError
from nefstudy.paths import DROPPED, dataset_path, dropped_path, manifest_path
from nefstudy.storage import TEMPORARY, Storage


def remove_neural_dataset(root: str, digest: str, *, check: Callable[[], None]) -> None:
    """Remove a neural dataset so that readers never see a partly removed one.

    A process that is suspended at any point and resumed later removes nothing written in the meantime: the dataset is
    renamed, then `check` must pass, and only then the renamed one is removed. Object stores cannot rename directories:
    there `check` runs right before each of two removals, and a fit restores what is lost between them.

    Args:
        check: raises an error if the caller may no longer remove it.
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
    """Return the folder outside the root that removing a neural dataset would touch, or None if there is none.

    Symbolic links can lead there, either from the dataset's folder or from the folder of renamed datasets.
    """
    target = storage.target_outside(dataset_path(digest))
    return storage.target_outside(DROPPED) if target is None else str(Path(target).parent)


def sweep_dropped(root: str, *, is_present: Callable[[str], bool]) -> None:
    """Complete the removals that killed processes left unfinished.

    A dataset that should be present according to `is_present`, but is missing, is restored instead.
    """
    storage = Storage.at(root)
    for name in () if storage.target_outside(DROPPED) is not None else storage.names(DROPPED):
        digest = name.partition(".")[0]
        if is_present(digest) and storage.size(manifest_path(digest)) is None:
            _restore(storage, dropped_path(name), digest)
        else:
            storage.remove(dropped_path(name))


def _restore(storage: Storage, aside: str, digest: str) -> None:
    """Move a neural dataset back, but keep files that were written in its place in the meantime."""
    if not move(storage, aside, dataset_path(digest)):
        base = Path(storage.locate(aside))
        for file in (path.relative_to(base).as_posix() for path in sorted(base.rglob("*")) if path.is_file()):
            move(storage, f"{aside}/{file}", f"{dataset_path(digest)}/{file}")
        storage.remove(aside)


def remove_if(storage: Storage, path: str, *, condition: Callable[[bytes], bool]) -> bool:
    """Remove a file if its bytes meet `condition`.

    Return whether this call removed it.

    A process that is suspended at any point and resumed later removes nothing written in the meantime: the file is
    renamed, and removed only if its bytes are unchanged and still meet the condition. Object stores cannot rename
    atomically: there the condition is checked right before the removal.
    """
    if storage.size(path) is None:
        return False
    checked = storage.read(path)
    if not condition(checked):
        return False
    if not storage.is_local:
        storage.remove(path)
        return True
    aside = f"{path}.{uuid4().hex}{TEMPORARY}"
    if not move(storage, path, aside):
        return False
    try:
        renamed = storage.read(aside)
        if renamed == checked and condition(renamed):
            storage.remove(aside)
            return True
    except (NefstudyError, OSError):
        _restore_file(storage, aside, path)
        raise
    _restore_file(storage, aside, path)
    return False


def _restore_file(storage: Storage, aside: str, path: str) -> None:
    """Move a file back; if another file was written in its place in the meantime, keep that file instead."""
    if not move(storage, aside, path):
        storage.remove(aside)


def move(storage: Storage, path: str, to: str) -> bool:
    """Rename a file or directory of a local root.

    Return False if `path` does not exist or `to` does.

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
