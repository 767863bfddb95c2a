"""What a report holds, read from the ledger once: progress, tables, figures, costs and failures."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nefstudy.errors import BadConfig, BadRoot
from nefstudy.ledger import Ledger, StudyRow, TrialRow, TrialState, parameters
from nefstudy.ledger.replicates import Replicated, replicated
from nefstudy.report.figures import FIGURES, Drawing, draw, encode
from nefstudy.report.learned import LEAST_DRAWN, draw_learned, learned_by
from nefstudy.report.tables import StartTable, best_table, finished, start_table
from nefstudy.storage import Storage

Cell = str | int | float | None
COSTS = ("field_steps", "fit_seconds", "classify_seconds")
COLUMNS = (
    "phase", "key", "cell", "state", "attempt", "init", "field", "signals", "hidden", "steps", "classifier", "seed",
    "val_accuracy", "test_accuracy", "quality", "reused", "cause", "dataset",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one phase of one cell has come."""

    phase: str
    cell: str
    planned: int
    states: Mapping[TrialState, int]


@dataclass(frozen=True, slots=True)
class Picture:
    """One figure, in both encodings."""

    name: str
    drawing: Drawing
    png: bytes
    svg: bytes


@dataclass(frozen=True, slots=True)
class Report:
    """Everything the page and the CSV files say; `phase` is the one the table and figures are about.

    Attributes:
        learned: PNG and SVG of what the best classifiers learned; None where no best trial kept its features.
    """

    study: StudyRow
    trials: tuple[TrialRow, ...]
    phase: str
    progress: tuple[Progress, ...]
    starts: StartTable
    best: tuple[TrialRow, ...]
    replicates: tuple[Replicated, ...]
    pictures: tuple[Picture, ...]
    reconstructions: Mapping[str, bytes]
    learned: tuple[bytes, bytes] | None
    costs: Mapping[str, float]
    causes: Mapping[tuple[str, str, str], int]


def gather(ledger: Ledger, study: str, *, root: str | Path) -> Report:
    """The content of a study's report.

    Raises:
        BadConfig: the ledger holds no study of this name.
    """
    found = ledger.studies.get(study)
    if found is None:
        known = ", ".join(row.study for row in ledger.studies.all()) or "none"
        raise BadConfig(f"study = {study!r}: the ledger knows {known}; name one of them")
    trials = ledger.trials.page(study, limit=None).rows
    phase, shown = main_phase(trials)
    best = best_table(trials)
    costs: dict[str, float] = defaultdict(float)
    for (_, _, name), total in ledger.trials.totals(study, COSTS).items():
        costs[name] += total
    return Report(
        study=found,
        trials=trials,
        phase=phase,
        progress=tuple(_progress(ledger, study)),
        starts=start_table(shown),
        best=best,
        replicates=tuple(replicated(trials)),
        pictures=tuple(picture(name, shown) for name in FIGURES),
        reconstructions={
            f"{row.phase} {row.cell}": content
            for row, content in files_of(ledger, best, root=root, name="reconstruction.png")
        },
        learned=learned_picture(ledger, [row for row in best if row.phase == phase], root=root),
        costs=costs,
        causes=ledger.trials.causes(study),
    )


def main_phase(trials: Sequence[TrialRow]) -> tuple[str, list[TrialRow]]:
    """The last phase with a finished trial, and its finished trials: the grid, once it has begun.

    Phases are not pooled: a search that hunts for the best setting and a grid that covers all of them
    have means that do not compare.
    """
    done = finished(trials)
    last = max((row.phase for row in done), default="")
    return last, [row for row in done if row.phase == last]


def picture(name: str, rows: Sequence[TrialRow]) -> Picture:
    """The named figure of these trials, encoded."""
    figure = draw(name, rows)
    return Picture(name=name, drawing=FIGURES[name], png=encode(figure, "png"), svg=encode(figure, "svg"))


def _progress(ledger: Ledger, study: str) -> Iterable[Progress]:
    planned = ledger.studies.planned(study)
    counts: dict[tuple[str, str], dict[TrialState, int]] = defaultdict(dict)
    for (phase, cell, state), count in ledger.trials.counts(study).items():
        counts[phase, cell][state] = count
    for phase, cell in sorted({*planned, *counts}):
        yield Progress(phase, cell, planned=planned.get((phase, cell), 0), states=counts.get((phase, cell), {}))


def files_of(
    ledger: Ledger, rows: Iterable[TrialRow], *, root: str | Path, name: str
) -> Iterable[tuple[TrialRow, bytes]]:
    """Trials and the file of that name which each left, where it left one that can still be read."""
    for row in rows:
        path = ledger.trials.artifacts(row.study, row.phase, key=row.key).get(name)
        content = read_artifact(root, path) if path else None
        if content is not None:
            yield row, content


def learned_picture(ledger: Ledger, rows: Iterable[TrialRow], *, root: str | Path) -> tuple[bytes, bytes] | None:
    """Learned features of these trials as PNG and SVG; None where none kept them."""
    kept = [learned_by(*each) for each in files_of(ledger, rows, root=root, name="embedding.safetensors")]
    found = [each for each in kept if each is not None and len(each.labels) >= LEAST_DRAWN]
    if not found:
        return None
    figure = draw_learned(found)
    return encode(figure, "png"), encode(figure, "svg")


def read_artifact(root: str | Path, path: str) -> bytes | None:
    """A file under a root directory or filesystem URI; None where it has been dropped."""
    storage = Storage.at(str(root))
    try:
        return storage.read(path) if storage.size(path) is not None else None
    except BadRoot:  # the ledger names a file outside the root
        return None


def trial_cells(trials: Sequence[TrialRow]) -> list[list[Cell]]:
    """All trials as CSV rows, header first: columns of the row, then parameters, then metrics, by name."""
    asked = [parameters(row.config) for row in trials]
    names = sorted({name for given in asked for name in given} - set(COLUMNS))
    metrics = sorted({name for row in trials for name in row.metrics} - set(COLUMNS))
    rows: list[list[Cell]] = [[*COLUMNS, *names, *metrics]]
    for row, given in zip(trials, asked, strict=True):
        columns = [_plain(getattr(row, name)) for name in COLUMNS]
        rows.append([*columns, *(given.get(name) for name in names), *(row.metrics.get(name) for name in metrics)])
    return rows


def _plain(value: object) -> Cell:
    return value if value is None or isinstance(value, int | float) else str(value)
