"""Versions that must be the same wherever a study's trials run, or their results would not compare."""

import platform
from collections.abc import Mapping

import torch

from nefstudy.errors import TrialFailed
from nefstudy.trial.provenance import software


def versions_here() -> dict[str, str]:
    """Versions of this project and of the libraries that results depend on, as this process has them."""
    return software() | {"torch": torch.__version__.split("+")[0]}


def check_versions(driver: Mapping[str, str]) -> None:
    """Refuse to work for a driver of other versions.

    Raises:
        TrialFailed: names the node, and each version here and there; another node may do.
    """
    here = versions_here()
    others = [f"{name} {here.get(name)} (driver: {said})" for name, said in driver.items() if here.get(name) != said]
    if others:
        raise TrialFailed(
            f"node {platform.node()} has {', '.join(others)}; install the same constraints on every node",
            cause="worker_lost",
        )
