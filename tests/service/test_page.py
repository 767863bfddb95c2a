"""The study page is whole, and needs nothing from elsewhere."""

import json
import re

import pytest

from nefstudy.service.artifacts import Artifacts
from nefstudy.service.metrics import HELP
from nefstudy.service.page import page_directory

DASHBOARDS = page_directory().parent
VENDOR = page_directory() / "vendor"
FILES = sorted(path for path in page_directory().rglob("*") if path.is_file() and "vendor" not in path.parts)
OWN = [path for path in FILES if path.suffix in {".html", ".css", ".js"}]


def test_the_page_is_served_with_every_file_it_names(client):
    """The page and each script, style and import in it are there, as what they are."""
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    named = set(re.findall(r'(?:src|href)="(page/[^"]+)"', page.text))
    for path in OWN:
        if path.suffix == ".js":
            named |= {f"page/{name}" for name in re.findall(r'(?:from|import) "\./([^"]+)"', path.read_text())}
    assert {"page/vendor/d3.min.js", "page/vendor/plot.min.js"} <= named
    for name in named:
        answer = client.get(f"/{name}")
        assert answer.status_code == 200, name
        assert answer.headers["content-type"].split(";")[0] in {"text/javascript", "text/css", "image/svg+xml"}


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere_or_inline(path):
    """No foreign address, no inline script, style or handler: the content policy forbids them all."""
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//cdn|@import", text)
    assert not re.search(r"""["'`(]/(v1|page|sign-in)""", text), "links are relative, for it may be served below a path"
    assert not re.search(r"\bstyle=|<style|<script(?![^>]*src=)|\son\w+=|innerHTML|eval\(|setAttribute\(\"style", text)


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_files_stay_small(path):
    """No file of the page over 300 lines."""
    assert len(path.read_text().splitlines()) <= 300


def test_the_vendored_libraries_are_those_of_the_lock_file():
    """Version by version, with their licenses, small enough to be served from memory; no registry is named."""
    text = (DASHBOARDS / "package-lock.json").read_text()
    assert "resolved" not in text
    assert not re.search(r"https?://", text)
    locked = json.loads(text)["packages"]
    wanted = json.loads((DASHBOARDS / "package.json").read_text())["dependencies"]
    for name, file in {"d3": "d3.min.js", "@observablehq/plot": "plot.min.js"}.items():
        version = locked[f"node_modules/{name}"]["version"]
        assert wanted[name] == version
        assert f" v{version} " in (VENDOR / file).read_text().splitlines()[0]
        assert f"{name} {version}" in (VENDOR / "LICENCES.txt").read_text()
    assert sum(path.stat().st_size for path in VENDOR.iterdir()) < 1_000_000


def test_artifacts_stay_under_the_root(tmp_path):
    """A path that leads out of the root, by dots, link or from the top, finds nothing; one inside is read."""
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
    """Each path of the description and each gauge stands in dashboards/README.md."""
    text = (page_directory().parent / "README.md").read_text()
    for path in client.get("/v1/openapi.json").json()["paths"]:
        last = re.split("[/:]", re.sub(r"/?\{\w+\}", "", path))[-1]
        assert last in text, path
    for name in HELP:
        assert name in text, name
