"""Settings that ran with several seeds: their means with intervals, for the page and as CSV."""

from collections.abc import Sequence

from nefstudy.ledger.replicates import CONFIDENCE, Interval, Replicated

SHOWN = 8  # settings of each cell on the page; the CSV has all
NOTE = (
    "Mean ± half of the 95 % interval (Student's t, n - 1 degrees of freedom) over n seeds of one setting; "
    "the best settings of each cell by mean validation accuracy, all of them in replicates.csv."
)


def replicate_cells(found: Sequence[Replicated]) -> tuple[list[str], list[list[str]]]:
    """Header and body of the table, the first few settings of each phase and cell."""
    header = ["cell", "phase", "init", "hidden", "steps", "n", "val", "test", "quality"]
    seen: dict[tuple[str, str], int] = {}
    body = []
    for line in found:
        row = line.example
        seen[row.phase, row.cell] = place = seen.get((row.phase, row.cell), 0) + 1
        if place <= SHOWN:
            quality = "–" if line.quality is None else f"{line.quality.mean:.2f}"
            hidden = "–" if row.hidden is None else str(row.hidden)
            body.append(
                [row.cell, row.phase, row.init, hidden, str(row.steps), str(line.val.n), str(line.val),
                 str(line.test), quality]
            )  # fmt: skip
    return header, body


def replicate_rows(found: Sequence[Replicated]) -> list[list[str | int | float | None]]:
    """All settings as CSV rows, header first, full precision."""
    rows: list[list[str | int | float | None]] = [
        ["cell", "phase", "init", "hidden", "steps", "classifier", "n", "confidence", "mean_val_accuracy",
         "half_val_accuracy", "mean_test_accuracy", "half_test_accuracy", "mean_quality", "half_quality", "keys"]
    ]  # fmt: skip
    for line in found:
        row = line.example
        numbers = [value for found in (line.val, line.test, line.quality) for value in _pair(found)]
        rows.append(
            [row.cell, row.phase, row.init, row.hidden, row.steps, row.classifier, line.val.n, CONFIDENCE, *numbers,
             " ".join(line.keys)]
        )  # fmt: skip
    return rows


def _pair(found: Interval | None) -> tuple[float | None, float | None]:
    return (None, None) if found is None else (found.mean, found.half)
