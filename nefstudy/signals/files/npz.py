"""Named arrays of an npz file."""

import io
import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np

from nefstudy.errors import BadSignals
from nefstudy.outside_text import one_line, shortened
from nefstudy.signals.files.file_type import reason_for
from nefstudy.storage import below, read_bytes

NAMES_LENGTH = 300  # maximum length of a list of array names in an error
UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,
    RuntimeError,  # an encrypted member
    MemoryError,  # a header that claims more data than fits in memory
    OverflowError,
    SyntaxError,  # a header that is not a literal
    TypeError,
    KeyError,
    IndexError,
    struct.error,
    tokenize.TokenError,
)
"""Exceptions that numpy and zipfile raise for invalid npz files."""


def read_npz(
    path: str, file: str = "", *, needed: Sequence[str], optional: Sequence[str] = (), fix: str
) -> dict[str, np.ndarray]:
    """Return the required arrays of an npz file, and the optional arrays that the file contains.

    The file is at `path` or, if `file` is given, below that path.

    Args:
        fix: next step for the user if the file is invalid or lacks an array.

    Raises:
        BadSignals: the file is missing, is not a complete npz file of plain arrays, or lacks a key.
    """
    data = read_bytes(path, file)
    path = below(path, file)
    try:
        if data.startswith(np.lib.format.MAGIC_PREFIX):
            raise BadSignals(f"{path} is a single array, not an npz file; {fix}")
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            missing = [key for key in needed if key not in archive.files]
            if missing:
                names = one_line(shortened(", ".join(archive.files), NAMES_LENGTH)) or "nothing"
                raise BadSignals(f"{path} lacks {' and '.join(missing)} (it contains {names}); {fix}")
            return {key: archive[key] for key in (*needed, *optional) if key in archive.files}
    except UNREADABLE as error:
        reason = reason_for(data, error) if not data.startswith(b"PK") else " ".join(str(error).split())[:80]
        raise BadSignals(f"{path} cannot be read as an npz file of numeric arrays ({reason}); {fix}") from None
