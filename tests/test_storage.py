"""Files appear whole, locally and elsewhere."""

from pathlib import Path

import pytest
from pyarrow import fs

from nefstudy.errors import BadRoot
from nefstudy.storage import Storage


@pytest.fixture(params=["path", "uri", "other"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A local path, a file URI, and a file system that is not pyarrow's local one."""
    if request.param == "other":
        return Storage("other", fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "")
    return Storage.at(str(tmp_path) if request.param == "path" else tmp_path.as_uri())


def test_what_is_written_is_read(storage: Storage) -> None:
    """Bytes come back; writing again replaces them whole and leaves nothing beside."""
    storage.write("a/b/c.bin", b"one")
    storage.write("a/b/c.bin", b"another")
    assert storage.read("a/b/c.bin") == b"another"
    assert bytes(storage.buffer("a/b/c.bin")) == b"another"
    assert storage.size("a/b/c.bin") == 7
    assert storage.names("a/b") == ("c.bin",)


def test_what_is_not_there_has_no_size_and_no_names(storage: Storage) -> None:
    """Absence is an answer, not an error; removing what is absent does nothing."""
    assert storage.size("a/b") is None
    assert storage.names("a/b") == ()
    storage.remove("a/b")


def test_removing_takes_files_and_directories(storage: Storage) -> None:
    """A removed directory takes what is in it, and nothing else."""
    storage.write("a/b/c.bin", b"one")
    storage.write("a/d.bin", b"two")
    storage.remove("a/b")
    assert storage.names("a") == ("d.bin",)
    storage.remove("a/d.bin")
    assert storage.size("a/d.bin") is None


def test_a_uri_nobody_can_open_is_refused() -> None:
    """An unknown scheme is a bad root."""
    with pytest.raises(BadRoot, match="root 'gopher://hole'"):
        Storage.at("gopher://hole")
