"""Every way to open a path or a URI: files under a root, and files of data that are only read.

A location is a local path, or any URI that pyarrow's filesystems open (file, s3, gs, hdfs).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

import pyarrow as pa
from pyarrow import fs

from nefstudy.errors import BadRoot, BadSignals

TEMPORARY = ".part"


@dataclass(frozen=True)
class Storage:
    """A root that relative paths are read and written under."""

    root: str
    filesystem: Any
    base: str

    @classmethod
    def at(cls, root: str) -> "Storage":
        """The storage of a local path or a URI (`file://`, `s3://`, ...); touches nothing yet.

        Raises:
            BadRoot: a URI that pyarrow cannot open.
        """
        if "://" not in root:
            return cls(root, fs.LocalFileSystem(), str(Path(root).absolute()))
        try:
            filesystem, base = fs.FileSystem.from_uri(root)
        except (pa.ArrowInvalid, OSError) as error:
            raise BadRoot(f"root {root!r}: {_reason(error)}; give a path or a URI that pyarrow opens") from error
        return cls(root, filesystem, base)

    @property
    def is_local(self) -> bool:
        """Whether files lie on this machine's file system."""
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def locate(self, path: str) -> str:
        """Where a relative path lies, for messages and for opening locally."""
        return f"{self.base.rstrip('/')}/{path}"

    def size(self, path: str) -> int | None:
        """Bytes of a file, or None where there is none."""
        info = self.filesystem.get_file_info(self.locate(path))
        return int(info.size) if info.type == fs.FileType.File else None

    def read(self, path: str) -> bytes:
        """The bytes of a file.

        Raises:
            OSError: there is none, or it cannot be read.
        """
        with self.filesystem.open_input_stream(self.locate(path), compression=None) as file:
            return bytes(file.read())

    def buffer(self, path: str) -> Any:
        """The bytes of a file as an Arrow buffer, memory-mapped where local."""
        if self.is_local:
            with pa.memory_map(self.locate(path)) as file:
                return file.read_buffer()
        return pa.py_buffer(self.read(path))

    def write(self, path: str, data: bytes) -> None:
        """Write a file whole: beside, synced, renamed; object stores publish on close.

        Raises:
            BadRoot: the root cannot be written; nothing half-written is visible.
        """
        target = self.locate(path)
        beside = f"{target}.{uuid4().hex}{TEMPORARY}"
        try:
            self.filesystem.create_dir(target.rsplit("/", 1)[0], recursive=True)
            if self.is_local:
                _write_local(Path(beside), Path(target), data)
            else:
                with self.filesystem.open_output_stream(beside) as file:
                    file.write(data)
                self.filesystem.move(beside, target)
        except OSError as error:
            raise BadRoot(
                f"root {self.root!r}: {path} cannot be written ({_reason(error)}); free space, or choose another root"
            ) from error

    def names(self, path: str) -> tuple[str, ...]:
        """Names in a directory, sorted; none where there is no directory."""
        found = self.filesystem.get_file_info(fs.FileSelector(self.locate(path), allow_not_found=True))
        return tuple(sorted(info.base_name for info in found))

    def total(self, path: str) -> int:
        """Bytes of all files in a directory and below it; 0 where there is none."""
        found = self.filesystem.get_file_info(fs.FileSelector(self.locate(path), allow_not_found=True, recursive=True))
        return sum(int(info.size) for info in found if info.type == fs.FileType.File)

    def sweep(self, path: str) -> None:
        """Remove what a killed writer left half-written in a directory."""
        for name in self.names(path):
            if name.endswith(TEMPORARY):
                self.remove(f"{path}/{name}")

    def remove(self, path: str) -> None:
        """Remove a file or a directory with all in it; nothing where there is none."""
        target = self.locate(path)
        kind = self.filesystem.get_file_info(target).type
        if kind == fs.FileType.Directory:
            self.filesystem.delete_dir(target)
        elif kind == fs.FileType.File:
            self.filesystem.delete_file(target)


def _write_local(beside: Path, target: Path, data: bytes) -> None:
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)  # the rename itself must survive a power cut
    finally:
        os.close(directory)


def _reason(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


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
        raise BadSignals(f"{location} cannot be read ({_short(error)}); check the path and its permissions") from error
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
            raise BadSignals(f"{location} cannot be read ({_short(error)}); check the disk") from error


def list_tree(location: str) -> tuple[list[PurePosixPath], list[PurePosixPath]]:
    """Relative paths of all files and all folders under a folder, sorted; names beginning with a dot are left out.

    Raises:
        BadSignals: there is no such folder, or it cannot be listed.
    """
    filesystem, path = _open(location)
    try:
        kind = filesystem.get_file_info(path).type
        if kind != fs.FileType.Directory:
            what = "is a file, not a folder" if kind == fs.FileType.File else "does not exist"
            raise BadSignals(f"{location} {what}; give the folder that holds the files")
        found = filesystem.get_file_info(fs.FileSelector(path, recursive=True))
    except OSError as error:
        raise BadSignals(f"{location} cannot be listed ({_short(error)}); check its permissions") from error
    root = PurePosixPath(path)
    entries = sorted((PurePosixPath(info.path).relative_to(root), info.type) for info in found)
    entries = [(entry, kind) for entry, kind in entries if not any(part.startswith(".") for part in entry.parts)]
    files = [entry for entry, kind in entries if kind != fs.FileType.Directory]
    return files, [entry for entry, kind in entries if kind == fs.FileType.Directory]


def below(location: str, *parts: str) -> str:
    """The location of a file below a folder."""
    return "/".join([location.rstrip("/"), *parts])


def _open(location: str) -> tuple[Any, str]:
    if "://" not in location:
        return fs.LocalFileSystem(), location
    try:
        filesystem, path = fs.FileSystem.from_uri(location)
    except (ValueError, OSError) as error:
        raise BadSignals(f"{location!r} cannot be opened ({_short(error)}); give a path or a pyarrow URI") from error
    return filesystem, path


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
