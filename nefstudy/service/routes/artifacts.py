"""Artifact files of trials, read only from within the root directory."""

from pathlib import Path

MEDIA_TYPES = {".png": "image/png", ".json": "application/json", ".csv": "text/csv", ".txt": "text/plain"}
MAX_BYTES = 8 * 1024 * 1024


class Artifacts:
    """Files that trials stored under a root directory; there are no files without a root."""

    def __init__(self, root: str | Path | None) -> None:
        self._root = None if root is None or "://" in str(root) else Path(root).resolve()

    def read(self, relative: str) -> bytes | None:
        """Return a file's bytes, or None if it is missing, not a regular file under the root, or too large."""
        if self._root is None or "\0" in relative:
            return None
        path = (self._root / relative).resolve()
        if not path.is_relative_to(self._root) or path.suffix not in MEDIA_TYPES:
            return None
        try:
            return path.read_bytes() if path.is_file() and path.stat().st_size <= MAX_BYTES else None
        except OSError:
            return None

    @staticmethod
    def media_type(name: str) -> str:
        """Return the file's media type by its suffix."""
        return MEDIA_TYPES.get(Path(name).suffix, "application/octet-stream")
