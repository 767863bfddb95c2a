"""Every relative link in the documentation leads somewhere."""

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
    """The fragment of each heading, as GitHub makes it: lower case, punctuation dropped, spaces to hyphens."""
    headings = re.findall(r"^#+\s+(.*)$", FENCE.sub("", text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    """Relative links of a page that name no file beside it, or no heading in the file they name."""
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
    """A link to a file of the repository, or to a heading in one, finds it."""
    assert broken_links(page) == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    """A missing file, a missing heading and a missing picture are each named; code and absolute links are not."""
    (tmp_path / "there.md").write_text("# One heading: here\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[ok](there.md) [ok](there.md#one-heading-here) [self](#a) [web](https://example.org/x) `[code](gone.md)`\n"
        "```\n[fenced](gone.md)\n```\n# A\n[a](gone.md) ![b](gone.png) [c](there.md#none)\n"
    )
    assert broken_links(page) == ["gone.md", "gone.png", "there.md#none"]
