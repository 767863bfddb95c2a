"""Tests of the project's wording: no banned phrase, no retired name, and one glossary entry per word."""

import ast
import re
from pathlib import Path

import pytest

from .wording import REPOSITORY, files, first_lines, hits, hits_in_text, words_of_python

GONE = re.compile(
    r"optimiser|artefact|licence|catalogue|colour|wish|told|mend(?:ed|ing)?$|put_back|weight_?reader|climb|halvings$"
    r"|setback(?!s$)|^gate$|^thin$",
    re.IGNORECASE,
)
KEPT = {"chunk_halvings"}
CODE = [path for path in files([REPOSITORY / "nefstudy", REPOSITORY / "studies"]) if path.suffix == ".py"]


def names(source: str) -> set[str]:
    """Return the names that a module defines: classes, functions, arguments, variables and attributes."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.id if isinstance(node, ast.Name) else node.attr)
    return found


def glossary() -> dict[str, str]:
    """Return the glossary of CONTRIBUTING.md as a mapping from words to meanings."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    table = text.split("## Glossary")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")][2:]
    return {word.strip(): meaning.strip() for word, meaning in rows}


@pytest.mark.parametrize(
    "path",
    [path for path in files([REPOSITORY]) if path != Path(__file__)],
    ids=lambda path: str(path.relative_to(REPOSITORY)),
)
def test_a_file_uses_ordinary_words(path) -> None:
    """No file of the project contains a banned phrase or a British spelling.

    The docstrings of functions begin with a verb.
    """
    assert [str(hit) for hit in hits(path)] == []


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_name_is_one_that_is_gone(path) -> None:
    """No module uses a retired name."""
    assert {name for name in names(path.read_text()) if GONE.search(name)} - KEPT == set()


def test_the_glossary_has_one_entry_for_one_thing() -> None:
    """No word has two entries in the glossary, and no word of the glossary is banned."""
    words = [word for entry in glossary() for word in entry.split(", ")]
    assert len(words) == len(set(words)) > 30
    assert not [word for word in words if list(hits_in_text(word)) or GONE.search(word)]


def test_a_banned_phrase_is_found_in_any_case_and_across_lines() -> None:
    """A banned phrase is found even across a line break or at the beginning of a sentence."""
    text = "The driver " + "goes\n    " + "on. " + "Some" + "body waits."
    assert [(line, phrase.lower()) for line, phrase, _ in hits_in_text(text)] == [
        (1, "goes" + " on"),
        (2, "some" + "body"),
    ]


def test_ordinary_words_are_accepted() -> None:
    """The terms ask-and-tell and `no longer` are not banned."""
    assert not list(hits_in_text("The sampler's ask-and-tell loop is no longer needed."))
    assert not list(hits_in_text("There is no such file."))


def test_only_docstrings_comments_and_strings_are_read() -> None:
    """Banned phrases are searched for in comments and strings, but not in names."""
    source = 'value = 1  # a comment\n"""A text."""\n'
    assert [line for line, _ in words_of_python(source)] == [1, 2]


def test_a_docstring_without_a_verb_is_found() -> None:
    """The check for a first verb includes the docstrings of functions, but not those of properties and classes."""
    source = 'def f():\n    """The value."""\nclass A:\n    @property\n    def g(self):\n        """The value."""\n'
    assert [first for _, first in first_lines(source)] == ["The value."]
