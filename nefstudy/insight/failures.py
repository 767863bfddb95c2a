"""What failed in a study, by cell and cause: failed trials, retried attempts, cells that stopped."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nefstudy.insight.table import Cell, Column, Table, TrialRef
from nefstudy.outside_text import without_secrets

Place = tuple[str, str, str]
"""Phase, cell, cause."""

ERROR_CHARS = 300
_FOLDERS = re.compile(r"(?:\b[a-z][a-z0-9+.-]{1,15}:/|(?<![\w/]))/+(?:[^\s/'\",()]+/)*")  # of a path or a URL


@dataclass(frozen=True)
class FailedTrial:
    """A failed trial with its cause and its error text."""

    key: str
    phase: str
    cell: str
    cause: str | None
    error: str | None


def failures(failed: Mapping[Place, int], retried: Mapping[Place, int], *, latest: Iterable[FailedTrial]) -> Table:
    """Return failed trials and retried attempts by cause and cell, most frequent cause first.

    Args:
        latest: failed trials, latest first; the first of each place is shown.
    """
    newest: dict[Place, FailedTrial] = {}
    for trial in latest:
        newest.setdefault((trial.phase, trial.cell, trial.cause or ""), trial)
    totals: dict[str, int] = {}
    for (_, _, cause), count in failed.items():
        totals[cause] = totals.get(cause, 0) + count
    places = sorted({*failed, *retried}, key=lambda place: (-totals.get(place[2], 0), place[2], place[0], place[1]))
    rows = tuple(_row(place, failed.get(place, 0), retried.get(place, 0), newest.get(place)) for place in places)
    words = f"{sum(failed.values()):,} failed trials, {sum(retried.values()):,} retried attempts."
    return Table(
        id="failures",
        title="Failures",
        caption=words if places else "None.",
        columns=(
            Column("cause", "cause"),
            Column("phase", "phase"),
            Column("cell", "cell"),
            Column("failed", "failed", "count"),
            Column("retried", "retried", "count"),
            Column("latest", "latest", "trial"),
            Column("error", "error"),
        ),
        rows=rows,
        of=sum(failed.values()),
    )


def _row(place: Place, failed: int, retried: int, trial: FailedTrial | None) -> tuple[Cell, ...]:
    phase, cell, cause = place
    shown = (None, None) if trial is None else (TrialRef(trial.key, trial.phase), presentable(trial.error))
    return (cause, phase, cell, failed, retried, *shown)


def stopped(reasons: Mapping[tuple[str, str], str]) -> Table:
    """Return the cells whose remaining trials are skipped until the study is run again, and why."""
    return Table(
        id="stopped",
        title="Stopped cells",
        caption="Skipped until the study is run again." if reasons else "None.",
        columns=(Column("phase", "phase"), Column("cell", "cell"), Column("reason", "reason")),
        rows=tuple((phase, cell, reason) for (phase, cell), reason in sorted(reasons.items())),
    )


def presentable(error: str | None) -> str | None:
    """Return the first line of an error without the folders of any path in it."""
    if error is None:
        return None
    return presentable_line(error.strip().splitlines()[0] if error.strip() else "")


def presentable_line(line: str) -> str:
    """Return a line without secrets and without the folders of any path in it."""
    return _FOLDERS.sub("", without_secrets(line))[:ERROR_CHARS]
