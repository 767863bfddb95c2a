"""Every way to open a path or a URI: files under a root, and files of data that are only read.

A location is a local path, or any URI that pyarrow's filesystems open (file, s3, gs, hdfs). It is parsed once; what is
found below it is joined to the file system's own path, so that names with spaces, % or # are only names.
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

from nefstudy.dangling import refuse_dangling
from nefstudy.errors import BadRoot, BadSignals
from nefstudy.location import parsed
from nefstudy.outside_text import printable, without_secrets

TEMPORARY = ".part"
_HALF_WRITTEN = re.compile(rf".+\.[0-9a-f]{{8,32}}{re.escape(TEMPORARY)}", re.DOTALL)


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
        try:
            filesystem, base = parsed(root)
        except (OSError, ValueError) as error:
            raise BadRoot(f"root {root!r}: {_reason(error)}; give a path or a URI that pyarrow opens") from None
        if isinstance(filesystem, fs.LocalFileSystem):
            base = str(Path(base).absolute())
        return cls(root, filesystem, base)

    @property
    def is_local(self) -> bool:
        """Whether files lie on this machine's file system."""
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def locate(self, path: str) -> str:
        """Where a relative path lies, for messages and for opening locally.

        Raises:
            BadRoot: the path leads out of the root, or is the root itself.
        """
        if "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
            raise BadRoot(f"{path!r} is not a path below the root {self.root!r}; names in it may not be empty, . or ..")
        return f"{self.base.rstrip('/')}/{path}"

    def uri(self, path: str) -> str:
        """Return a relative path as a URI, for tools that open URIs."""
        if self.is_local:
            return Path(self.locate(path)).as_uri()
        self.locate(path)
        base, mark, options = self.root.partition("?")
        return f"{base.rstrip('/')}/{quote(path)}{mark}{options}"

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
        """Names in a directory, sorted; none where there is no directory. Names that are not UTF-8 are not ours."""
        found = self.filesystem.get_file_info(fs.FileSelector(self.locate(path), allow_not_found=True))
        return tuple(sorted(name for info in found if (name := _name(info)) is not None))

    def total(self, path: str) -> int:
        """Bytes of all files in a directory and below it; 0 where there is none."""
        found = self.filesystem.get_file_info(fs.FileSelector(self.locate(path), allow_not_found=True, recursive=True))
        return sum(int(info.size) for info in found if info.type == fs.FileType.File)

    def sweep(self, path: str) -> None:
        """Remove what a killed writer left half-written in a directory; nothing in one that lies outside the root."""
        if self.outside(path) is not None:
            return
        for name in self.names(path):
            if _HALF_WRITTEN.fullmatch(name):
                self.remove(f"{path}/{name}")

    def remove(self, path: str) -> None:
        """Remove a file or a directory with all in it; nothing where there is none.

        Raises:
            BadRoot: the path leads out of the root, by its names or by a symbolic link.
        """
        target = self.locate(path)
        kind = self.filesystem.get_file_info(target).type
        if kind != fs.FileType.NotFound:
            self.refuse_outside(path)
        if kind == fs.FileType.Directory:
            self.filesystem.delete_dir(target)
        elif kind == fs.FileType.File:
            self.filesystem.delete_file(target)

    def outside(self, path: str) -> str | None:
        """Return where a path leads that a symbolic link takes out of the root, or to the root itself; None inside."""
        target = self.locate(path)
        if not self.is_local:
            return None
        base, found = Path(self.base).resolve(), Path(target).resolve()
        return str(found) if base == found or not found.is_relative_to(base) else None

    def refuse_outside(self, path: str) -> None:
        """Raise BadRoot where a symbolic link takes a path out of the root."""
        found = self.outside(path)
        if found is not None:
            raise BadRoot(
                f"{self.locate(path)!r} is not removed: it leads to {found!r}, outside the root {self.root!r}, by a "
                "symbolic link; remove it by hand, or replace the link by a folder"
            )

    def remove_empty(self, path: str) -> None:
        """Remove a directory that holds nothing; object stores have no directories."""
        if self.is_local:
            with suppress(OSError):  # it is not empty, or not there
                Path(self.locate(path)).rmdir()


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
    """Open the file at a path or URI, or one that `list_tree` found below it, for random access.

    Raises:
        BadSignals: there is no such file, or it cannot be opened.
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
    """Return the bytes of the file at a path or URI, or of one that `list_tree` found below it.

    Raises:
        BadSignals: there is no such file, or it cannot be read.
    """
    with open_file(location, file) as opened:
        try:
            return bytes(opened.read())
        except OSError as error:
            raise BadSignals(
                f"{below(location, str(file))} cannot be read ({_reason(error)}); check the disk"
            ) from error


def list_tree(location: str) -> tuple[list[PurePosixPath], list[PurePosixPath]]:
    """Relative paths of all files and all folders under a folder, sorted; names beginning with a dot are left out.

    Raises:
        BadSignals: there is no such folder, it cannot be listed, or a name in it is not UTF-8 or is a dangling link.
    """
    filesystem, path = _open(location)
    root = PurePosixPath(path)
    try:
        kind = filesystem.get_file_info(path).type
        if kind != fs.FileType.Directory:
            what = "is a file, not a folder" if kind == fs.FileType.File else "does not exist"
            raise BadSignals(f"{location} {what}; give the folder that holds the files")
        found = filesystem.get_file_info(fs.FileSelector(path, recursive=True))
        entries = sorted((PurePosixPath(info.path).relative_to(root), info.type) for info in found)
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
    """Return how a file below a folder is shown; it is opened by `open_file(location, file)`."""
    return "/".join([location.rstrip("/"), *(part for part in parts if part)])


def _open(location: str) -> tuple[Any, str]:
    try:
        return parsed(location)
    except (OSError, ValueError) as error:
        raise BadSignals(f"{location!r} cannot be opened ({_reason(error)}); give a path or a pyarrow URI") from error
