"""Tests that the package follows CONTRIBUTING.md's rules on modules, classes and randomness."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "nefstudy"
MOST_MODULES = 15  # per folder, not counting __init__.py
READS_ENVIRONMENT = {
    "bench": "starts processes with their own environment",
    "cli": "reads the user's settings",
    "study/command.py": "reads the user's settings",
    "study/driver": "reads the webhook's secret and the revision; sets Ray Tune's switches before its import",
    "study/cluster": "reads and sets Ray's addresses and tokens",
    "study/exchange/replay.py": "reads the revision",
    "trial/process_state.py": "restores the environment after each trial",
    "fitting/engines/compile_cache.py": "reads and sets the compiler's cache directory",
    "fitting/engines/compiler.py": "reads the compiler's command",
    "tracking/export.py": "sets switches of MLflow that have no other interface",
}
OPEN_BASES = {"BaseModel", "Config", "Record", "Exception"}  # pydantic models and errors may be extended


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Yield each module's path, relative to the package, and its syntax tree."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text())


def base_names(node: ast.ClassDef) -> set[str]:
    """Return the names of a class's base classes, without modules and type parameters."""
    return {ast.unparse(base).split("[")[0].split(".")[-1] for base in node.bases}


def classes() -> dict[str, ast.ClassDef]:
    """Return every class of the package, keyed by its name."""
    return {node.name: node for _, tree in modules() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def reads_environment(tree: ast.Module) -> bool:
    """Return whether a module uses `os.environ` or `os.getenv`."""
    return any(isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"} for node in ast.walk(tree))


def test_no_folder_has_too_many_modules() -> None:
    """No folder has more than MOST_MODULES modules."""
    counts = Counter(str(Path(path).parent) for path, _ in modules() if not path.endswith("__init__.py"))
    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES} == {}


def test_no_class_name_is_used_twice() -> None:
    """No two classes have the same name."""
    names = Counter(node.name for _, tree in modules() for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1] == []


def test_a_class_is_abstract_or_has_no_subclass() -> None:
    """Only abstract classes, errors and pydantic models have subclasses."""
    known = classes()

    def is_open(name: str) -> bool:
        node = known[name]
        methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
        abstract = any("abstractmethod" in ast.unparse(mark) for method in methods for mark in method.decorator_list)
        bases = base_names(node)
        return abstract or bool(bases & (OPEN_BASES | {"ABC", "Protocol"})) or any(map(is_open, bases & known.keys()))

    extended = {base for node in known.values() for base in base_names(node) & known.keys()}
    assert [name for name in sorted(extended) if not is_open(name)] == []


def test_only_listed_modules_use_the_environment() -> None:
    """Only the listed modules use the environment, and every listed module uses it."""
    users = {path for path, tree in modules() if reads_environment(tree)}
    listed = {
        path for path in users if any(path == place or path.startswith(f"{place}/") for place in READS_ENVIRONMENT)
    }
    assert users == listed
    used = {place for place in READS_ENVIRONMENT if any(p == place or p.startswith(f"{place}/") for p in users)}
    assert used == set(READS_ENVIRONMENT), "a listed module that no longer uses it"


def test_only_seeds_makes_generators() -> None:
    """Only `seeds.py` creates random generators."""
    makers = {"default_rng", "Philox", "PCG64", "RandomState"}
    found = {
        path
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in makers
    }
    assert found == {"seeds.py"}
