"""Work that was not done: fits that were reused, and the optimizer steps that ladders spared."""

import statistics

from nefstudy.insight.table import Column, Table
from nefstudy.insight.trials import Trials, is_number

COLUMNS = ("dataset", "steps", "reused", "field_steps")


def savings(trials: Trials) -> Table:
    """Return trials, fits and field-steps: asked for, done and spared.

    A trial that fitted a neural dataset reports its field-steps, so steps done over steps asked is the number of fields
    of that dataset; one whose fit is not in this study is taken to have the usual number.
    """
    rows = list(zip(*(trials[name] for name in COLUMNS), strict=True))
    fields: dict[str, float] = {}
    for dataset, steps, _, done in rows:
        if is_number(done) and done > 0 and is_number(steps) and steps > 0:
            fields[dataset] = max(fields.get(dataset, 0.0), done / steps)
    usual = statistics.median(fields.values()) if fields else 0.0
    fits = sum(1 for *_, reused, done in rows if is_number(done) and done > 0 and not reused)
    reused = sum(bool(row[2]) for row in rows)
    asked = sum(steps * fields.get(dataset, usual) for dataset, steps, *_ in rows if is_number(steps))
    done = sum(row[3] for row in rows if is_number(row[3]) and not row[2])
    return Table(
        id="savings",
        title="Reuse",
        caption=_words(len(rows), fits=fits, reused=reused, asked=asked, done=done),
        columns=(
            Column("what", "what"),
            Column("asked", "asked for", "count"),
            Column("done", "done", "count"),
            Column("spared", "spared", "count"),
            Column("share", "share spared", "share"),
        ),
        rows=(
            ("trials", len(rows), len(rows) - reused, reused, _share(reused, len(rows))),
            ("fits", len(rows), fits, len(rows) - fits, _share(len(rows) - fits, len(rows))),
            ("field-steps", asked, done, max(asked - done, 0.0), _share(max(asked - done, 0.0), asked)),
        ),
        of=len(rows),
    )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _words(trials: int, *, fits: int, reused: int, asked: float, done: float) -> str:
    if not trials:
        return "Known from the first complete trial on."
    if fits >= trials and not reused:
        return f"Nothing was spared so far: each of {trials:,} complete trials fitted its own neural dataset."
    spared = f", {100 * (1 - done / asked):.0f} % of the field-steps" if asked > done else ""
    known = f"; {reused:,} trials were known already" if reused else ""
    return f"{trials:,} complete trials needed {fits:,} fits: {trials - fits:,} fits were spared{spared}{known}."
