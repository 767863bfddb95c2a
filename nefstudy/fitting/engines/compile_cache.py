"""Inductor's cache of compiled programs on disk: removal of truncated files, and detection of temporary errors.

The linker writes a library under its final name. If it is killed, it leaves a truncated file that inductor takes for
finished. Loading that file fails, kills the process (by reading a page beyond its end) or, for the probes of vector
instructions, selects other instructions and so gives other last digits. The compiler does the same with the header that
inductor precompiles for all programs of a user: with a truncated one, nothing compiles.
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

TEMPORARY = re.compile(
    r"no space left on device|quota exceeded|cannot allocate memory|out of memory|memory exhausted|killed signal"
    r"|too many open files|input/output error|stale file handle|resource temporarily unavailable|timed out",
    re.IGNORECASE,
)
"""Messages of failures that may not recur and therefore do not show whether this machine can compile."""

HEADER_UNREADABLE = re.compile(r"precompiled|\bPCH\b|\.gch\b|\.pch\b")
"""Messages of g++ and clang++ about a precompiled header that they cannot read."""

HEADERS = "precompiled_headers"
INCLUDED = re.compile(rf"(/[^\s:'\"]+/{HEADERS}/[^\s:'\"/]+\.h)\b")
LIBRARY = re.compile(r"(/[^\s:'\"]+\.so)\b")
VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
UNSAFE = r'[\\/:*?"<>|]'  # characters that torch replaces in a user's name
ELF = b"\x7fELF"
HEADER = 64  # bytes


def cache_directory() -> Path:
    """Return inductor's cache directory, without importing inductor.

    Raises:
        KeyError: the user has no name.
    """
    directory = os.environ.get(VARIABLE)
    if directory is not None:
        return Path(directory)
    return Path(tempfile.gettempdir()) / f"torchinductor_{re.sub(UNSAFE, '_', getpass.getuser())}"


@cache
def cache_unusable_reason() -> str | None:
    """Return why the directory of the cache cannot be used, or None if it can.

    At an optimizer's first step, compiled or not, torch creates that directory and raises if it cannot. So an unusable
    directory is replaced in the environment by another one, into which nothing is compiled.
    """
    try:
        directory = cache_directory()
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return None
    except (OSError, KeyError) as error:
        if is_temporary(error):
            raise
        replacement = Path(tempfile.gettempdir()) / f"nefstudy-inductor-{os.getuid()}"
        replacement.mkdir(exist_ok=True)
        os.environ[VARIABLE] = str(replacement)
        return f"compiled programs cannot be cached ({reason(error)}; set {VARIABLE})"


def is_complete(library: Path) -> bool:
    """Return whether a library has its header and, at the end of the file, its section table."""
    with library.open("rb") as file:
        header = file.read(HEADER)
        size = os.fstat(file.fileno()).st_size
    if len(header) < HEADER or not any(header[:4]):
        return False
    if header[:5] != ELF + b"\x02":
        return True  # not a 64-bit ELF file
    (sections,) = struct.unpack_from("<Q", header, 40)
    entry, count = struct.unpack_from("<HH", header, 58)
    return bool(sections) and size >= sections + entry * count


def remove_truncated(directory: Path) -> list[Path]:
    """Remove truncated libraries that no process is writing, and return their paths."""
    from torch._inductor.codecache import get_lock_dir

    locks = Path(get_lock_dir())
    return [path for path in directory.glob("*/*.so") if not is_complete(path) and _remove(path, locks=locks)]


def remove_named(error: BaseException, directory: Path) -> list[Path]:
    """Remove the cached libraries that are named in a loading error, and return their paths."""
    from torch._inductor.codecache import get_lock_dir

    locks = Path(get_lock_dir())
    text = "\n".join(_texts(error))
    if "failed to map segment" in text:  # the directory is mounted noexec; the library is intact
        return []
    named = {Path(name) for name in LIBRARY.findall(text)}
    return [
        path
        for path in sorted(named)
        if path.is_relative_to(directory) and path.is_file() and _remove(path, locks=locks)
    ]


def remove_headers(error: BaseException) -> list[Path]:
    """Remove the precompiled headers that a failed compilation could not read, and return their paths.

    The next attempt of this process compiles with the plain header, which is next to the precompiled one; the next
    process precompiles it again. Inductor keeps these headers in its default directory, wherever its cache is.
    """
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    directory = Path(default_cache_dir()) / HEADERS
    text = "\n".join(_texts(error))
    if HEADER_UNREADABLE.search(_output(text)) is None:
        return []
    compiled = {Path(f"{name}{suffix}") for name in INCLUDED.findall(text) for suffix in (".gch", ".pch")}
    return [
        path
        for path in sorted(compiled)
        if path.parent == directory and path.is_file() and _remove(path, locks=directory / "locks")
    ]


def is_temporary(error: BaseException) -> bool:
    """Return whether an error is temporary, so that compiling may succeed on the next attempt."""
    return isinstance(error, MemoryError | TimeoutError) or any(TEMPORARY.search(text) for text in _texts(error))


def reason(error: BaseException) -> str:
    """Return the reason for a failed compilation as one short line, with the first error that the compiler printed."""
    text = printable(next(_texts(error)))
    lines, output = ([line.strip() for line in part.splitlines() if line.strip()] for part in (text, _output(text)))
    errors = [line for line in output if "error:" in line] or output
    return shortened(" ".join([lines[0], errors[0]] if errors else lines[:2]), 300)


def _output(text: str) -> str:
    """Return the compiler's output, extracted from the text of inductor's error."""
    return text.partition("\nOutput:\n")[2]


def _remove(path: Path, *, locks: Path) -> bool:
    """Remove a file unless another process, which is still writing it, holds inductor's lock on it."""
    from torch.utils._filelock import FileLock

    key = path.name.partition(".")[0]
    try:
        with FileLock(str(locks / f"{key}.lock"), timeout=0):
            path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _texts(error: BaseException) -> Iterator[str]:
    """Yield the class and message of an error and of its causes and contexts."""
    link: BaseException | None = error
    for _ in range(8):
        if link is None:
            return
        yield f"{type(link).__name__}: {link}"
        link = link.__cause__ or link.__context__
