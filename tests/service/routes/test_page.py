"""Tests that the study page is complete and loads nothing from other hosts."""

import json
import re

import pytest

from nefstudy.service.routes.artifacts import Artifacts
from nefstudy.service.routes.metrics import HELP
from nefstudy.service.routes.page import page_directory

DASHBOARDS = page_directory().parent
VENDOR = page_directory() / "vendor"
FILES = sorted(path for path in page_directory().rglob("*") if path.is_file() and "vendor" not in path.parts)
OWN = [path for path in FILES if path.suffix in {".html", ".css", ".js"}]


def test_the_page_is_served_with_every_file_it_names(client):
    """The page and every script and stylesheet that it refers to are served with the right media type."""
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    named = set(re.findall(r'(?:src|href)="(page/[^"]+)"', page.text))
    for path in OWN:
        if path.suffix == ".js":
            named |= {f"page/{name}" for name in re.findall(r'(?:from|import) "\./([^"]+)"', path.read_text())}
    assert {"page/vendor/d3.min.js", "page/vendor/plot.min.js"} <= named
    for name in named:
        response = client.get(f"/{name}")
        assert response.status_code == 200, name
        assert response.headers["content-type"].split(";")[0] in {"text/javascript", "text/css", "image/svg+xml"}


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere_or_inline(path):
    """No file of the page contains an external address or an inline script, style or event handler.

    The content policy forbids them.
    """
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//cdn|@import", text)
    assert not re.search(r"""["'`(]/(v1|page|sign-in)""", text), "links must be relative, to work under a prefix"
    assert not re.search(r"\bstyle=|<style|<script(?![^>]*src=)|\son\w+=|innerHTML|eval\(|setAttribute\(\"style", text)


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_files_stay_small(path):
    """No file of the page has more than 300 lines."""
    assert len(path.read_text().splitlines()) <= 300


def test_the_vendored_libraries_are_those_of_the_lock_file():
    """The versions and licenses of the vendored libraries match the lock file.

    The lock file names no registry, and the libraries' files are small.
    """
    text = (DASHBOARDS / "package-lock.json").read_text()
    assert "resolved" not in text
    assert not re.search(r"https?://", text)
    locked = json.loads(text)["packages"]
    required = json.loads((DASHBOARDS / "package.json").read_text())["dependencies"]
    for name, file in {"d3": "d3.min.js", "@observablehq/plot": "plot.min.js"}.items():
        version = locked[f"node_modules/{name}"]["version"]
        assert required[name] == version
        assert f" v{version} " in (VENDOR / file).read_text().splitlines()[0]
        assert f"{name} {version}" in (VENDOR / "LICENSES.txt").read_text()
    assert sum(path.stat().st_size for path in VENDOR.iterdir()) < 1_000_000


def test_artifacts_stay_under_the_root(tmp_path):
    """An artifact is not read if dots, a link or an absolute path lead to a file outside the root.

    An image under the root is read.
    """
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    (root / "mine.png").write_bytes(b"mine")
    (root / "notes.db").write_bytes(b"no picture")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    artifacts = Artifacts(root)
    assert artifacts.read("mine.png") == b"mine"
    for path in ("../secret.png", "link.png", str(tmp_path / "secret.png"), "notes.db", "none.png", ".", "a\0.png"):
        assert artifacts.read(path) is None
    assert Artifacts(None).read("mine.png") is None
    assert Artifacts("s3://bucket/root").read("mine.png") is None


def test_the_readme_names_every_path_and_gauge(client):
    """Every API path and every gauge is documented in dashboards/README.md."""
    text = (page_directory().parent / "README.md").read_text()
    for path in client.get("/v1/openapi.json").json()["paths"]:
        last = re.split("[/:]", re.sub(r"/?\{\w+\}", "", path))[-1]
        assert last in text, path
    for name in HELP:
        assert name in text, name
