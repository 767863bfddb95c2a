"""The native engine's library: compiled on first use, once per machine, and kept in inductor's cache directory."""

import ctypes
import logging
import os
import platform
import subprocess
import tempfile
import time
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from filelock import FileLock

from nefstudy.fitting.engines.compile_cache import TEMPORARY, cache_directory, is_complete, is_temporary, reason
from nefstudy.fitting.engines.compiler import CannotCompile, compiler_command, no_compiler_reason
from nefstudy.outside_text import printable, shortened

FLAGS = ("-std=c++17", "-O3", "-march=native", "-ffp-contract=off", "-fPIC", "-shared")
FOLDER = "nefstudy-native"
MAIN = "native.cpp"
TRIES = 3
COMPILE_S = 600  # seconds after which a compiler is stopped

log = logging.getLogger(__name__)


def unavailable_reason() -> str | None:
    """Return why this machine has no library and cannot compile one, or None if it has one or may compile it."""
    return None if is_built() else no_compiler_reason(compiler_command()[:1])


def is_built() -> bool:
    """Return whether this machine has compiled the library."""
    return library_path().exists()


def build_failure() -> str | None:
    """Compile and load the library if this process has not yet, and return why this fails, or None if it does not.

    Raises:
        OSError: a temporary reason, such as a full disk.
    """
    try:
        library()
    except CannotCompile as error:
        return str(error)
    return None


@cache
def library(*extra: str) -> ctypes.CDLL:
    """Return the loaded library, compiled on first use; `extra` are more flags for the compiler.

    If several processes of a machine need it at once, one compiles and the others wait. A file that cannot be loaded,
    such as a truncated one, is compiled again.

    Raises:
        CannotCompile: this machine cannot compile it, and a later attempt would fail as well.
        OSError: a temporary reason, such as a full disk.
    """
    path = library_path(*extra)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in reversed(range(TRIES)):
            with FileLock(f"{path}.lock"):
                if not path.exists() or not is_complete(path):
                    _compile(path, extra)
            try:
                return _load(path)
            except OSError as error:
                if left == 0 or is_temporary(error) or "failed to map segment" in str(error):
                    raise
                log.warning("removed a broken library: %s", path)
                path.unlink(missing_ok=True)
    except OSError as error:
        if is_temporary(error):
            raise
        raise CannotCompile(f"compiling fails: {reason(error)}") from error
    raise AssertionError("the last attempt returns or raises")


def _load(path: Path) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(path))
    loaded.nefstudy_vector.restype = ctypes.c_char_p
    return loaded


def library_path(*extra: str) -> Path:
    """Return the path of the library of these sources, compiler, flags and kind of processor."""
    named = repr((sorted(sources().items()), compiler_command(), FLAGS, extra, _processor()))
    return cache_directory() / FOLDER / f"{sha256(named.encode()).hexdigest()[:20]}.so"


@cache
def sources() -> dict[str, str]:
    """Return the engine's C++ sources by file name."""
    folder = files("nefstudy.fitting.engines.native")
    found = (entry for entry in folder.iterdir() if entry.name.endswith((".cpp", ".hpp")))
    return {entry.name: entry.read_text(encoding="utf-8") for entry in found}


def _compile(path: Path, extra: tuple[str, ...]) -> None:
    """Compile the library in the folder of its path and rename it, so that the path never has a part of it.

    Raises:
        CannotCompile: the compiler refuses the sources or does not end.
        OSError: the compiler cannot be started or has no memory or disk space.
    """
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        for name, text in sources().items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        made = Path(folder) / path.name
        command = [*compiler_command(), *FLAGS, *extra, "-o", str(made), str(Path(folder) / MAIN)]
        try:
            run = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=COMPILE_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise CannotCompile(f"compiling takes more than {COMPILE_S} s") from error
        if run.returncode != 0:
            raise _failure(command[0], run)
        with made.open("rb") as file:
            os.fsync(file.fileno())
        made.replace(path)
    log.info("compiled the native engine in %.1f s", time.perf_counter() - began)


def _failure(name: str, run: subprocess.CompletedProcess[str]) -> Exception:
    lines = [line.strip() for line in printable(run.stderr).splitlines() if line.strip()]
    first = next((line for line in lines if "error" in line), lines[0] if lines else f"exit code {run.returncode}")
    text = f"{name} fails: {shortened(first, 250)}"
    if run.returncode < 0 or TEMPORARY.search(run.stderr):
        return OSError(f"{text}; out of memory or disk space" if run.returncode < 0 else text)
    return CannotCompile(text)


@cache
def _processor() -> str:
    """Return the architecture and instruction sets of this processor, on which `-march=native` depends."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    sets = next((line for line in lines if line.lower().startswith(("flags", "features"))), platform.processor())
    return f"{platform.machine()} {sets}"
