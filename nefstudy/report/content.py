"""The content of a report, read from the ledger once: progress, tables, figures, costs and pictures."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nefstudy.errors import BadRoot
from nefstudy.insight.catalog import FigureId, Options, TableId, figure, main_phase, table
from nefstudy.insight.figure import Figure
from nefstudy.insight.questions.replicates import SHOWN
from nefstudy.insight.study_data import StudyData
from nefstudy.insight.table import Table, TrialRef
from nefstudy.ledger import Ledger, StudyRow, TrialRow, TrialState
from nefstudy.report.figures import draw, encode
from nefstudy.report.learned import MIN_FIELDS, draw_learned, load_learned
from nefstudy.storage import Storage

CsvValue = str | int | float | None
COSTS = ("field_steps", "fit_seconds", "classify_seconds")
COLUMNS = ("phase", "key", "cell", "task", "state", "attempt", "seed", "score", "reused", "cause", "dataset")
TABLES: tuple[TableId, ...] = (
    "initialization", "best", "replicates", "importance", "classifiers", "savings", "failures",
)  # fmt: skip
BY_TASK = frozenset({"initialization", "importance", "classifiers"})  # shown if a cell's task declares them
SCATTER_METRICS = (  # structure of the weights, smoothness between grid points
    "all_nmi", "all_ami", "all_off_grid_ratio_bilinear", "all_off_grid_ratio_published", "all_off_grid_nmse_ratio",
)  # fmt: skip
MAX_DOTS = 50_000  # per figure: all trials of a study of the papers' size


@dataclass(frozen=True, slots=True)
class ProgressRow:
    """Progress of one phase of one cell."""

    phase: str
    cell: str
    planned: int
    states: Mapping[TrialState, int]


@dataclass(frozen=True, slots=True)
class ReportPicture:
    """One figure, encoded as PNG and as SVG."""

    name: str
    figure: Figure
    png: bytes
    svg: bytes


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the page and the CSV files show.

    Attributes:
        phase: the phase that the figures show, which is the last with a result. Phases are not pooled: a search
            concentrates on good settings and a grid covers all of them, so their means are not comparable.
        tables: tables of the page by name; replicates are limited to the best settings of each cell.
        full_tables: the same tables for CSV, with all rows.
        sizes: training curves by classifier size, which become files next to the page.
        learned: the features that the best classifiers learned, as PNG and SVG; None if no best trial stored any.
    """

    study: StudyRow
    trials: tuple[TrialRow, ...]
    phase: str
    progress: tuple[ProgressRow, ...]
    tables: Mapping[TableId, Table]
    full_tables: Mapping[TableId, Table]
    pictures: tuple[ReportPicture, ...]
    sizes: Figure
    reconstructions: Mapping[str, bytes]
    learned: tuple[bytes, bytes] | None
    costs: Mapping[str, float]


def gather(ledger: Ledger, study: str, *, root: str | Path) -> Report:
    """Return the content of a study's report.

    Raises:
        BadConfig: the ledger has no study of this name.
    """
    source = StudyData(ledger, study)
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
        full_tables=tables,
        pictures=tuple(pictures(source, phase)),
        sizes=figure(source, "classifier-curves", Options(phase=phase or None)),
        reconstructions={
            f"{row.phase} {row.cell}": content
            for row, content in files_of(ledger, best, root=root, name="reconstruction.png")
        },
        learned=learned_picture(ledger, [row for row in best if row.phase == phase], root=root),
        costs=costs,
    )


def _trial(ledger: Ledger, study: str, ref: object) -> TrialRow | None:
    return ledger.trials.get(ref.key, study=study, phase=ref.phase) if isinstance(ref, TrialRef) else None


def pictures(source: StudyData, phase: str) -> Iterable[ReportPicture]:
    """Yield the encoded figures of a phase, skipping scatter plots whose metric no trial has."""
    requests: list[tuple[FigureId, str, str | None]] = []
    if source.declared.applies("ladders", "scatter"):
        requests.append(("ladders", "ladders", None))
    if source.declared.applies("scatter"):
        requests += [("scatter", f"scatter_{x}", x) for x in SCATTER_METRICS]
    for id, name, x in requests:
        value = figure(source, id, Options(phase=phase or None, x=x, limit=MAX_DOTS))
        if value.of or id == "ladders":
            drawn = draw(value)
            yield ReportPicture(name=name, figure=value, png=encode(drawn, "png"), svg=encode(drawn, "svg"))


def _progress(ledger: Ledger, study: str) -> Iterable[ProgressRow]:
    planned = ledger.studies.planned(study)
    counts: dict[tuple[str, str], dict[TrialState, int]] = defaultdict(dict)
    for (phase, cell, state), count in ledger.trials.counts(study).items():
        counts[phase, cell][state] = count
    for phase, cell in sorted({*planned, *counts}):
        yield ProgressRow(phase, cell, planned=planned.get((phase, cell), 0), states=counts.get((phase, cell), {}))


def files_of(
    ledger: Ledger, rows: Iterable[TrialRow], *, root: str | Path, name: str
) -> Iterable[tuple[TrialRow, bytes]]:
    """Yield each trial with the content of its artifact `name`, skipping artifacts that can no longer be read."""
    for row in rows:
        path = ledger.trials.artifacts(row.study, row.phase, key=row.key).get(name)
        content = read_artifact(root, path) if path else None
        if content is not None:
            yield row, content


def learned_picture(ledger: Ledger, rows: Iterable[TrialRow], *, root: str | Path) -> tuple[bytes, bytes] | None:
    """Return a figure of the given trials' learned features as PNG and SVG, or None if no features are stored."""
    loaded = [load_learned(*file) for file in files_of(ledger, rows, root=root, name="embedding.safetensors")]
    learned = [each for each in loaded if each is not None and len(each.labels) >= MIN_FIELDS]
    if not learned:
        return None
    figure = draw_learned(learned)
    return encode(figure, "png"), encode(figure, "svg")


def read_artifact(root: str | Path, path: str) -> bytes | None:
    """Return the content of a file under a directory or filesystem URI, or None if it was deleted."""
    storage = Storage.at(str(root))
    try:
        return storage.read(path) if storage.size(path) is not None else None
    except BadRoot:  # the ledger names a file outside the root
        return None


def trial_table(trials: Sequence[TrialRow]) -> list[list[CsvValue]]:
    """Return all trials as CSV rows, header first.

    The ledger's columns come first, then parameters and metrics, sorted by name.
    """
    names = sorted({name for row in trials for name in row.parameters} - set(COLUMNS))
    metrics = sorted({name for row in trials for name in row.metrics} - set(COLUMNS))
    headers = [f"metrics.{name}" if name in names else name for name in metrics]
    rows: list[list[CsvValue]] = [[*COLUMNS, *names, *headers]]
    for row in trials:
        columns = [_plain(getattr(row, name)) for name in COLUMNS]
        parameters = (row.parameters.get(name) for name in names)
        rows.append([*columns, *parameters, *(row.metrics.get(name) for name in metrics)])
    return rows


def _plain(value: object) -> CsvValue:
    return value if value is None or isinstance(value, int | float) else str(value)
