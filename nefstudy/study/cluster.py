"""The Ray this process drives: the cluster it was submitted to, or one of its own that goes away with it."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ray

from nefstudy.errors import BadConfig


@dataclass(frozen=True)
class Resources:
    """What the cluster offers at this moment."""

    cpus: float
    gpus: float


@contextmanager
def connected_ray() -> Iterator[Resources]:
    """Connect to the cluster of RAY_ADDRESS, else start a local Ray and stop it at the end."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if ray.is_initialized():
        yield _resources()
        return
    own = None if os.environ.get("RAY_ADDRESS") else tempfile.mkdtemp(prefix="nef-")
    try:
        if own is None:
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
        else:
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=own,
            )
        yield _resources()
    finally:
        ray.shutdown()
        if own is not None:
            shutil.rmtree(own, ignore_errors=True)


def _resources() -> Resources:
    total = ray.cluster_resources()
    return Resources(cpus=float(total.get("CPU", 0)), gpus=float(total.get("GPU", 0)))


def concurrent_trials(resources: Resources, *, asked: int | None, workers: int, cpus: float, gpus: float) -> int:
    """How many trials run at once: as many as fit the cluster, or as many as asked for.

    Raises:
        BadConfig: not even one trial fits.
    """
    processes = max(workers, 1)
    by_cpu = resources.cpus // (processes * cpus) if cpus else float("inf")
    by_gpu = resources.gpus // (processes * gpus) if gpus else float("inf")
    fits = int(min(by_cpu, by_gpu, 10_000))
    if fits < 1:
        raise BadConfig(
            f"a trial of {processes} process(es) with {cpus:g} CPU and {gpus:g} GPU each does not fit the cluster "
            f"({resources.cpus:g} CPU, {resources.gpus:g} GPU); lower --workers or --gpus, or add nodes"
        )
    return fits if asked is None else max(1, min(asked, fits))
