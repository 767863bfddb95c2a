"""A thread that samples a running study every second: trials, results to export, CPU and memory."""

import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import psutil

from nefstudy.errors import BadLedger
from nefstudy.ledger import Ledger, TrialState

PERIOD_S = 1.0


@dataclass(frozen=True)
class Sample:
    """One sample of a running study.

    Attributes:
        at: wall seconds since the monitor started.
        done: trials that have ended.
        waiting: results that are not exported yet.
        driver_cpu, all_cpu: CPU seconds of this process, without and with its child processes.
        rss_mb: resident size of this process.
    """

    at: float
    done: int
    waiting: int
    driver_cpu: float
    all_cpu: float
    rss_mb: float


class StudyMonitor:
    """A context manager that samples a study; the study's ledger may be created later."""

    def __init__(self, ledger: str, study: str) -> None:
        self.samples: list[Sample] = []
        self._address, self._study = ledger, study
        self._cpu: dict[tuple[int, float], float] = {}
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="study monitor", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        ledger: Ledger | None = None
        while True:
            ended = self._stop.is_set()
            try:
                ledger = ledger or Ledger.open(self._address, read_only=True)
                self.samples.append(self._look(ledger))
            except BadLedger:
                pass  # the ledger does not exist yet
            if ended:
                break
            self._stop.wait(PERIOD_S)
        if ledger is not None:
            ledger.close()

    def _look(self, ledger: Ledger) -> Sample:
        counts = ledger.trials.counts(self._study)
        done = sum(n for (_, _, state), n in counts.items() if state in (TrialState.COMPLETE, TrialState.FAILED))
        me = psutil.Process()
        for process in (me, *me.children(recursive=True)):
            try:
                times = process.cpu_times()
                self._cpu[process.pid, process.create_time()] = times.user + times.system
            except psutil.NoSuchProcess:
                continue  # it has ended; its last sample is kept
        return Sample(
            at=time.monotonic() - self._began,
            done=done,
            waiting=ledger.outbox.size(),
            driver_cpu=time.process_time(),
            all_cpu=sum(self._cpu.values()),
            rss_mb=me.memory_info().rss / 2**20,
        )


@dataclass(frozen=True)
class Stretch:
    """A range of consecutive trials, with the cost per trial and the study's state at the end of the range.

    Attributes:
        last: number of trials done at the end of the range.
        wall_ms, driver_ms, cpu_ms: wall time, CPU time of the driver, and CPU time of all processes, per trial.
    """

    last: int
    wall_ms: float
    driver_ms: float
    cpu_ms: float
    rss_mb: float
    waiting: int


def stretches(samples: list[Sample], length: int) -> list[Stretch]:
    """Return the cost of each group of `length` consecutive trials, interpolated between samples.

    The last range may be shorter.
    """
    before = [sample.done for sample in samples].count(samples[0].done) - 1
    moving = [sample for sample in samples[before:] if sample.done < samples[-1].done]
    moving += [sample for sample in samples if sample.done == samples[-1].done][:1]
    if len(moving) < 2:
        return []
    done = np.array([sample.done for sample in moving], dtype=float)
    edges = [*np.arange(done[0], done[-1], length), done[-1]]
    columns = {name: np.interp(edges, done, [getattr(s, name) for s in moving]) for name in Sample.__annotations__}
    return [
        Stretch(
            last=round(columns["done"][i + 1]),
            **{
                key: 1000 * float(columns[name][i + 1] - columns[name][i]) / (edges[i + 1] - edges[i])
                for key, name in (("wall_ms", "at"), ("driver_ms", "driver_cpu"), ("cpu_ms", "all_cpu"))
            },
            rss_mb=float(columns["rss_mb"][i + 1]),
            waiting=round(columns["waiting"][i + 1]),
        )
        for i in range(len(edges) - 1)
    ]
