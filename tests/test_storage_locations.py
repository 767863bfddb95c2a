"""Laws of locations: a path and its URI are the same files; what cannot be reached is refused by name."""

from pathlib import Path, PurePosixPath

import pytest

from nefstudy.errors import BadSignals
from nefstudy.storage import below, list_tree, open_file, read_bytes


def _tree(folder: Path) -> Path:
    (folder / "b" / "empty").mkdir(parents=True)
    (folder / ".git").mkdir()
    for name in ("b/2.png", "b/10.png", "a.txt", ".git/x.png", "b/.hidden"):
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.mark.parametrize("as_uri", [False, True])
def test_a_tree_is_listed_in_order_without_hidden_entries(tmp_path: Path, as_uri: bool):
    """Files and folders come sorted by path, dotted ones left out, from a path or a URI."""
    folder = _tree(tmp_path)
    location = folder.as_uri() if as_uri else str(folder)
    files, folders = list_tree(location)
    assert files == [PurePosixPath("a.txt"), PurePosixPath("b/10.png"), PurePosixPath("b/2.png")]
    assert folders == [PurePosixPath("b"), PurePosixPath("b/empty")]
    assert [read_bytes(below(location, str(file))) for file in files] == [str(file).encode() for file in files]


def test_an_open_file_can_be_sought(tmp_path: Path):
    """A file is opened for random access and closed afterwards."""
    _tree(tmp_path)
    with open_file(str(tmp_path / "a.txt")) as file:
        file.seek(2)
        assert file.read() == b"txt"
    assert file.closed


def test_compressed_files_are_not_unpacked_on_the_way(tmp_path: Path):
    """The bytes of a .gz are its own."""
    (tmp_path / "x.gz").write_bytes(b"plain")
    assert read_bytes(str(tmp_path / "x.gz")) == b"plain"


@pytest.mark.parametrize("location", ["{}/gone.bin", "file://{}/gone.bin", "{}"])
def test_what_is_no_file_is_refused(tmp_path: Path, location: str):
    """A missing file or a folder is refused by the name it was asked under."""
    location = location.format(tmp_path)
    with pytest.raises(BadSignals, match="cannot be read") as refused:
        read_bytes(location)
    assert str(refused.value).startswith(location)


@pytest.mark.parametrize("location", ["nosuch://bucket/x", "file://relative/x", "://"])
def test_what_is_no_uri_is_refused(location: str):
    """An unknown scheme or a malformed URI is refused as such."""
    with pytest.raises(BadSignals, match=r"cannot be opened .* give a path or a pyarrow URI"):
        read_bytes(location)
