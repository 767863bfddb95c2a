"""Arrays of an npz file, named and checked."""

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
from nefstudy.signals.file_type import reason_for
from nefstudy.storage import below, read_bytes

MOST_NAMES = 300  # characters of the names of a file's arrays in an error
UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,
    RuntimeError,  # an encrypted member
    MemoryError,  # a header that claims more than there is room for
    OverflowError,
    SyntaxError,  # a header that is not a literal
    TypeError,
    KeyError,
    IndexError,
    struct.error,
    tokenize.TokenError,
)
"""What numpy and zipfile raise on bytes that are not the npz file they claim to be."""


def read_npz(
    path: str, file: str = "", *, needed: Sequence[str], optional: Sequence[str] = (), fix: str
) -> dict[str, np.ndarray]:
    """Return the needed arrays of the npz file at a path or URI (or of one below it), and the optional ones it has.

    Args:
        fix: what to do about a file that lacks some or is none.

    Raises:
        BadSignals: the file is missing, is no whole npz of plain arrays, or lacks a key.
    """
    data = read_bytes(path, file)
    path = below(path, file)
    try:
        if data.startswith(np.lib.format.MAGIC_PREFIX):
            raise BadSignals(f"{path} is a single array, not an npz file; {fix}")
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            missing = [key for key in needed if key not in archive.files]
            if missing:
                held = one_line(shortened(", ".join(archive.files), MOST_NAMES)) or "nothing"
                raise BadSignals(f"{path} lacks {' and '.join(missing)} (it holds {held}); {fix}")
            return {key: archive[key] for key in (*needed, *optional) if key in archive.files}
    except UNREADABLE as error:
        reason = reason_for(data, error) if not data.startswith(b"PK") else " ".join(str(error).split())[:80]
        raise BadSignals(f"{path} cannot be read as npz of plain arrays of numbers ({reason}); {fix}") from None
