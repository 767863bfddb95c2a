"""Tests that files and functions are small enough to be read at a glance."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
MOST_FILE_LINES = 300
MOST_FUNCTION_LINES = 60
SOURCES = sorted(
    path
    for folder in ("nefstudy", "studies", "tests", "deploy")
    for path in (REPOSITORY / folder).rglob("*.py")
    if "__pycache__" not in path.parts
)


def long_functions(source: str, *, most: int) -> list[str]:
    """Return `name (n lines)` of each function or method of more than `most` lines, not counting decorators."""
    return [
        f"{node.name} ({node.end_lineno - node.lineno + 1} lines)"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > most
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_file_and_its_functions_stay_small(path: Path) -> None:
    """No file has more than 300 lines, and no function has more than 60 lines."""
    source = path.read_text()
    assert len(source.splitlines()) <= MOST_FILE_LINES
    assert long_functions(source, most=MOST_FUNCTION_LINES) == []


def test_a_long_function_is_found() -> None:
    """A function one line over the limit is listed, but a function at the limit is not."""
    body = "\n".join("    x = 1" for _ in range(4))
    assert long_functions(f"def f():\n{body}\n", most=5) == []
    assert long_functions(f"class A:\n    pass\n\ndef f():\n{body}\n", most=4) == ["f (5 lines)"]


def test_no_file_is_named_for_no_noun() -> None:
    """Modules are named after their content, and none is called `utils` or `common`."""
    drawers = {"utils.py", "util.py", "helpers.py", "common.py", "base.py", "misc.py"}
    assert [path for path in SOURCES if path.name in drawers] == []
