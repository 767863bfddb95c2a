"""Inductor's cache of compiled programs on disk: libraries that a killed compiler left torn, and errors that pass.

The linker writes a library under its final name. Killed in the middle it leaves a torn one, which inductor takes for
finished: loading it fails, kills the process (a page beyond the file's end), or, for the probes of vector instructions,
selects other instructions and so other last digits.
"""

import getpass
import os
import re
import struct
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from nefstudy.outside_text import printable, shortened

PASSES = re.compile(
    r"no space left on device|quota exceeded|cannot allocate memory|out of memory|memory exhausted|killed signal"
    r"|too many open files|input/output error|stale file handle|resource temporarily unavailable|timed out",
    re.IGNORECASE,
)
"""Of a failed compilation that may succeed later: it says nothing about what this machine can compile."""

LIBRARY = re.compile(r"(/[^\s:'\"]+\.so)\b")
VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
UNSAFE = r'[\\/:*?"<>|]'  # of a user's name in a path, as torch has it
ELF = b"\x7fELF"
HEADER = 64  # bytes


@cache
def why_no_place() -> str | None:
    """Return why the directory of the cache cannot be used, or None if it can.

    torch makes that directory when it first takes a step of an optimizer, compiled or not, and fails where it cannot.
    So another directory is named to it then; nothing is compiled there.
    """
    place = os.environ.get(VARIABLE)
    try:
        if place is None:
            place = str(Path(tempfile.gettempdir()) / f"torchinductor_{re.sub(UNSAFE, '_', getpass.getuser())}")
        Path(place).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return None
    except (OSError, KeyError) as error:
        if passes(error):
            raise
        other = Path(tempfile.gettempdir()) / f"nefstudy-inductor-{os.getuid()}"
        other.mkdir(exist_ok=True)
        os.environ[VARIABLE] = str(other)
        return f"there is no place for compiled programs ({reason(error)}; set {VARIABLE})"


def is_whole(library: Path) -> bool:
    """Return whether a library has its table of sections, which lies at the file's end, and its header."""
    with library.open("rb") as file:
        header = file.read(HEADER)
        size = os.fstat(file.fileno()).st_size
    if len(header) < HEADER or not any(header[:4]):
        return False
    if header[:5] != ELF + b"\x02":
        return True  # of another system
    (sections,) = struct.unpack_from("<Q", header, 40)
    entry, count = struct.unpack_from("<HH", header, 58)
    return bool(sections) and size >= sections + entry * count


def remove_torn(directory: Path) -> list[Path]:
    """Remove the torn libraries that no process is writing; return their paths."""
    return [path for path in directory.glob("*/*.so") if not is_whole(path) and _remove(path)]


def remove_named(error: BaseException, directory: Path) -> list[Path]:
    """Remove the libraries of the cache that an error of loading names; return their paths."""
    text = "\n".join(_texts(error))
    if "failed to map segment" in text:  # mounted noexec: the library is sound
        return []
    named = {Path(name) for name in LIBRARY.findall(text)}
    return [path for path in sorted(named) if path.is_relative_to(directory) and path.is_file() and _remove(path)]


def passes(error: BaseException) -> bool:
    """Return whether a failure to compile may be over at the next attempt."""
    return isinstance(error, MemoryError | TimeoutError) or any(PASSES.search(text) for text in _texts(error))


def reason(error: BaseException) -> str:
    """Return why compiling failed, as one short line."""
    lines = [line.strip() for line in printable(next(_texts(error))).splitlines() if line.strip()]
    return shortened(" ".join(lines[:2]), 300)


def _remove(library: Path) -> bool:
    """Remove a library unless another process holds inductor's lock on it: that one is writing it."""
    from torch._inductor.codecache import get_lock_dir
    from torch.utils._filelock import FileLock

    key = library.name.partition(".")[0]
    try:
        with FileLock(str(Path(get_lock_dir()) / f"{key}.lock"), timeout=0):
            library.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _texts(error: BaseException) -> Iterator[str]:
    """Yield class and message of an error and of those it was raised from or after."""
    link: BaseException | None = error
    for _ in range(8):
        if link is None:
            return
        yield f"{type(link).__name__}: {link}"
        link = link.__cause__ or link.__context__
