"""Laws of the cache of compiled programs: torn libraries go, whole ones and those being written stay."""

import errno
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nefstudy.fitting.compile_cache import HEADER, is_whole, passes, reason, remove_named, remove_torn

LIBRARY = next(Path(np.__file__).parent.glob("random/_mt19937*.so"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache directory of inductor's with two libraries, one of them torn."""
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
    """Not only an empty one; a whole one is whole."""
    content = LIBRARY.read_bytes()
    copy = Path(f"/proc/self/fd/{_memory_file(content[: int(share * len(content))])}")
    assert is_whole(LIBRARY)
    assert not is_whole(copy)


def _memory_file(content: bytes) -> int:
    import os

    number = os.memfd_create("library")
    os.write(number, content)
    return number


def test_a_library_whose_header_was_not_written_is_torn(tmp_path: Path) -> None:
    """The linker writes the header last, over zeros."""
    copy = tmp_path / "x.so"
    copy.write_bytes(bytes(HEADER) + LIBRARY.read_bytes()[HEADER:])
    assert not is_whole(copy)


def test_only_what_is_torn_is_removed(cache: Path) -> None:
    """Exactly the torn entry goes."""
    assert remove_torn(cache) == [cache / "to/torn.main.so"]
    assert [path.name for path in cache.glob("*/*.so")] == ["whole.main.so"]
    assert remove_torn(cache) == []


def test_what_another_process_is_writing_stays(cache: Path) -> None:
    """A library under inductor's lock is not torn but unfinished."""
    from torch.utils._filelock import FileLock

    (cache / "locks").mkdir()
    with FileLock(str(cache / "locks/torn.lock")):
        assert remove_torn(cache) == []
    assert remove_torn(cache) != []


def test_an_error_of_loading_names_what_to_remove(cache: Path) -> None:
    """A library that is whole by its size and does not load; none outside of the cache, none on a noexec mount."""
    inner = OSError(f"{cache}/wh/whole.main.so: undefined symbol: x ({LIBRARY})")
    error = RuntimeError("inductor raised")
    error.__context__ = inner
    noexec = OSError(f"{cache}/wh/whole.main.so: failed to map segment from shared object")
    assert remove_named(noexec, cache) == []
    assert remove_named(error, cache) == [cache / "wh/whole.main.so"]
    assert LIBRARY.exists()


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
def test_what_passes_is_told_from_what_stays(error: Exception, expected: bool) -> None:
    """Space, memory and descriptors may be free at the next attempt; mounts and compilers stay what they are."""
    assert passes(error) is expected
    assert len(reason(error).splitlines()) == 1
