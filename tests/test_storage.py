"""Tests of storage: writes are atomic, and nothing outside a root changes."""

import os
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import pytest
from pyarrow import fs

from nefstudy.errors import BadRoot, BadSignals
from nefstudy.storage import Storage, below, list_tree, open_file, read_bytes


@pytest.fixture(params=["path", "uri", "other"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Return storage at a local path, at a file URI, or on a file system other than pyarrow's local one."""
    if request.param == "other":
        return Storage("other", fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "")
    return Storage.at(str(tmp_path) if request.param == "path" else tmp_path.as_uri())


def test_written_bytes_are_read_back(storage: Storage) -> None:
    """Written bytes are read back unchanged.

    Rewriting replaces the whole file and leaves no other file behind.
    """
    storage.write("a/b/c.bin", b"one")
    storage.write("a/b/c.bin", b"another")
    assert storage.read("a/b/c.bin") == b"another"
    assert bytes(storage.buffer("a/b/c.bin")) == b"another"
    assert storage.size("a/b/c.bin") == 7
    assert storage.names("a/b") == ("c.bin",)


def test_a_missing_path_has_no_size_and_no_names(storage: Storage) -> None:
    """A missing path has no size and contains no names.

    Removing a missing path does nothing.
    """
    assert storage.size("a/b") is None
    assert storage.names("a/b") == ()
    storage.remove("a/b")


def test_files_and_directories_can_be_removed(storage: Storage) -> None:
    """Removing a directory removes its contents and nothing else."""
    storage.write("a/b/c.bin", b"one")
    storage.write("a/d.bin", b"two")
    storage.remove("a/b")
    assert storage.names("a") == ("d.bin",)
    storage.remove("a/d.bin")
    assert storage.size("a/d.bin") is None


def test_a_uri_of_unknown_scheme_is_refused() -> None:
    """A root with an unknown URI scheme is rejected."""
    with pytest.raises(BadRoot, match="'gopher://hole'"):
        Storage.at("gopher://hole")


@pytest.mark.parametrize("path", ["", ".", "..", "../other", "a/../../other", "a/..", "/etc", "a//b", "a/", "a\0b"])
def test_a_path_that_leaves_the_root_is_refused(storage: Storage, path: str) -> None:
    """Reading, writing and removing reject paths that could lead outside the root or to the root itself."""
    for act in (
        storage.size,
        storage.read,
        storage.names,
        storage.remove,
        storage.remove_half_written,
        storage.total_size,
        storage.uri,
    ):
        with pytest.raises(BadRoot, match="below the root"):
            act(path)
    with pytest.raises(BadRoot, match="below the root"):
        storage.write(path, b"x")


@pytest.mark.parametrize("path", ["link", "link/kept.txt", "inside/link/kept.txt"])
def test_removal_never_follows_a_link_out_of_the_root(tmp_path: Path, path: str) -> None:
    """Removing a path is rejected if a symbolic link in it leads outside the root.

    The link and its target are kept.
    """
    root, other = tmp_path / "root", tmp_path / "other"
    for folder in (root, root / "inside"):
        folder.mkdir()
        (folder / "link").symlink_to(other, target_is_directory=True)
    other.mkdir()
    (other / "kept.txt").write_text("mine")
    with pytest.raises(BadRoot, match="symbolic link"):
        Storage.at(str(root)).remove(path)
    assert (other / "kept.txt").read_text() == "mine"
    assert (root / "link").is_symlink()


def test_removing_a_folder_keeps_the_targets_of_its_links(tmp_path: Path) -> None:
    """Removing a folder removes the links in it but not their targets."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "kept.txt").write_text("mine")
    (tmp_path / "root" / "folder").mkdir(parents=True)
    (tmp_path / "root" / "folder" / "link").symlink_to(tmp_path / "other", target_is_directory=True)
    Storage.at(str(tmp_path / "root")).remove("folder")
    assert not (tmp_path / "root" / "folder").exists()
    assert (tmp_path / "other" / "kept.txt").read_text() == "mine"


def test_a_root_behind_a_link_is_an_ordinary_root(tmp_path: Path) -> None:
    """The root itself may be a symbolic link or contain `..`.

    Files below such a root can be removed.
    """
    (tmp_path / "real" / "a").mkdir(parents=True)
    (tmp_path / "root").symlink_to(tmp_path / "real")
    storage = Storage.at(str(tmp_path / "real" / ".." / "root"))
    storage.write("a/b.bin", b"x")
    storage.remove("a/b.bin")
    assert storage.size("a/b.bin") is None


def test_a_uri_percent_encodes_names(tmp_path: Path) -> None:
    """The URI of a file opens the file, regardless of the characters in its name.

    A query in the root's URI stays after the path.
    """
    root = tmp_path / "run?lr=1 #50%"
    storage = Storage.at(str(root))
    storage.write("a b/c#d.bin", b"x")
    assert read_bytes(storage.uri("a b/c#d.bin")) == b"x"
    remote = Storage("s3://bucket/x?region=y", fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "bucket/x")
    assert remote.uri("a b/c") == "s3://bucket/x/a%20b/c?region=y"


def test_names_that_are_not_utf8_are_not_ours(tmp_path: Path) -> None:
    """A file with undecodable bytes in its name is not listed."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").touch()
    Path(os.fsdecode(os.fsencode(tmp_path / "d") + b"/\xff")).touch()
    assert Storage.at(str(tmp_path)).names("d") == ("a",)
    assert Storage.at(str(tmp_path)).total_size("d") == 0


@pytest.mark.parametrize(
    "root", ["/tmp/\udcff", "/tmp/a\0b", "file:/tmp/x", "file:///tmp/a#b", "file:///tmp/a?b", "~no-one/x"]
)
def test_an_ambiguous_root_is_refused(root: str) -> None:
    """A root that would be misread or cannot exist is rejected with a one-line error."""
    with pytest.raises(BadRoot) as refused:
        Storage.at(root)
    assert len(str(refused.value).splitlines()) == 1


def _tree(folder: Path) -> Path:
    (folder / "b" / "empty").mkdir(parents=True)
    (folder / ".git").mkdir()
    for name in ("b/2.png", "b/10.png", "a.txt", ".git/x.png", "b/.hidden"):
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.mark.parametrize("as_uri", [False, True])
def test_a_tree_is_listed_in_order_without_hidden_entries(tmp_path: Path, as_uri: bool):
    """A folder's files and folders are listed in order of their paths, without hidden entries.

    The folder may be given as a path or a URI.
    """
    folder = _tree(tmp_path)
    location = folder.as_uri() if as_uri else str(folder)
    files, folders = list_tree(location)
    assert files == [PurePosixPath("a.txt"), PurePosixPath("b/10.png"), PurePosixPath("b/2.png")]
    assert folders == [PurePosixPath("b"), PurePosixPath("b/empty")]
    assert [read_bytes(location, file) for file in files] == [str(file).encode() for file in files]


def test_an_open_file_supports_seek(tmp_path: Path):
    """A file is opened for random access and closed afterwards."""
    _tree(tmp_path)
    with open_file(str(tmp_path / "a.txt")) as file:
        file.seek(2)
        assert file.read() == b"txt"
    assert file.closed


def test_compressed_files_are_not_decompressed(tmp_path: Path):
    """A .gz file is read without being decompressed."""
    (tmp_path / "x.gz").write_bytes(b"plain")
    assert read_bytes(str(tmp_path / "x.gz")) == b"plain"


@pytest.mark.parametrize("location", ["{}/gone.bin", "file://{}/gone.bin", "{}"])
def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path, location: str):
    """The error for a missing file or for a folder begins with the location as given by the caller."""
    location = location.format(tmp_path)
    with pytest.raises(BadSignals, match=location) as refused:
        read_bytes(location)
    assert str(refused.value).startswith(location)


@pytest.mark.parametrize("location", ["nosuch://bucket/x", "file://relative/x", "://"])
def test_an_invalid_uri_is_refused(location: str):
    """The error for an unknown scheme or a malformed URI states what is allowed."""
    with pytest.raises(BadSignals, match=f"'{location}' .*URI"):
        read_bytes(location)


ODD = ("great tit", "größe", "a%20b", "a#b", "a?b", "a[1]", "a;b&c=d", "a+b", "%", "a\nb", "a\\b", "[red]x")


@pytest.mark.parametrize("as_uri", [False, True])
@pytest.mark.parametrize("name", ODD)
def test_special_characters_in_names_have_no_meaning(tmp_path: Path, name: str, as_uri: bool):
    """Folders and files of any name can be listed and read, through a path or a URI."""
    folder = tmp_path / f"data {name}"
    (folder / name).mkdir(parents=True)
    (folder / name / f"{name}.png").write_bytes(b"x")
    location = f"file://{quote(str(folder))}" if as_uri else str(folder)
    files, folders = list_tree(location)
    assert (files, folders) == ([PurePosixPath(name, f"{name}.png")], [PurePosixPath(name)])
    assert read_bytes(location, files[0]) == b"x"
    assert below(location, str(files[0])).endswith(f"/{name}/{name}.png")


def test_a_name_that_is_not_utf8_is_refused_in_one_line(tmp_path: Path):
    """A folder that contains an undecodable name is rejected, and the error shows the name."""
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).touch()
    with pytest.raises(BadSignals, match=r"UTF-8 .*xff"):
        list_tree(str(tmp_path))


@pytest.mark.parametrize("location", ["file:///tmp/great tit", "file:///tmp/a#b", "file:///tmp/größe", "s3://b/a b"])
def test_an_unencoded_uri_is_refused_with_its_encoded_form(location: str):
    """The error for a URI that is not percent-encoded contains the URI to use instead."""
    with pytest.raises(BadSignals, match=r"percent-encoded: (file|s3)://[!-~]+\)"):
        read_bytes(location)


def test_a_sweep_removes_only_half_written_files(tmp_path: Path):
    """A sweep removes files that a killed writer left half-written.

    Foreign files with the same suffix are kept.
    """
    for name in ("a.bin.0123456789abcdef0123456789abcdef.part", "mine.part", ".part"):
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "d" / name).touch()
    Storage.at(str(tmp_path)).remove_half_written("d")
    assert Storage.at(str(tmp_path)).names("d") == (".part", "mine.part")


def test_a_sweep_keeps_files_outside_the_root(tmp_path: Path) -> None:
    """Sweeping a link that leads outside the root removes nothing and raises no error.

    A folder inside the root is swept.
    """
    root, other = tmp_path / "root", tmp_path / "other"
    for folder in (root / "folder", other):
        folder.mkdir(parents=True)
        (folder / "a.0123456789abcdef.part").write_text("half")
    (root / "link").symlink_to(other, target_is_directory=True)
    storage = Storage.at(str(root))
    for name in ("link", "folder"):
        storage.remove_half_written(name)
    assert [len(list(folder.iterdir())) for folder in (root / "folder", other)] == [0, 1]
