"""Access to files by path or URI: files under a root, and read-only data files.

A location is a local path, or any URI that pyarrow's filesystems open (file, s3, gs, hdfs). It is parsed once; names
below it are joined to the file system's path, so spaces, % and # in them need no escaping.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pyarrow as pa
from pyarrow import fs

from nefstudy.errors import BadRoot, BadSignals
from nefstudy.location import parse_location, refuse_dangling
from nefstudy.outside_text import printable, without_secrets

TEMPORARY = ".part"
_HALF_WRITTEN = re.compile(rf".+\.[0-9a-f]{{8,32}}{re.escape(TEMPORARY)}", re.DOTALL)


@dataclass(frozen=True)
class Storage:
    """A root under which relative paths are read and written."""

    root: str
    filesystem: Any
    base: str

    @classmethod
    def at(cls, root: str) -> "Storage":
        """Return the storage at a local path or URI (`file://`, `s3://`, ...) without accessing it.

        Raises:
            BadRoot: a URI that pyarrow cannot open.
        """
        try:
            filesystem, base = parse_location(root)
        except (OSError, ValueError) as error:
            raise BadRoot(f"root {root!r}: {_reason(error)}; pass a path or a URI that pyarrow supports") from None
        if isinstance(filesystem, fs.LocalFileSystem):
            base = str(Path(base).absolute())
        return cls(root, filesystem, base)

    @property
    def is_local(self) -> bool:
        """Whether the root is on a local file system."""
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def locate(self, path: str) -> str:
        """Return the file system path of a relative path, for messages and local access.

        Raises:
            BadRoot: the path is the root itself or leads out of it.
        """
        if "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
            raise BadRoot(f"{path!r} is not a path below the root {self.root!r}; its names must not be empty, . or ..")
        return f"{self.base.rstrip('/')}/{path}"

    def uri(self, path: str) -> str:
        """Return a relative path as a URI, for tools that open URIs."""
        if self.is_local:
            return Path(self.locate(path)).as_uri()
        self.locate(path)
        base, mark, options = self.root.partition("?")
        return f"{base.rstrip('/')}/{quote(path)}{mark}{options}"

    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes; None if it does not exist."""
        info = self.filesystem.get_file_info(self.locate(path))
        return int(info.size) if info.type == fs.FileType.File else None

    def read(self, path: str) -> bytes:
        """Return the contents of a file.

        Raises:
            OSError: the file does not exist or cannot be read.
        """
        with self.filesystem.open_input_stream(self.locate(path), compression=None) as file:
            return bytes(file.read())

    def buffer(self, path: str) -> Any:
        """Return the contents of a file as an Arrow buffer, memory-mapped if local."""
        if self.is_local:
            with pa.memory_map(self.locate(path)) as file:
                return file.read_buffer()
        return pa.py_buffer(self.read(path))

    def write(self, path: str, data: bytes) -> None:
        """Write a file atomically: write under a temporary name, sync, then rename; object stores publish it on close.

        Raises:
            BadRoot: the root is not writable; no half-written file becomes visible.
        """
        target = self.locate(path)
        temporary = f"{target}.{uuid4().hex}{TEMPORARY}"
        try:
            self.filesystem.create_dir(target.rsplit("/", 1)[0], recursive=True)
            if self.is_local:
                _write_local(Path(temporary), Path(target), data)
            else:
                with self.filesystem.open_output_stream(temporary) as file:
                    file.write(data)
                self.filesystem.move(temporary, target)
        except OSError as error:
            raise BadRoot(
                f"root {self.root!r}: {path} cannot be written ({_reason(error)}); free space, or choose another root"
            ) from error

    def names(self, path: str) -> tuple[str, ...]:
        """Return the sorted names in a directory, skipping non-UTF-8 names; empty if the directory does not exist."""
        entries = self.filesystem.get_file_info(fs.FileSelector(self.locate(path), allow_not_found=True))
        return tuple(sorted(name for info in entries if (name := _name(info)) is not None))

    def total_size(self, path: str) -> int:
        """Return the total size in bytes of the files in and below a directory; 0 if the directory does not exist."""
        entries = self.filesystem.get_file_info(
            fs.FileSelector(self.locate(path), allow_not_found=True, recursive=True)
        )
        return sum(int(info.size) for info in entries if info.type == fs.FileType.File)

    def remove_half_written(self, path: str) -> None:
        """Remove files that killed writers left half-written in a directory, unless a link leads outside the root."""
        if self.target_outside(path) is not None:
            return
        for name in self.names(path):
            if _HALF_WRITTEN.fullmatch(name):
                self.remove(f"{path}/{name}")

    def remove(self, path: str) -> None:
        """Remove a file or a directory tree if it exists.

        Raises:
            BadRoot: the path leads out of the root, by its names or through a symbolic link.
        """
        target = self.locate(path)
        kind = self.filesystem.get_file_info(target).type
        if kind != fs.FileType.NotFound:
            self.refuse_outside(path)
        if kind == fs.FileType.Directory:
            self.filesystem.delete_dir(target)
        elif kind == fs.FileType.File:
            self.filesystem.delete_file(target)

    def target_outside(self, path: str) -> str | None:
        """Return the target of a path if symbolic links lead outside the root or to the root itself; None otherwise."""
        target = self.locate(path)
        if not self.is_local:
            return None
        base, resolved = Path(self.base).resolve(), Path(target).resolve()
        return str(resolved) if base == resolved or not resolved.is_relative_to(base) else None

    def refuse_outside(self, path: str) -> None:
        """Raise BadRoot if a path leads outside the root through a symbolic link."""
        target = self.target_outside(path)
        if target is not None:
            raise BadRoot(
                f"{self.locate(path)!r} was not removed: a symbolic link leads to {target!r}, outside the root "
                f"{self.root!r}; remove it by hand, or replace the link with a folder"
            )

    def remove_empty(self, path: str) -> None:
        """Remove a directory if it is empty; object stores have no directories."""
        if self.is_local:
            with suppress(OSError):  # it is not empty, or does not exist
                Path(self.locate(path)).rmdir()


def _write_local(temporary: Path, target: Path, data: bytes) -> None:
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)  # the rename itself must survive a power cut
    finally:
        os.close(directory)


def _name(info: Any) -> str | None:
    try:
        return str(info.base_name)
    except UnicodeDecodeError:
        return None


def _reason(error: BaseException) -> str:
    text = " ".join(without_secrets(str(error)).split())
    return printable(text)[:300] or type(error).__name__


@contextmanager
def open_file(location: str, file: PurePosixPath | str = "") -> Iterator[Any]:
    """Open a file for random access: `location` itself, or `file` (a path from `list_tree`) below it.

    Raises:
        BadSignals: the file does not exist or cannot be opened.
    """
    filesystem, path = _open(location)
    shown = below(location, str(file))
    try:
        opened = filesystem.open_input_file(f"{path.rstrip('/')}/{file}" if str(file) else path)
    except (OSError, ValueError) as error:
        raise BadSignals(f"{shown} cannot be read ({_reason(error)}); check the path and its permissions") from error
    with opened:
        yield opened


def read_bytes(location: str, file: PurePosixPath | str = "") -> bytes:
    """Return the contents of a file: `location` itself, or `file` (a path from `list_tree`) below it.

    Raises:
        BadSignals: the file does not exist or cannot be read.
    """
    with open_file(location, file) as opened:
        try:
            return bytes(opened.read())
        except OSError as error:
            raise BadSignals(
                f"{below(location, str(file))} cannot be read ({_reason(error)}); check the disk"
            ) from error


def list_tree(location: str) -> tuple[list[PurePosixPath], list[PurePosixPath]]:
    """Return the sorted relative paths of all files and all folders under a folder, without hidden (dot) names.

    Raises:
        BadSignals: the folder does not exist or cannot be listed, or holds a non-UTF-8 name or a dangling link.
    """
    filesystem, path = _open(location)
    root = PurePosixPath(path)
    try:
        kind = filesystem.get_file_info(path).type
        if kind != fs.FileType.Directory:
            what = "is a file, not a folder" if kind == fs.FileType.File else "does not exist"
            raise BadSignals(f"{location} {what}; pass the folder that contains the files")
        infos = filesystem.get_file_info(fs.FileSelector(path, recursive=True))
        entries = sorted((PurePosixPath(info.path).relative_to(root), info.type) for info in infos)
    except UnicodeDecodeError as error:
        raise BadSignals(
            f"{location} holds a file or folder whose name is not UTF-8 ({error.object!r}); rename it"
        ) from None
    except (OSError, ValueError) as error:
        raise BadSignals(f"{location} cannot be listed ({_reason(error)}); check its permissions") from error
    entries = [(entry, kind) for entry, kind in entries if not any(part.startswith(".") for part in entry.parts)]
    folders = [entry for entry, kind in entries if kind == fs.FileType.Directory]
    if isinstance(filesystem, fs.LocalFileSystem):
        refuse_dangling(location, root, folders)
    return [entry for entry, kind in entries if kind != fs.FileType.Directory], folders


def below(location: str, *parts: str) -> str:
    """Return the display form of a path below a folder; open the file itself with `open_file(location, file)`."""
    return "/".join([location.rstrip("/"), *(part for part in parts if part)])


def _open(location: str) -> tuple[Any, str]:
    try:
        return parse_location(location)
    except (OSError, ValueError) as error:
        raise BadSignals(
            f"{location!r} cannot be opened ({_reason(error)}); pass a path or a URI that pyarrow supports"
        ) from error
