"""A long-lived process that measures one program of `tests.bench.peers` whenever it is asked to.

Requests and replies are lines of JSON. This module needs nothing but numpy, because it also runs in the peers'
environment.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np

REPOSITORY = Path(__file__).parents[2]
CHECK_FIELDS = 4
CALL_STEPS = 64  # so that the cost of a call does not matter


@dataclass(frozen=True)
class PeerTask:
    """What one process is to measure: a program, on a case of the benchmark.

    Attributes:
        program: name of the engine or peer.
        hyperparameters: those of the field, by name.
        layout: names and shapes of the parameters, in the order of the flat row.
        data: npz file with `rows` (initial parameters), `targets` and `coords`, for more fields than any program fits
            at once.
    """

    program: str
    field: str
    hidden: int
    image: str
    lr: float
    hyperparameters: dict[str, float]
    layout: list[tuple[str, list[int]]]
    data: str


class Program(Protocol):
    """A fit of several fields at once that advances by a fixed number of steps per call."""

    fields: int
    steps: int

    def begin(self) -> None:
        """Return to the initial parameters."""

    def advance(self) -> None:
        """Take `steps` steps and wait for their result."""

    def rows(self) -> np.ndarray:
        """Return the current parameters of the fields as flat rows, float32."""


@dataclass(frozen=True)
class Measured:
    """A program that is ready to be measured.

    Attributes:
        program: the program whose speed is measured.
        checked: the same computation, for at least CHECK_FIELDS fields.
        product: returns the operations per second of a large matrix product of the same library.
        about: its variant, the seconds of its first call, and versions.
    """

    program: Program
    checked: Program
    product: Callable[[], float]
    about: dict[str, Any]


def named(rows: Any, layout: Sequence[tuple[str, Sequence[int]]]) -> dict[str, Any]:
    """Return flat rows as parameters by name, each with a leading field axis."""
    ends = np.cumsum([prod(shape) for _, shape in layout])
    return {
        name: rows[:, end - prod(shape) : end].reshape(len(rows), *shape)
        for (name, shape), end in zip(layout, ends.tolist(), strict=True)
    }


def flat(params: Mapping[str, Any], layout: Sequence[tuple[str, Sequence[int]]]) -> np.ndarray:
    """Return parameters by name as flat rows."""
    return np.concatenate([np.asarray(params[name]).reshape(len(params[name]), -1) for name, _ in layout], axis=1)


def first_seconds(program: Program) -> float:
    """Return how many seconds longer a program's first call takes than its second: those that it compiles or loads."""
    program.begin()
    times = [time.perf_counter()]
    for _ in range(2):
        program.advance()
        times.append(time.perf_counter())
    return max(0.0, 2 * times[1] - times[0] - times[2])


def turn(program: Program, seconds: float) -> dict[str, float]:
    """Run a program from its initial parameters for a given CPU time; return its rate and its wall-clock time.

    CPU time includes all threads, and it varies less than wall-clock time.

    Raises:
        FloatingPointError: the fit diverged, so its speed is not that of a fit.
    """
    program.begin()
    calls, cpu, wall = 0, time.process_time(), time.perf_counter()
    while calls == 0 or time.process_time() - cpu < seconds:
        program.advance()
        calls += 1
    spent = time.process_time() - cpu
    passed = time.perf_counter() - wall
    if not np.isfinite(program.rows()).all():
        raise FloatingPointError(f"the fit diverged within {calls * program.steps} steps")
    return {"rate": calls * program.steps * program.fields / spent, "wall_per_cpu": passed / spent}


def fitted(program: Program, steps: int) -> np.ndarray:
    """Return the first CHECK_FIELDS rows after the given number of steps from the initial parameters.

    Raises:
        ValueError: the program takes steps in calls whose size does not divide `steps`.
    """
    if steps % program.steps:
        raise ValueError(f"{steps} steps: must be a multiple of {program.steps}")
    program.begin()
    for _ in range(steps // program.steps):
        program.advance()
    return program.rows()[:CHECK_FIELDS]


def serve(prepare: Callable[[PeerTask], Measured]) -> None:
    """Prepare the task of the command line, then answer requests until standard input ends."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with the replies
    measured = prepare(PeerTask(**json.loads(sys.argv[1])))
    actions: dict[str, Callable[[float], Any]] = {
        "about": lambda _: measured.about,
        "check": lambda steps: fitted(measured.checked, int(steps)).tolist(),
        "turn": lambda seconds: turn(measured.program, seconds),
        "product": lambda _: measured.product(),
    }
    for line in sys.stdin:
        name, value = json.loads(line)
        print(json.dumps(actions[name](value)), file=replies, flush=True)


class Worker:
    """The other end of a process that runs `serve`."""

    def __init__(
        self, python: str | Path, module: str, *, task: PeerTask, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = task.program
        self._process = subprocess.Popen(
            [str(python), "-m", module, json.dumps(asdict(task))],
            cwd=REPOSITORY,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, action: str, value: float = 0) -> Any:
        """Return the reply to a request, and wait for it.

        Raises:
            RuntimeError: the process ended; its error is on standard error.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps([action, value]), file=self._process.stdin, flush=True)
            reply = self._process.stdout.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            raise RuntimeError(f"{self.name}: its process ended with {self._process.wait()}; see the error above")
        return json.loads(reply)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
