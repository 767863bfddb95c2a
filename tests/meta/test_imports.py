"""Tests that the import contracts are kept and that light modules load no heavy libraries."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
LIGHT = ["nefstudy.errors", "nefstudy.config", "nefstudy.insight.catalog", "nefstudy.report.tables"]


@pytest.mark.slow
def test_import_contracts_are_kept() -> None:
    """The layers and forbidden imports declared in pyproject.toml are respected."""
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("module", LIGHT)
def test_a_light_module_loads_no_heavy_library(module: str) -> None:
    """Importing the module in a fresh interpreter does not load torch, Ray, MLflow, matplotlib or Optuna."""
    heavy = "{'torch', 'ray', 'mlflow', 'matplotlib', 'optuna'}"
    program = f"import sys, {module}; sys.exit(', '.join({heavy} & set(sys.modules)) or None)"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
