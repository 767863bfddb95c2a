"""Failures of a study by cell and cause: failed trials, retried attempts and stopped cells."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nefstudy.insight.table import Cell, Column, Table, TrialRef, counted
from nefstudy.outside_text import without_secrets

FailureKey = tuple[str, str, str]
"""Phase, cell and cause."""

ERROR_CHARS = 300
_FOLDERS = re.compile(r"(?:\b[a-z][a-z0-9+.-]{1,15}:/|(?<![\w/]))/+(?:[^\s/'\",()]+/)*")  # in a path or URL


@dataclass(frozen=True)
class FailedTrial:
    """A failed trial with its cause and its error text."""

    key: str
    phase: str
    cell: str
    cause: str | None
    error: str | None


def failures(
    failed: Mapping[FailureKey, int], retried: Mapping[FailureKey, int], *, latest: Iterable[FailedTrial]
) -> Table:
    """Return a table of failed trials and retried attempts by cause and cell, most frequent cause first.

    Args:
        latest: failed trials, latest first; the first one for each phase, cell and cause is shown.
    """
    newest: dict[FailureKey, FailedTrial] = {}
    for trial in latest:
        newest.setdefault((trial.phase, trial.cell, trial.cause or ""), trial)
    totals: dict[str, int] = {}
    for (_, _, cause), count in failed.items():
        totals[cause] = totals.get(cause, 0) + count
    keys = sorted({*failed, *retried}, key=lambda key: (-totals.get(key[2], 0), key[2], key[0], key[1]))
    rows = tuple(_row(key, failed.get(key, 0), retried.get(key, 0), newest.get(key)) for key in keys)
    caption = f"{counted(sum(failed.values()), 'failed trial')}, {counted(sum(retried.values()), 'retried attempt')}."
    return Table(
        id="failures",
        title="Failures",
        caption=caption if keys else "No failures.",
        columns=(
            Column("cause", "cause"),
            Column("phase", "phase"),
            Column("cell", "cell"),
            Column("failed", "failed", "count"),
            Column("retried", "retried", "count"),
            Column("latest", "latest trial", "trial"),
            Column("error", "latest error"),
        ),
        rows=rows,
        of=sum(failed.values()),
    )


def _row(key: FailureKey, failed: int, retried: int, trial: FailedTrial | None) -> tuple[Cell, ...]:
    phase, cell, cause = key
    shown = (None, None) if trial is None else (TrialRef(trial.key, trial.phase), presentable(trial.error))
    return (cause, phase, cell, failed, retried, *shown)


def stopped(reasons: Mapping[tuple[str, str], str]) -> Table:
    """Return a table of the stopped cells with their stop reasons.

    Their remaining trials are skipped until the study is run again.
    """
    return Table(
        id="stopped",
        title="Stopped cells",
        caption="Skipped until the study is run again." if reasons else "No stopped cells.",
        columns=(Column("phase", "phase"), Column("cell", "cell"), Column("reason", "reason")),
        rows=tuple((phase, cell, reason) for (phase, cell), reason in sorted(reasons.items())),
    )


def presentable(error: str | None) -> str | None:
    """Return the first line of an error, with secrets and the directory parts of paths removed."""
    if error is None:
        return None
    return presentable_line(error.strip().splitlines()[0] if error.strip() else "")


def presentable_line(line: str) -> str:
    """Return a line with secrets and the directory parts of paths removed."""
    return _FOLDERS.sub("", without_secrets(line))[:ERROR_CHARS]
