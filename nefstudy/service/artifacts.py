"""Pictures of trials, read from under the root and from nowhere else."""

from pathlib import Path

MEDIA_TYPES = {".png": "image/png", ".json": "application/json", ".csv": "text/csv", ".txt": "text/plain"}
MAX_BYTES = 8 * 1024 * 1024


class Artifacts:
    """The files that trials left under one root directory; none when there is no root."""

    def __init__(self, root: str | Path | None) -> None:
        self._root = None if root is None or "://" in str(root) else Path(root).resolve()

    def read(self, relative: str) -> bytes | None:
        """The file's bytes; None when it is not there, not a plain file under the root, or too large to show."""
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
        """How a browser is to take the file."""
        return MEDIA_TYPES.get(Path(name).suffix, "application/octet-stream")
