"""Laws of storage: files appear whole, a path and its URI are the same files, and nothing outside a root is touched."""

import os
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import pytest
from pyarrow import fs

from nefstudy.errors import BadRoot, BadSignals
from nefstudy.storage import Storage, below, list_tree, open_file, read_bytes


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


@pytest.mark.parametrize("path", ["", ".", "..", "../other", "a/../../other", "a/..", "/etc", "a//b", "a/", "a\0b"])
def test_a_path_that_leaves_the_root_is_refused(storage: Storage, path: str) -> None:
    """Nothing is read, written or removed by a path that could lead out of the root, or to the root itself."""
    for act in (storage.size, storage.read, storage.names, storage.remove, storage.sweep, storage.total, storage.uri):
        with pytest.raises(BadRoot, match="below the root"):
            act(path)
    with pytest.raises(BadRoot, match="below the root"):
        storage.write(path, b"x")


@pytest.mark.parametrize("path", ["link", "link/kept.txt", "inside/link/kept.txt"])
def test_a_link_out_of_the_root_is_never_followed_by_a_removal(tmp_path: Path, path: str) -> None:
    """What a symbolic link leads to outside the root stays, and so does the link."""
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


def test_removing_a_folder_leaves_what_its_links_lead_to(tmp_path: Path) -> None:
    """A removed folder takes the links in it, and nothing that they lead to."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "kept.txt").write_text("mine")
    (tmp_path / "root" / "folder").mkdir(parents=True)
    (tmp_path / "root" / "folder" / "link").symlink_to(tmp_path / "other", target_is_directory=True)
    Storage.at(str(tmp_path / "root")).remove("folder")
    assert not (tmp_path / "root" / "folder").exists()
    assert (tmp_path / "other" / "kept.txt").read_text() == "mine"


def test_a_root_behind_a_link_is_an_ordinary_root(tmp_path: Path) -> None:
    """The root itself may be a link, or be written with dots; what lies below it can be removed."""
    (tmp_path / "real" / "a").mkdir(parents=True)
    (tmp_path / "root").symlink_to(tmp_path / "real")
    storage = Storage.at(str(tmp_path / "real" / ".." / "root"))
    storage.write("a/b.bin", b"x")
    storage.remove("a/b.bin")
    assert storage.size("a/b.bin") is None


def test_a_uri_holds_names_percent_encoded(tmp_path: Path) -> None:
    """The URI of a file opens that file whatever its name, and options of a URI stay behind the path."""
    root = tmp_path / "run?lr=1 #50%"
    storage = Storage.at(str(root))
    storage.write("a b/c#d.bin", b"x")
    assert read_bytes(storage.uri("a b/c#d.bin")) == b"x"
    remote = Storage("s3://bucket/x?region=y", fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "bucket/x")
    assert remote.uri("a b/c") == "s3://bucket/x/a%20b/c?region=y"


def test_names_that_are_not_utf8_are_not_ours(tmp_path: Path) -> None:
    """A foreign file with undecodable bytes in its name is left out of what a directory holds."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").touch()
    Path(os.fsdecode(os.fsencode(tmp_path / "d") + b"/\xff")).touch()
    assert Storage.at(str(tmp_path)).names("d") == ("a",)
    assert Storage.at(str(tmp_path)).total("d") == 0


@pytest.mark.parametrize(
    "root", ["/tmp/\udcff", "/tmp/a\0b", "file:/tmp/x", "file:///tmp/a#b", "file:///tmp/a?b", "~no-one/x"]
)
def test_a_root_that_would_be_another_place_is_refused(root: str) -> None:
    """A root that no file system or only a part of it names is refused, and the message fits on a line."""
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
    """Files and folders come sorted by path, dotted ones left out, from a path or a URI."""
    folder = _tree(tmp_path)
    location = folder.as_uri() if as_uri else str(folder)
    files, folders = list_tree(location)
    assert files == [PurePosixPath("a.txt"), PurePosixPath("b/10.png"), PurePosixPath("b/2.png")]
    assert folders == [PurePosixPath("b"), PurePosixPath("b/empty")]
    assert [read_bytes(location, file) for file in files] == [str(file).encode() for file in files]


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


ODD = ("great tit", "größe", "a%20b", "a#b", "a?b", "a[1]", "a;b&c=d", "a+b", "%", "a\nb", "a\\b", "[red]x")


@pytest.mark.parametrize("as_uri", [False, True])
@pytest.mark.parametrize("name", ODD)
def test_a_name_is_only_a_name(tmp_path: Path, name: str, as_uri: bool):
    """A folder and a file of any name are listed and read, from a path or a URI."""
    folder = tmp_path / f"data {name}"
    (folder / name).mkdir(parents=True)
    (folder / name / f"{name}.png").write_bytes(b"x")
    location = f"file://{quote(str(folder))}" if as_uri else str(folder)
    files, folders = list_tree(location)
    assert (files, folders) == ([PurePosixPath(name, f"{name}.png")], [PurePosixPath(name)])
    assert read_bytes(location, files[0]) == b"x"
    assert below(location, str(files[0])).endswith(f"/{name}/{name}.png")


def test_a_name_that_is_not_utf8_is_refused_in_one_line(tmp_path: Path):
    """A folder with a name that cannot be decoded is refused, and the message shows it."""
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).touch()
    with pytest.raises(BadSignals, match=r"not UTF-8 .*xff.* rename it"):
        list_tree(str(tmp_path))


@pytest.mark.parametrize("location", ["file:///tmp/great tit", "file:///tmp/a#b", "file:///tmp/größe", "s3://b/a b"])
def test_a_uri_that_is_not_encoded_is_refused_with_the_one_that_is(location: str):
    """The message holds the URI to write."""
    with pytest.raises(BadSignals, match=r"percent-encoded: (file|s3)://[!-~]+\)"):
        read_bytes(location)


def test_only_what_a_writer_left_is_swept(tmp_path: Path):
    """A half-written file of ours goes; a file of somebody else's that ends alike stays."""
    for name in ("a.bin.0123456789abcdef0123456789abcdef.part", "mine.part", ".part"):
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "d" / name).touch()
    Storage.at(str(tmp_path)).sweep("d")
    assert Storage.at(str(tmp_path)).names("d") == (".part", "mine.part")


def test_a_sweep_leaves_what_lies_outside_the_root(tmp_path: Path) -> None:
    """A folder on another disk, behind a symbolic link, is neither swept nor an error; the link's twin inside is."""
    root, other = tmp_path / "root", tmp_path / "other"
    for folder in (root / "folder", other):
        folder.mkdir(parents=True)
        (folder / "a.0123456789abcdef.part").write_text("half")
    (root / "link").symlink_to(other, target_is_directory=True)
    storage = Storage.at(str(root))
    for name in ("link", "folder"):
        storage.sweep(name)
    assert [len(list(folder.iterdir())) for folder in (root / "folder", other)] == [0, 1]
