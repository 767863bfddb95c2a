"""Files that ship inside installed packages."""

from importlib.util import find_spec
from pathlib import Path

from nefstudy.errors import BadSignals


def bundled_file(package: str, *parts: str) -> Path:
    """Return the path of a file inside an installed package, without importing the package.

    Raises:
        BadSignals: the package is not installed, or does not contain the file.
    """
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, *parts)
        if path.is_file():
            return path
    raise BadSignals(f"{'/'.join((package, *parts))} is not installed; run: pip install --force-reinstall {package}")
