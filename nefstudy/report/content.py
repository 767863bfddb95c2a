"""What a report holds, read from the ledger once: progress, tables, figures, costs and pictures."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nefstudy.errors import BadRoot
from nefstudy.insight.catalog import FigureId, Options, TableId, figure, main_phase, table
from nefstudy.insight.figure import Figure
from nefstudy.insight.reading import Source
from nefstudy.insight.replicates import SHOWN
from nefstudy.insight.table import Table, TrialRef
from nefstudy.ledger import Ledger, StudyRow, TrialRow, TrialState
from nefstudy.report.figures import draw, encode
from nefstudy.report.learned import LEAST_DRAWN, draw_learned, learned_by
from nefstudy.storage import Storage

Cell = str | int | float | None
COSTS = ("field_steps", "fit_seconds", "classify_seconds")
COLUMNS = ("phase", "key", "cell", "task", "state", "attempt", "seed", "score", "reused", "cause", "dataset")
TABLES: tuple[TableId, ...] = (
    "initialization", "best", "replicates", "importance", "classifiers", "savings", "failures",
)  # fmt: skip
BY_TASK = frozenset({"initialization", "importance", "classifiers"})  # shown where a cell's task names them
SCATTERED = ("all_nmi", "all_off_grid_ratio")  # structure of the weights, smoothness between grid points
MOST_DOTS = 50_000  # of a figure: all trials of a study of the papers' size


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
    figure: Figure
    png: bytes
    svg: bytes


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the page and the CSV files show.

    Attributes:
        phase: the one that the figures are about: the last with a result. Phases are not pooled, because a search that
            hunts for the best setting and a grid that covers all of them have means that do not compare.
        tables: by name; replicates as people read them, the best settings of each cell.
        every: tables for CSV that people read in part.
        learned: PNG and SVG of what the best classifiers learned; None where no best trial kept its features.
    """

    study: StudyRow
    trials: tuple[TrialRow, ...]
    phase: str
    progress: tuple[Progress, ...]
    tables: Mapping[TableId, Table]
    every: Mapping[TableId, Table]
    pictures: tuple[Picture, ...]
    reconstructions: Mapping[str, bytes]
    learned: tuple[bytes, bytes] | None
    costs: Mapping[str, float]


def gather(ledger: Ledger, study: str, *, root: str | Path) -> Report:
    """Return the content of a study's report.

    Raises:
        BadConfig: the ledger holds no study of this name.
    """
    source = Source(ledger, study)
    tables = {name: table(source, name) for name in TABLES if name not in BY_TASK or source.declared.applies(name)}
    phase = main_phase(source)
    best = [trial for ref in tables["best"].column("key") if (trial := _trial(ledger, study, ref))]
    costs: dict[str, float] = defaultdict(float)
    for (_, _, name), total in ledger.trials.totals(study, COSTS).items():
        costs[name] += total
    return Report(
        study=source.row,
        trials=ledger.trials.page(study, limit=None).rows,
        phase=phase,
        progress=tuple(_progress(ledger, study)),
        tables=tables | {"replicates": table(source, "replicates", Options(limit=SHOWN))},
        every=tables,
        pictures=tuple(pictures(source, phase)),
        reconstructions={
            f"{row.phase} {row.cell}": content
            for row, content in files_of(ledger, best, root=root, name="reconstruction.png")
        },
        learned=learned_picture(ledger, [row for row in best if row.phase == phase], root=root),
        costs=costs,
    )


def _trial(ledger: Ledger, study: str, ref: object) -> TrialRow | None:
    return ledger.trials.get(ref.key, study=study, phase=ref.phase) if isinstance(ref, TrialRef) else None


def pictures(source: Source, phase: str) -> Iterable[Picture]:
    """Yield the figures of a phase, encoded; a scatter that no trial has the numbers for is left out."""
    wanted: list[tuple[FigureId, str, str | None]] = []
    if source.declared.applies("ladders", "scatter"):
        wanted.append(("ladders", "ladders", None))
    if source.declared.applies("scatter"):
        wanted += [("scatter", f"scatter_{x}", x) for x in SCATTERED]
    for id, name, x in wanted:
        found = figure(source, id, Options(phase=phase or None, x=x, limit=MOST_DOTS))
        if found.of or id == "ladders":
            drawn = draw(found)
            yield Picture(name=name, figure=found, png=encode(drawn, "png"), svg=encode(drawn, "svg"))


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
    """Yield trials with the named file that each left, where it can still be read."""
    for row in rows:
        path = ledger.trials.artifacts(row.study, row.phase, key=row.key).get(name)
        content = read_artifact(root, path) if path else None
        if content is not None:
            yield row, content


def learned_picture(ledger: Ledger, rows: Iterable[TrialRow], *, root: str | Path) -> tuple[bytes, bytes] | None:
    """Return learned features of these trials as PNG and SVG; None where none kept them."""
    kept = [learned_by(*each) for each in files_of(ledger, rows, root=root, name="embedding.safetensors")]
    found = [each for each in kept if each is not None and len(each.labels) >= LEAST_DRAWN]
    if not found:
        return None
    figure = draw_learned(found)
    return encode(figure, "png"), encode(figure, "svg")


def read_artifact(root: str | Path, path: str) -> bytes | None:
    """Return a file under a root directory or filesystem URI; None where it has been dropped."""
    storage = Storage.at(str(root))
    try:
        return storage.read(path) if storage.size(path) is not None else None
    except BadRoot:  # the ledger names a file outside the root
        return None


def trial_cells(trials: Sequence[TrialRow]) -> list[list[Cell]]:
    """Return all trials as CSV rows, header first: columns of the row, then parameters, then metrics, by name."""
    names = sorted({name for row in trials for name in row.parameters} - set(COLUMNS))
    metrics = sorted({name for row in trials for name in row.metrics} - set(COLUMNS))
    shown = [f"metrics.{name}" if name in names else name for name in metrics]
    rows: list[list[Cell]] = [[*COLUMNS, *names, *shown]]
    for row in trials:
        columns = [_plain(getattr(row, name)) for name in COLUMNS]
        given = (row.parameters.get(name) for name in names)
        rows.append([*columns, *given, *(row.metrics.get(name) for name in metrics)])
    return rows


def _plain(value: object) -> Cell:
    return value if value is None or isinstance(value, int | float) else str(value)
