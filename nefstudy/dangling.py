"""Links to nothing in folders of data: their content was not fetched, or has moved."""

import os
from contextlib import suppress
from pathlib import Path, PurePosixPath

from nefstudy.errors import BadSignals


def refuse_dangling(location: str, root: PurePosixPath, folders: list[PurePosixPath]) -> None:
    """Refuse links to nothing, which pyarrow leaves out of its listings: their content was not fetched, or moved."""
    dangling = []
    for folder in (PurePosixPath(), *folders):
        with suppress(OSError), os.scandir(root / folder) as entries:
            links = [entry for entry in entries if entry.is_symlink() and not entry.name.startswith(".")]
            dangling += [folder / entry.name for entry in links if not Path(entry.path).exists()]
    if dangling:
        first = min(dangling)
        target = Path(root / first).readlink()
        raise BadSignals(
            f"{location}: {first} is a link to {target}, which is not there ({len(dangling)} such); fetch it (git "
            "annex get, dvc pull), mount its disk, or remove the link"
        )
