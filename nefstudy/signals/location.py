"""Where files lie: a local path, or any URI that pyarrow's filesystems open (file, s3, gs, hdfs)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

from nefstudy.errors import BadSignals


@contextmanager
def open_file(location: str) -> Iterator[Any]:
    """The file at a path or URI, open for random access.

    Raises:
        BadSignals: there is no such file, or it cannot be opened.
    """
    filesystem, path = _open(location)
    try:
        file = filesystem.open_input_file(path)
    except OSError as error:
        raise BadSignals(f"{location} cannot be read ({_reason(error)}); check the path and its permissions") from None
    with file:
        yield file


def read_bytes(location: str) -> bytes:
    """The bytes of the file at a path or URI.

    Raises:
        BadSignals: there is no such file, or it cannot be read.
    """
    with open_file(location) as file:
        try:
            return bytes(file.read())
        except OSError as error:
            raise BadSignals(f"{location} cannot be read ({_reason(error)}); check the disk") from None


def list_tree(location: str) -> tuple[list[PurePosixPath], list[PurePosixPath]]:
    """Relative paths of all files and all folders under a folder, sorted; names beginning with a dot are left out.

    Raises:
        BadSignals: there is no such folder, or it cannot be listed.
    """
    from pyarrow.fs import FileSelector, FileType

    filesystem, path = _open(location)
    try:
        kind = filesystem.get_file_info(path).type
        if kind != FileType.Directory:
            what = "is a file, not a folder" if kind == FileType.File else "does not exist"
            raise BadSignals(f"{location} {what}; give the folder that holds the files")
        found = filesystem.get_file_info(FileSelector(path, recursive=True))
    except OSError as error:
        raise BadSignals(f"{location} cannot be listed ({_reason(error)}); check its permissions") from None
    root = PurePosixPath(path)
    entries = sorted((PurePosixPath(info.path).relative_to(root), info.type) for info in found)
    entries = [(entry, kind) for entry, kind in entries if not any(part.startswith(".") for part in entry.parts)]
    files = [entry for entry, kind in entries if kind != FileType.Directory]
    return files, [entry for entry, kind in entries if kind == FileType.Directory]


def below(location: str, *parts: str) -> str:
    """The location of a file below a folder."""
    return "/".join([location.rstrip("/"), *parts])


def _open(location: str) -> tuple[Any, str]:
    from pyarrow.fs import FileSystem, LocalFileSystem

    if "://" not in location:
        return LocalFileSystem(), location
    try:
        filesystem, path = FileSystem.from_uri(location)
    except (ValueError, OSError) as error:
        raise BadSignals(f"{location!r} cannot be opened ({_reason(error)}); give a path or a pyarrow URI") from None
    return filesystem, path


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
