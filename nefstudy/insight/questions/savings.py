"""Work saved by reuse: trials, fits and optimizer steps."""

import statistics

from nefstudy.insight.table import Column, Table, counted
from nefstudy.insight.trials import TrialColumns, is_number

COLUMNS = ("dataset", "steps", "reused", "field_steps")


def savings(trials: TrialColumns) -> Table:
    """Return a table of the trials, fits and field-steps that were requested, done and saved.

    A trial that fitted a neural dataset reports its field-steps, so the steps done divided by the steps requested is
    the number of fields of that dataset. A dataset without a fit in this study is assumed to have the median number.
    """
    rows = list(zip(*(trials[name] for name in COLUMNS), strict=True))
    reading = [row for row in rows if row[0] is not None]  # a task may read no neural dataset
    fields: dict[str, float] = {}
    for dataset, steps, _, done in reading:
        if is_number(done) and done > 0 and is_number(steps) and steps > 0:
            fields[dataset] = max(fields.get(dataset, 0.0), done / steps)
    median = statistics.median(fields.values()) if fields else 0.0
    fits = sum(1 for *_, reused, done in reading if is_number(done) and done > 0 and not reused)
    reused = sum(bool(row[2]) for row in rows)
    requested = sum(steps * fields.get(dataset, median) for dataset, steps, *_ in reading if is_number(steps))
    done = sum(row[3] for row in reading if is_number(row[3]) and not row[2])
    return Table(
        id="savings",
        title="Reuse",
        caption=_caption(len(rows), reading=len(reading), fits=fits, reused=reused, requested=requested, done=done),
        columns=(
            Column("what", "work"),
            Column("asked", "without reuse", "count"),
            Column("done", "with reuse", "count"),
            Column("spared", "saved", "count"),
            Column("share", "share saved", "share"),
        ),
        rows=(
            ("trials", len(rows), len(rows) - reused, reused, _share(reused, len(rows))),
            ("fits", len(reading), fits, len(reading) - fits, _share(len(reading) - fits, len(reading))),
            ("field-steps", requested, done, max(requested - done, 0.0), _share(max(requested - done, 0.0), requested)),
        ),
        of=len(rows),
    )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _caption(trials: int, *, reading: int, fits: int, reused: int, requested: float, done: float) -> str:
    if not trials:
        return "No complete trial yet."
    if not reading:
        return f"{counted(trials, 'complete trial')}, none of which reads a neural dataset; {reused:,} reused a result."
    needed = f"{counted(reading, 'complete trial')} needed {counted(fits, 'fit')}"
    if fits >= reading and not reused:
        return f"No work saved so far: {needed}."
    steps = f", {100 * (1 - done / requested):.0f} % of the field-steps" if requested > done else ""
    reuse = f"; {counted(reused, 'trial')} reused an earlier result" if reused else ""
    return f"{needed}: {counted(reading - fits, 'fit')} saved{steps}{reuse}."
