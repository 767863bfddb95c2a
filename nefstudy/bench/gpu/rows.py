"""The rows and sizes of `nefstudy bench gpu`."""

from dataclasses import dataclass, field
from typing import Any

from nefstudy.bench.fit import CASES, RATES, Case

OK, WRONG, FAILED = "ok", "wrong", "failed"
ENGINE, CLASSIFIER = "fused", "gnn-sign"
FIELDS, STEPS = 60_000, 1_000  # the work whose expected seconds are derived in fitting/engines/fused/__init__.py
FLOAT32_PEAK = 67e12  # operations per second of the device for which they are derived
WIDE = Case("siren", 128, "32x32x3")
LEAST_S = dict(zip((*(Case(*case) for case in CASES), WIDE), (7.3, 26.0, 25.0, 14.0, 91.0), strict=True))
"""The least seconds for that work: to issue the instructions or, if wide, to move the matrices. Twice is expected."""
TURNS = 3


@dataclass(frozen=True)
class GpuRow:
    """One result: `ok`, `wrong` if a check found wrong values, or `failed` with its reason if there is no result."""

    part: str
    case: str
    outcome: str
    values: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class GpuSizes:
    """The amount of work of each part.

    Attributes:
        device: where the classifier runs; the engine chooses its own device.
        steps: step counts at which the engine is compared with `eager`.
        lanes: fields of such a comparison.
        speed_steps: steps of one timed turn.
        signals, subset: the signals of a trial.
        hidden, trial_steps, epochs: of a trial.
        limit_s: seconds after which a case is given up.
    """

    device: str = "cuda"
    checked: tuple[Case, ...] = (
        *(Case(name, 32, "28x28x1") for name in RATES),
        *(Case(name, 128, "28x28x1") for name in ("siren", "rffnet")),
    )
    steps: tuple[int, ...] = (1, 10, 100, 1_000)
    lanes: int = 5
    speed: tuple[Case, ...] = tuple(LEAST_S)
    speed_steps: int = 1_000
    batch: int = 64
    signals: str = "mnist5k"
    subset: int = 1_000
    hidden: int = 32
    trial_steps: int = 1_000
    epochs: int = 2
    limit_s: float = 600.0


QUICK = GpuSizes(steps=(1, 10, 100), speed_steps=100, subset=200, trial_steps=100, epochs=1)
