"""The Ray this process drives: the cluster it was submitted to, or one of its own that goes away with it."""

import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path

import ray

from nefstudy.errors import BadConfig, StudyStopped
from nefstudy.ledger import Owner
from nefstudy.study.run import StudyRun
from nefstudy.study.turns import Room
from nefstudy.trial.distributed import TrialSetup

LOOK_EVERY_S = 3.0
MOST_TRIALS = 10_000
FOLDER, OWNER = "nef-", "driver.json"
LEAVING_TRIES, LEAVING_S = 10, 0.3  # Ray's processes end a moment after its shutdown


@dataclass(frozen=True)
class Resources:
    """What the cluster offers at this moment."""

    cpus: float
    gpus: float


@contextmanager
def connected_ray() -> Iterator[Resources]:
    """Connect to the cluster of RAY_ADDRESS, else start a local Ray and stop it at the end.

    Raises:
        BadConfig: RAY_ADDRESS is no address, or no Ray answers there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if ray.is_initialized():
        yield offered()
        return
    address = os.environ.get("RAY_ADDRESS")
    own = None if address else _own_folder()
    try:
        with _own_signals():
            if own is None:
                _join(str(address))
            else:
                ray.init(
                    address="local",
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    _temp_dir=own,
                )
        yield offered()
    finally:
        with _own_signals():
            ray.shutdown()
        if own is not None:
            _leave(Path(own))


def _join(address: str) -> None:
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:  # which of them depends on what is wrong with it
        why = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BadConfig(
            f"RAY_ADDRESS {address!r} cannot be joined ({why.rstrip('.')}); give a running head as host:port, or unset "
            "RAY_ADDRESS for a Ray of this machine"
        ) from error


def _own_folder() -> str:
    """A directory for a Ray of this process's own; those that killed drivers of this machine left behind go first."""
    sweep_rays()
    folder = tempfile.mkdtemp(prefix=FOLDER)
    Path(folder, OWNER).write_text(Owner.here().to_json())
    return folder


def _leave(own: Path) -> None:
    """Remove a Ray's directory once its processes let go of it."""
    for _ in range(LEAVING_TRIES):
        _remove(own)
        if not own.exists():
            break
        time.sleep(LEAVING_S)


def sweep_rays() -> None:
    """Remove what the Rays of killed drivers of this machine left behind."""
    for told in Path(tempfile.gettempdir()).glob(f"{FOLDER}*/{OWNER}"):
        with suppress(OSError, ValueError, TypeError):  # another user's, or none of ours
            if told.stat().st_uid == os.getuid() and Owner.from_json(told.read_text()).is_gone:
                _remove(told.parent)


def _remove(folder: Path) -> None:
    """Remove a Ray's directory; where a dying process of it still writes, its owner's name stays for the next sweep."""
    with suppress(OSError):
        told = (folder / OWNER).read_text()
        for part in folder.iterdir():
            if part.is_dir() and not part.is_symlink():
                shutil.rmtree(part, ignore_errors=True)
            elif part.name != OWNER:
                part.unlink(missing_ok=True)
        (folder / OWNER).unlink()
        try:
            folder.rmdir()
        except OSError:
            (folder / OWNER).write_text(told)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's signal handlers: Ray's own abort on SIGTERM, and its shutdown leaves the system's."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    if threading.current_thread() is threading.main_thread():
        for number, handler in before.items():
            signal.signal(number, handler)


def offered() -> Resources:
    """What the cluster has now, taken or free."""
    total = ray.cluster_resources()
    return Resources(cpus=float(total.get("CPU", 0)), gpus=float(total.get("GPU", 0)))


class Headroom:
    """How many trials there is room for, while nodes come and go.

    Args:
        asked: at most so many trials at once.
        sharing: whether trials share GPUs by what they need, so that their number says little.

    Raises:
        BadConfig: not even one trial fits the cluster as it is.
    """

    def __init__(self, setup: TrialSetup, *, asked: int | None, sharing: bool) -> None:
        self._setup, self._asked = setup, asked
        self._sharing = sharing and setup.workers == 0
        self._looked = time.monotonic()
        self._node = ray.get_runtime_context().get_node_id()
        resources = offered()
        self.room = self._room(resources)
        if not self.room.trials:
            raise BadConfig(
                f"a trial of {max(setup.workers, 1)} process(es) with {setup.cpus:g} CPU and {setup.gpus:g} GPU each "
                f"does not fit the cluster ({resources.cpus:g} CPU, {resources.gpus:g} GPU); lower --workers or "
                "--gpus, or add nodes"
            )

    def step(self, run: StudyRun) -> None:
        """Tell the run what room there is, looked up every few seconds.

        Raises:
            StudyStopped: Ray has given up the node this process runs on, and would leave it waiting for ever.
        """
        if time.monotonic() - self._looked >= LOOK_EVERY_S:
            self._looked = time.monotonic()
            if not any(node["Alive"] and node["NodeID"] == self._node for node in ray.nodes()):
                raise StudyStopped(
                    f"study {run.plan.study!r} stopped: Ray has given up the node of its driver, which was out of "
                    "reach for too long (suspended, out of memory, or overloaded); run the same command again"
                )
            self.room = self._room(offered())
        run.room = self.room

    def _room(self, resources: Resources) -> Room:
        setup = self._setup
        gpus = 0.0 if self._sharing else setup.gpus
        fits = trials_that_fit(resources, workers=setup.workers, cpus=setup.cpus, gpus=gpus)
        trials = fits if self._asked is None else min(self._asked, fits)
        return Room(trials=trials, gpus=resources.gpus if self._sharing else inf)


def trials_that_fit(resources: Resources, *, workers: int, cpus: float, gpus: float) -> int:
    """How many trials of so many workers fit, each worker with these CPUs and GPUs."""
    processes = max(workers, 1)
    by_cpu = resources.cpus // (processes * cpus) if cpus else inf
    by_gpu = resources.gpus // (processes * gpus) if gpus else inf
    return int(min(by_cpu, by_gpu, MOST_TRIALS))
