"""Locations as users write them: local paths, or URIs with percent-encoded characters."""

import os
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from pyarrow import fs

from nefstudy.errors import BadSignals
from nefstudy.paths import expanded

_URI = "%/:=@+,;!$&'()*~"
"""Characters of a URI that `quote` leaves unchanged, in addition to letters, digits and _.-"""


def parse_location(location: str) -> tuple[Any, str]:
    """Return the file system of a location and the path within that file system.

    Raises:
        ValueError, OSError: the location is invalid; the message says why.
    """
    try:
        location.encode()
    except UnicodeEncodeError:
        raise ValueError("it is not UTF-8") from None
    if "\0" in location:
        raise ValueError("it contains a zero byte")
    scheme, mark, _ = location.partition("://")
    if not mark and scheme.startswith("file:"):
        raise ValueError(f"a URI begins with file://; write a path of that name as ./{scheme}")
    if not mark:
        return fs.LocalFileSystem(), str(expanded(location))
    quoted = quote(location, safe=_URI if scheme == "file" else f"{_URI}?")
    if quoted != location:
        raise ValueError(f"in a URI, characters such as spaces, #, ? and [ must be percent-encoded: {quoted}")
    filesystem, path = fs.FileSystem.from_uri(location)
    return filesystem, path


def refuse_dangling(location: str, root: PurePosixPath, folders: list[PurePosixPath]) -> None:
    """Raise an error for dangling links in a data folder, which pyarrow's listings silently omit.

    Raises:
        BadSignals: a link has no target: the data was not fetched, or was moved.
    """
    dangling = []
    for folder in (PurePosixPath(), *folders):
        with suppress(OSError), os.scandir(root / folder) as entries:
            links = [entry for entry in entries if entry.is_symlink() and not entry.name.startswith(".")]
            dangling += [folder / entry.name for entry in links if not Path(entry.path).exists()]
    if dangling:
        first = min(dangling)
        target = Path(root / first).readlink()
        raise BadSignals(
            f"{location}: {first} is a link to {target}, which does not exist ({len(dangling)} such links); fetch it "
            "(git annex get, dvc pull), mount its disk, or remove the link"
        )
