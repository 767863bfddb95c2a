"""Tests of the wheel's content and of the pinned versions of its dependencies."""

import re
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

REPOSITORY = Path(__file__).parents[2]
SOURCES = {".cpp", ".hpp"}
PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!]+)$")


def pins() -> dict[str, Version]:
    """Return the pinned versions in constraints.txt, keyed by the package's canonical name."""
    matches = [PIN.match(line) for line in (REPOSITORY / "constraints.txt").read_text().splitlines()]
    return {canonicalize_name(match[1]): Version(match[2]) for match in matches if match}


def closure(roots: list[Requirement]) -> dict[str, Requirement]:
    """Return the given requirements and all their dependencies, including extras, from installed metadata."""
    required: dict[str, Requirement] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(root, extra) for root in roots for extra in ("", *root.extras)]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        required.setdefault(name, requirement)
        for text in metadata.requires(name) or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting.extend((needed, inner) for inner in ("", *needed.extras))
    return required


def project_requirements() -> list[Requirement]:
    """Return the dependencies in pyproject.toml, including extras; an installation's metadata may be outdated."""
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    optional = [text for group in project["optional-dependencies"].values() for text in group]
    return [Requirement(text) for text in [*project["dependencies"], *optional]]


def test_constraints_are_plain_pins() -> None:
    """Each line of the constraints file is name==version, without an address, path, option or local version."""
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not PIN.match(line)] == []
    assert len(pins()) == len(lines), "a distribution is pinned twice"


def test_constraints_pin_everything_that_is_installed() -> None:
    """Every direct and indirect dependency of the project and its extras has a pinned version."""
    assert sorted(set(closure(project_requirements())) - set(pins())) == []


def test_pins_satisfy_what_the_project_asks() -> None:
    """Every pin satisfies the requirements in pyproject.toml."""
    pinned = pins()
    outside = [str(r) for r in project_requirements() if pinned[canonicalize_name(r.name)] not in r.specifier]
    assert outside == []


@pytest.mark.slow
def test_the_wheel_is_typed_licensed_and_carries_the_page(tmp_path: Path) -> None:
    """The wheel has every module and C++ source, py.typed, FORMAT.md, the license and the pages, but no tests."""
    (artifact,) = WheelBuilder(str(REPOSITORY)).build(directory=str(tmp_path), versions=["standard"])
    names = set(zipfile.ZipFile(artifact).namelist())
    package = REPOSITORY / "nefstudy"
    wanted = {f"nefstudy/{path.relative_to(package)}" for path in package.rglob("*.?p*") if path.suffix in SOURCES}
    wanted |= {f"nefstudy/{path.relative_to(package)}" for path in package.rglob("*.py")}
    wanted |= {"nefstudy/py.typed", "nefstudy/neural_dataset/FORMAT.md"}
    pages = REPOSITORY / "dashboards"
    wanted |= {
        f"nefstudy/dashboards/{p.relative_to(pages)}" for p in pages.rglob("*.html") if "node_modules" not in p.parts
    }
    assert sorted(wanted - names) == []
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any("node_modules" in name or name.startswith(("tests/", "studies/")) for name in names)
