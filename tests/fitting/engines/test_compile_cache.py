"""Tests of the cache of compiled programs: a library is removed only if it is truncated and not being written."""

import errno
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nefstudy.fitting.engines.compile_cache import (
    HEADER,
    is_complete,
    is_temporary,
    reason,
    remove_headers,
    remove_named,
    remove_truncated,
)

LIBRARY = next(Path(np.__file__).parent.glob("random/_mt19937*.so"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an inductor cache directory with two libraries, one of them truncated."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    for name in ("whole", "torn"):
        (tmp_path / name[:2]).mkdir()
        shutil.copy(LIBRARY, tmp_path / name[:2] / f"{name}.main.so")
    torn = tmp_path / "to/torn.main.so"
    torn.write_bytes(torn.read_bytes()[:-1])
    return tmp_path


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1, exclude_max=True))
def test_a_library_cut_anywhere_is_torn(share: float) -> None:
    """A library cut to any length is recognized as truncated, and the complete library as complete."""
    content = LIBRARY.read_bytes()
    copy = Path(f"/proc/self/fd/{_memory_file(content[: int(share * len(content))])}")
    assert is_complete(LIBRARY)
    assert not is_complete(copy)


def _memory_file(content: bytes) -> int:
    import os

    number = os.memfd_create("library")
    os.write(number, content)
    return number


def test_a_library_whose_header_was_not_written_is_torn(tmp_path: Path) -> None:
    """A library with a zeroed header counts as truncated, because the linker writes the header last."""
    copy = tmp_path / "x.so"
    copy.write_bytes(bytes(HEADER) + LIBRARY.read_bytes()[HEADER:])
    assert not is_complete(copy)


def test_only_what_is_torn_is_removed(cache: Path) -> None:
    """Given one truncated and one complete library, only the truncated one is removed."""
    assert remove_truncated(cache) == [cache / "to/torn.main.so"]
    assert [path.name for path in cache.glob("*/*.so")] == ["whole.main.so"]
    assert remove_truncated(cache) == []


def test_what_another_process_is_writing_stays(cache: Path) -> None:
    """A truncated library is not removed while inductor holds its lock."""
    from torch.utils._filelock import FileLock

    (cache / "locks").mkdir()
    with FileLock(str(cache / "locks/torn.lock")):
        assert remove_truncated(cache) == []
    assert remove_truncated(cache) != []


def test_an_error_of_loading_names_what_to_remove(cache: Path) -> None:
    """A complete library that fails to load is removed, unless it is outside the cache or on a noexec mount."""
    inner = OSError(f"{cache}/wh/whole.main.so: undefined symbol: x ({LIBRARY})")
    error = RuntimeError("inductor raised")
    error.__context__ = inner
    noexec = OSError(f"{cache}/wh/whole.main.so: failed to map segment from shared object")
    assert remove_named(noexec, cache) == []
    assert remove_named(error, cache) == [cache / "wh/whole.main.so"]
    assert LIBRARY.exists()


def compile_error(header: Path, output: str) -> Exception:
    """Return the error that inductor raises if code that includes a header fails to compile."""
    options = f"-D TORCH_INDUCTOR_PRECOMPILE_HEADERS -Winvalid-pch -include {header}"
    text = f"C++ compile error\n\nCommand:\ng++ /c/6t/x.main.cpp {options} -o x.so\n\nOutput:\n{output}\n"
    error = RuntimeError("inductor raised")
    error.__cause__ = RuntimeError(text)
    return error


@pytest.fixture
def header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a header in inductor's default directory, with its precompiled form next to it."""
    from torch._inductor.runtime import cache_dir_utils

    monkeypatch.setattr(cache_dir_utils, "default_cache_dir", lambda: str(tmp_path))
    (tmp_path / "precompiled_headers/locks").mkdir(parents=True)
    header = tmp_path / "precompiled_headers/cf.h"
    header.touch()
    Path(f"{header}.gch").write_bytes(b"gpch")
    return header


@pytest.mark.parametrize(
    "output",
    [
        "<command-line>: fatal error: cannot read /t/precompiled_headers/cf.h.gch: No such file or directory",
        "cc1plus: error: while reading precompiled header: No such file or directory\nx.h:12: warning: overflow",
        "<command-line>: fatal error: cannot read PCH file: No such file or directory\ncompilation terminated.",
        "fatal error: file 'cf.h.gch' is not a valid precompiled PCH file",
    ],
)
def test_a_header_that_the_compiler_cannot_read_is_removed(header: Path, output: str) -> None:
    """A precompiled header that g++ or clang++ cannot read is removed. The header itself is kept."""
    compiled = Path(f"{header}.gch")
    assert remove_headers(compile_error(header, output)) == [compiled]
    assert (header.exists(), compiled.exists()) == (True, False)
    assert remove_headers(compile_error(header, output)) == []


def test_other_headers_stay(header: Path, tmp_path: Path) -> None:
    """A header stays if the error is unrelated, its lock is held, or it is outside inductor's directory."""
    from torch.utils._filelock import FileLock

    unreadable = "fatal error: cannot read PCH file: No such file or directory"
    assert remove_headers(compile_error(header, "x.cpp:1: error: 'f' was not declared in this scope")) == []
    with FileLock(str(header.parent / "locks/cf.lock")):
        assert remove_headers(compile_error(header, unreadable)) == []
    elsewhere = tmp_path / "else/precompiled_headers/cf.h"
    elsewhere.parent.mkdir(parents=True)
    Path(f"{elsewhere}.gch").touch()
    assert remove_headers(compile_error(elsewhere, unreadable)) == []
    assert Path(f"{header}.gch").exists()


def test_the_reason_is_the_compilers_first_error(header: Path) -> None:
    """The reason for a failed compilation quotes the compiler's first error, not the command."""
    output = "x.cpp:1: note: in f\nx.cpp:3: error: 'g' was not declared\nx.cpp:4: error: no"
    error = compile_error(header, output).__cause__
    assert error is not None
    assert reason(error) == "RuntimeError: C++ compile error x.cpp:3: error: 'g' was not declared"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (RuntimeError("C++ compile error\ng++: fatal error: Killed signal terminated program cc1plus"), True),
        (RuntimeError("OSError: [Errno 24] Too many open files"), True),
        (MemoryError(), True),
        (OSError("/tmp/x.so: failed to map segment from shared object"), False),
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), False),
        (RuntimeError("C++ compile error\nerror: unrecognized option -march=x"), False),
    ],
)
def test_temporary_errors_are_recognized(error: Exception, expected: bool) -> None:
    """Running out of space, memory or file descriptors is a temporary error. Mount and compiler errors are not."""
    assert is_temporary(error) is expected
    assert len(reason(error).splitlines()) == 1
