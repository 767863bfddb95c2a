"""Small files and small functions, so that each can be read at once."""

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
    """`name (n lines)` of each function or method whose span, decorators excluded, exceeds `most` lines."""
    return [
        f"{node.name} ({node.end_lineno - node.lineno + 1} lines)"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > most
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_file_and_its_functions_stay_small(path: Path) -> None:
    """No file is over 300 lines and no function over 60."""
    source = path.read_text()
    assert len(source.splitlines()) <= MOST_FILE_LINES
    assert long_functions(source, most=MOST_FUNCTION_LINES) == []


def test_the_measure_sees_a_long_function() -> None:
    """A function one line over is named, one at the limit is not."""
    body = "\n".join("    x = 1" for _ in range(4))
    assert long_functions(f"def f():\n{body}\n", most=5) == []
    assert long_functions(f"class A:\n    pass\n\ndef f():\n{body}\n", most=4) == ["f (5 lines)"]


def test_no_file_is_named_for_no_noun() -> None:
    """No module is a drawer: each is named for what it holds."""
    drawers = {"utils.py", "util.py", "helpers.py", "common.py", "base.py", "misc.py"}
    assert [path for path in SOURCES if path.name in drawers] == []
