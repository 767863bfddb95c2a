"""Detection of file types by content, regardless of file names."""

_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"version https://git-lfs", "a Git LFS pointer; run git lfs pull"),
    (b"PK\x03\x04", "a zip archive, such as npz"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x93NUMPY", "a single numpy array (npy)"),
    (b"PAR1", "a parquet file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"%PDF", "a PDF"),
    (b"<", "an HTML or XML page, such as a login page"),
    (b"{", "JSON text"),
)


def file_type_of(data: bytes) -> str | None:
    """Return the file type that the first bytes indicate, worded for an error message, or None if it is unknown."""
    if not data:
        return "empty"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "a WebP image"
    if data[4:12] in (b"ftypheic", b"ftypavif", b"ftypmif1"):
        return "a HEIC or AVIF image"
    head = data[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not any(data[:64]):
        return "all zeros, like a file whose writing was interrupted"
    return next((words for begin, words in _BEGINNINGS if head.startswith(begin) or data.startswith(begin)), None)


def reason_for(data: bytes, error: Exception) -> str:
    """Return why the bytes cannot be read: their actual file type if known, otherwise the reader's error."""
    file_type = file_type_of(data)
    reason = " ".join(str(error).split())[:80] or type(error).__name__
    return reason if file_type is None else f"it is {file_type}"
