"""Tests that every fixture is used, and that pytest finds it without an import."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

TESTS = Path(__file__).parents[1]
REQUESTS = {"usefixtures", "getfixturevalue"}  # calls that name fixtures


@dataclass(frozen=True)
class Module:
    """A module of the tests: its path relative to the root of the tests, and the nodes of its syntax tree."""

    path: Path
    nodes: tuple[ast.AST, ...]

    @cached_property
    def fixtures(self) -> dict[str, bool]:
        """Whether each fixture is applied automatically, keyed by the fixture's name."""
        return {
            node.name: "autouse=True" in ast.unparse(mark)
            for node in self.nodes
            if isinstance(node, ast.FunctionDef)
            for mark in node.decorator_list
            if is_fixture(mark)
        }

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield the names of fixtures that the module uses, each with the function that uses it."""
        for node in self.nodes:
            if isinstance(node, ast.FunctionDef):
                if node.name.startswith("test") or any(map(is_fixture, node.decorator_list)):
                    for argument in (*node.args.args, *node.args.kwonlyargs):
                        yield argument.arg, node.name
            elif isinstance(node, ast.Call) and name_of(node) in REQUESTS:
                for value in node.args:
                    if isinstance(value, ast.Constant) and isinstance(value.value, str):
                        yield value.value, ""

    def serves(self, path: Path) -> bool:
        """Return whether pytest offers the module's fixtures to the module at a path."""
        if self.path.parts[0] == "plugins":
            return True
        return path.is_relative_to(self.path.parent) if self.path.name == "conftest.py" else path == self.path


def is_fixture(mark: ast.expr) -> bool:
    """Return whether a decorator declares a pytest fixture."""
    return name_of(mark) == "fixture"


def name_of(node: ast.expr) -> str:
    """Return the last part of a dotted name or of a called function's name, or an empty string."""
    called = node.func if isinstance(node, ast.Call) else node
    return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""


@cache
def modules(root: Path) -> list[Module]:
    """Return the modules below a folder in the order in which pytest looks for fixtures.

    Ordinary modules come first, then conftests from the deepest up, then plugins.
    """
    found = [
        Module(path.relative_to(root), tuple(ast.walk(ast.parse(path.read_text()))))
        for path in sorted(root.rglob("*.py"))
    ]

    def distance(module: Module) -> tuple[bool, bool, int]:
        return module.path.parts[0] == "plugins", module.path.name == "conftest.py", -len(module.path.parts)

    return sorted(found, key=distance)


def unused(root: Path) -> list[str]:
    """Return `path: name` of each fixture below a folder that no test and no other fixture uses."""
    known = modules(root)
    used: set[tuple[Path, str]] = set()
    for module in known:
        for name, user in module.names():
            offers = [other for other in known if name in other.fixtures and other.serves(module.path)]
            if user == name and offers[:1] == [module]:  # it extends the fixture that it hides
                offers = offers[1:]
            used.update((offer.path, name) for offer in offers[:1])
    for module in known:
        used.update((module.path, name) for name, is_autouse in module.fixtures.items() if is_autouse)
    return [f"{module.path}: {name}" for module in known for name in module.fixtures if (module.path, name) not in used]


def misplaced(root: Path) -> list[str]:
    """Return `path: name` of each fixture below a folder that can be used only by importing it."""
    return [
        f"{module.path}: {name}"
        for module in modules(root)
        for name in module.fixtures
        if module.path.parts[0] != "plugins" and not module.path.name.startswith(("conftest.", "test_"))
    ]


def wrong_imports(root: Path) -> list[str]:
    """Return `path: name` of each forbidden import below a folder.

    No module may import a fixture, or anything from a conftest or test module.
    """
    known = modules(root)
    shared = {name for module in known if module.path.parts[0] == "plugins" for name in module.fixtures}
    return [
        f"{module.path}: {alias.name}"
        for module in known
        for node in module.nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        for source in [f"{getattr(node, 'module', None) or ''}.{alias.name}".split(".")]
        if "conftest" in source[-2:]
        or any(part.startswith("test_") for part in source[:-1])
        or ("plugins" in source[:-1] and alias.name in shared)
    ]


def test_every_fixture_is_used() -> None:
    """Every fixture is used by a test or another fixture, or is applied automatically."""
    assert unused(TESTS) == []


def test_fixtures_are_not_imported() -> None:
    """Every fixture is defined where pytest finds it, and no module imports a fixture.

    Nor does any module import from a conftest or test module.
    """
    assert misplaced(TESTS) == []
    assert wrong_imports(TESTS) == []


FIXTURE = """
import pytest

@pytest.fixture
def {name}({uses}):
    return 1
"""
AUTOMATIC = FIXTURE.replace("fixture\n", "fixture(autouse=True)\n")


def test_a_violation_is_found(tmp_path: Path) -> None:
    """The functions above find unused, shadowed, misplaced and imported fixtures.

    They do not list used, extended and automatic fixtures.
    """
    sources = {
        "plugins/server.py": FIXTURE.format(name="server", uses=""),
        "conftest.py": FIXTURE.format(name="root", uses="") + FIXTURE.format(name="ledger", uses=""),
        "a/conftest.py": FIXTURE.format(name="root", uses="root") + FIXTURE.format(name="idle", uses=""),
        "a/test_one.py": "def test_one(root, ledger, server): pass",
        "b/test_two.py": FIXTURE.format(name="idle", uses="") + "def test_two(idle): pass",
        "b/test_three.py": AUTOMATIC.format(name="clock", uses="") + FIXTURE.format(name="ledger", uses=""),
        "b/helper.py": FIXTURE.format(name="lost", uses=""),
        "c/test_four.py": "from ..conftest import ledger\nfrom ..plugins.server import Server, server\n"
        "from ..b.test_two import thing\nfrom .. import conftest\nimport pytest",
    }
    for path, source in sources.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(source)
    assert sorted(unused(tmp_path)) == ["a/conftest.py: idle", "b/helper.py: lost", "b/test_three.py: ledger"]
    assert misplaced(tmp_path) == ["b/helper.py: lost"]
    assert sorted(wrong_imports(tmp_path)) == [
        f"c/test_four.py: {n}" for n in ("conftest", "ledger", "server", "thing")
    ]
