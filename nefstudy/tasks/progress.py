"""How far a trial is: what it does now, how fast, and how long that will go on."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from math import isnan
from typing import Any, Literal

log = logging.getLogger(__name__)
LOG_EVERY_S = 30.0  # a long fit, in the trial's log


@dataclass(frozen=True)
class Working:
    """Where a trial is.

    Attributes:
        what: `fitting` by field, or `classifying` by epoch.
        done, total: fields, of those this rank had to fit; or epochs.
        seconds: since this began.
        steps: optimizer steps of one field; 0 when classifying.
        psnr: mean of the fields done at the ladder's last rung, dB; NaN where there is none.
    """

    what: Literal["fitting", "classifying"]
    done: int
    total: int
    seconds: float
    steps: int = 0
    psnr: float = float("nan")

    @property
    def eta_s(self) -> float:
        """Seconds until this ends, at the mean pace so far."""
        return self.seconds / self.done * (self.total - self.done)

    def __str__(self) -> str:
        unit = "fields" if self.what == "fitting" else "epochs"
        parts = [f"{self.what} {self.done:,}/{self.total:,} {unit}"]
        if self.steps and self.seconds > 0:
            parts.append(f"{self.done * self.steps / self.seconds:,.0f} field-steps/s")
        if not isnan(self.psnr):
            parts.append(f"{self.psnr:.1f} dB")
        return ", ".join([*parts, f"ETA {timedelta(seconds=round(self.eta_s))}"])


def working_of(report: object) -> Working | None:
    """Return the reported progress, None where the report is anything else: user code may report as well."""
    try:
        working = Working(**report)  # type: ignore[arg-type]  # every failure is answered
        is_shown = working.what in ("fitting", "classifying") and bool(str(working)) and working.eta_s >= 0
    except Exception:
        return None
    return working if is_shown else None


Progress = Callable[[Working], None]
"""Called while a trial works, after every chunk of fields and every epoch."""


def rarely(tell: Callable[[Working], Any], *, every_s: float, clock: Callable[[], float]) -> Progress:
    """Passes on what it is told, once in `every_s` seconds at most."""
    last = clock()

    def pass_on(working: Working) -> None:
        nonlocal last
        if clock() - last >= every_s:
            last = clock()
            tell(working)

    return pass_on


def fitting(
    on_progress: Progress | None, *, steps: int, clock: Callable[[], float]
) -> Callable[[int, int, float], None]:
    """What a fit of so many steps reports (done, total, mean PSNR) to: told on, and logged now and then."""
    began = clock()
    keep = rarely(lambda working: log.info("%s", working), every_s=LOG_EVERY_S, clock=clock)

    def tell(done: int, total: int, psnr: float) -> None:
        working = Working("fitting", done, total, clock() - began, steps=steps, psnr=psnr)
        keep(working)
        if on_progress is not None:
            on_progress(working)

    return tell
