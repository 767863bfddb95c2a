"""Tests that every relative link in the documentation resolves."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SKIPPED = {".venv", ".git", "node_modules", "runs", "dist"}
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
PAGES = sorted(path for path in REPOSITORY.rglob("*.md") if SKIPPED.isdisjoint(path.relative_to(REPOSITORY).parts))


def anchors(text: str) -> set[str]:
    """Return the fragments that GitHub generates for the headings of a page."""
    headings = re.findall(r"^#+\s+(.*)$", FENCE.sub("", text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    """Return a page's relative links that point to missing files or headings."""
    text = page.read_text()
    broken = []
    for target in LINK.findall(CODE.sub("", FENCE.sub("", text))):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path) if path else page
        if not file.exists() or (fragment and file.suffix == ".md" and fragment not in anchors(file.read_text())):
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_relative_links_resolve(page: Path) -> None:
    """Each link to a file of the repository, or to a heading in a file, resolves."""
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """The check finds links to a missing file, heading or picture.

    Code and absolute links are ignored.
    """
    (tmp_path / "there.md").write_text("# One heading: here\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[ok](there.md) [ok](there.md#one-heading-here) [self](#a) [web](https://example.org/x) `[code](gone.md)`\n"
        "```\n[fenced](gone.md)\n```\n# A\n[a](gone.md) ![b](gone.png) [c](there.md#none)\n"
    )
    assert broken_links(page) == ["gone.md", "gone.png", "there.md#none"]
