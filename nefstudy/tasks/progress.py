"""Progress of a running trial: its activity, speed and remaining time."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from math import isnan
from typing import Any, Literal

log = logging.getLogger(__name__)
LOG_EVERY_S = 30.0  # between lines about a long fit in the trial's log


@dataclass(frozen=True)
class TrialProgress:
    """The progress of a running trial.

    Attributes:
        what: `fitting`, counted in fields, or `classifying`, counted in epochs.
        done, total: fields, of those that this rank has to fit; or epochs.
        seconds: since this activity began.
        steps: optimizer steps of one field; 0 when classifying.
        psnr: mean of the finished fields at the ladder's last rung, dB; NaN for signals without PSNR.
    """

    what: Literal["fitting", "classifying"]
    done: int
    total: int
    seconds: float
    steps: int = 0
    psnr: float = float("nan")

    @property
    def eta_s(self) -> float:
        """Estimated seconds until this activity ends, at its average speed so far."""
        return self.seconds / self.done * (self.total - self.done)

    def __str__(self) -> str:
        unit = "fields" if self.what == "fitting" else "epochs"
        parts = [f"{self.what} {self.done:,}/{self.total:,} {unit}"]
        if self.steps and self.seconds > 0:
            parts.append(f"{self.done * self.steps / self.seconds:,.0f} field-steps/s")
        if not isnan(self.psnr):
            parts.append(f"{self.psnr:.1f} dB")
        return ", ".join([*parts, f"ETA {timedelta(seconds=round(self.eta_s))}"])


def progress_of(report: object) -> TrialProgress | None:
    """Return the progress that a report contains; None for a report of another form, such as one from user code."""
    try:
        progress = TrialProgress(**report)  # type: ignore[arg-type]  # any failure gives None
        is_valid = progress.what in ("fitting", "classifying") and bool(str(progress)) and progress.eta_s >= 0
    except Exception:
        return None
    return progress if is_valid else None


OnProgress = Callable[[TrialProgress], None]
"""Called after every chunk of fields and every epoch of a trial."""


def throttled(report: Callable[[TrialProgress], Any], *, every_s: float, clock: Callable[[], float]) -> OnProgress:
    """Return a callback that forwards progress to `report` at most once every `every_s` seconds."""
    last = clock()

    def forward(progress: TrialProgress) -> None:
        nonlocal last
        if clock() - last >= every_s:
            last = clock()
            report(progress)

    return forward


def fit_progress(
    on_progress: OnProgress | None, *, steps: int, clock: Callable[[], float]
) -> Callable[[int, int, float], None]:
    """Return a progress callback for a fit, called with (done, total, mean PSNR).

    It forwards the progress and logs it every LOG_EVERY_S seconds.

    Args:
        steps: optimizer steps of one field.
    """
    began = clock()
    log_progress = throttled(lambda progress: log.info("%s", progress), every_s=LOG_EVERY_S, clock=clock)

    def report(done: int, total: int, psnr: float) -> None:
        progress = TrialProgress("fitting", done, total, clock() - began, steps=steps, psnr=psnr)
        log_progress(progress)
        if on_progress is not None:
            on_progress(progress)

    return report
