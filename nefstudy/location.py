"""A location as people write it: a local path, or a URI with its characters percent-encoded."""

from typing import Any
from urllib.parse import quote

from pyarrow import fs

from nefstudy.paths import expanded


def parsed(location: str) -> tuple[Any, str]:
    """Return the file system that a location names and its path there; ValueError or OSError names what is wrong."""
    try:
        location.encode()
    except UnicodeEncodeError:
        raise ValueError("it is not UTF-8") from None
    if "\0" in location:
        raise ValueError("it holds a zero byte")
    scheme, mark, _ = location.partition("://")
    if not mark and scheme.startswith("file:"):
        raise ValueError(f"a URI begins with file://, and a path may be written as ./{scheme}")
    if not mark:
        return fs.LocalFileSystem(), str(expanded(location))
    quoted = quote(location, safe=_URI if scheme == "file" else f"{_URI}?")
    if quoted != location:
        raise ValueError(f"in a URI characters such as spaces, #, ? and [ are percent-encoded: {quoted}")
    filesystem, path = fs.FileSystem.from_uri(location)
    return filesystem, path


_URI = "%/:=@+,;!$&'()*~"
"""Characters of a URI that `quote` is to leave as they are, besides letters, digits and _.-"""
