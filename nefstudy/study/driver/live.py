"""The live view of a running study: progress by phase and cell, best scores, running trials and time left."""

import time
from datetime import timedelta

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nefstudy.insight.progress import CellProgress, Progress, progress, rank
from nefstudy.study.driver.run import StudyRun
from nefstudy.study.driver.schedule import SILENT_S, TrialInFlight

REFRESH_S = 1.0
LINE_EVERY_S = 15.0  # without a terminal: one line of text


class LiveView:
    """The view of a run's progress, redrawn in place on a terminal and otherwise printed every 15 s.

    Printed lines show the study's progress, silent trials, and the trial with the most time left.
    """

    def __init__(self, run: StudyRun, *, console: Console) -> None:
        self._run = run
        self._console = console
        self._shown = 0.0
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> "LiveView":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def step(self) -> None:
        """Redraw the view if enough time has passed."""
        now = time.monotonic()
        if now - self._shown < (REFRESH_S if self._live is not None else LINE_EVERY_S):
            return
        self._shown = now
        state = progress(self._run.ledger, self._run.plan.study)
        if self._live is not None:
            self._live.update(study_view(state, list(self._run.in_flight.values())), refresh=True)
        else:
            self._console.print(study_line(state), highlight=False, soft_wrap=True)
            longest = max(self._run.in_flight.values(), key=_eta_s, default=None)
            for trial in self._run.in_flight.values():
                if trial.silent_s >= SILENT_S or (trial is longest and _eta_s(trial) >= LINE_EVERY_S):
                    self._console.print(_trial_text(trial).replace("\n   ", ":"), highlight=False, soft_wrap=True)


def study_line(state: Progress) -> str:
    """Return a study's progress as one line."""
    parts = [f"{p.phase} {p.complete + p.failed + p.pruned}/{p.planned}" for p in state.phases]
    failed = f", {state.failed} failed" if state.failed else ""
    best = max((item for item in state.best if item.score is not None), key=rank, default=None)
    shown = "" if best is None else f", best {best.label} {best.score:.{best.digits}f}"
    fits = f", {state.remaining_fits} fits left" if state.remaining_fits else ""
    return f"{state.study}: {', '.join(parts)}, {state.running} running{failed}{shown}{fits}, ETA {_time(state.eta_s)}"


def study_view(state: Progress, in_flight: list[TrialInFlight]) -> RenderableType:
    """Return a study's progress as a table with one row per phase and cell, followed by the running trials.

    A row shows the cell's best score and, if any trial has one, that trial's test metric.
    """
    table = Table(title=f"study {state.study}", title_justify="left", box=None, pad_edge=False, header_style="bold")
    has_test = any(cell.best and cell.best.reported_label for phase in state.phases for cell in phase.cells)
    test = ("test",) if has_test else ()
    for name in ("phase", "cell", "", "trials", "now", "failed", "best", *test, "ETA"):
        table.add_column(name, justify="left" if name in ("phase", "cell", "") else "right", no_wrap=True)
    for phase in state.phases:
        for index, cell in enumerate(phase.cells):
            eta = _time(phase.eta_s) if index == 0 and phase.remaining else ""
            table.add_row(phase.phase if index == 0 else "", cell.cell, *_cell(cell, has_test=has_test), eta)
    total = ProgressBar(total=max(state.planned, 1), completed=state.planned - state.remaining, width=40)
    foot = Table.grid(padding=(0, 1))
    pace = "" if state.per_minute is None else f"{state.per_minute:.1f} trials/min"
    fits = f"{state.remaining_fits} fits, " if state.remaining_fits else ""
    eta = f"{fits}ETA {_time(state.eta_s)}" if state.remaining else ""
    foot.add_row(total, f"{state.planned - state.remaining}/{state.planned}", pace, eta)
    return Group(table, Text(), foot, *(Text(_trial_text(trial), style="dim") for trial in in_flight[:8]))


def _cell(cell: CellProgress, *, has_test: bool) -> tuple[RenderableType, ...]:
    done = cell.planned - cell.remaining
    bar = ProgressBar(total=max(cell.planned, 1), completed=done, width=12)
    best = cell.best
    scores = ((None, None) if best is None else (best.score, best.reported))[: 1 + has_test]
    digits = 3 if best is None else best.digits
    shown = ["-" if score is None else f"{score:.{digits}f}" for score in scores]
    failed = Text(str(cell.failed), style="red" if cell.failed else "")
    return (bar, f"{done}/{cell.planned}", str(cell.running), failed, *shown)


def _eta_s(trial: TrialInFlight) -> float:
    return 0.0 if trial.progress is None else trial.progress.eta_s


def _trial_text(trial: TrialInFlight) -> str:
    text = f"  {trial.suggestion.cell} {trial.suggestion.summary}"
    if trial.silent_s >= SILENT_S:
        text += f", no report for {trial.silent_s / 60:.0f} min"
    return text if trial.progress is None else f"{text}\n    {trial.progress}"


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else str(timedelta(seconds=round(seconds)))
