"""The declarations of each cell in a study's plan, as plain data: objective, metrics and free parameters."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nefstudy.errors import BadConfig
from nefstudy.insight.figure import Axis
from nefstudy.insight.trials import TrialColumns, is_number
from nefstudy.ledger.record import CellRecord, Direction
from nefstudy.outside_text import shortened

CellKey = tuple[str, str]
"""Phase and cell."""

SPLITS = ("val", "test", "train", "all")


@dataclass(frozen=True)
class DeclaredMetric:
    """One metric of a task: its label, unit, direction of improvement and split.

    Attributes:
        domain: lowest and highest possible value.
        chance: its value for random guesses, if known.
    """

    name: str
    label: str
    unit: str = ""
    direction: Direction | None = None
    split: str | None = None
    domain: tuple[float, float] | None = None
    chance: float | None = None

    @property
    def stem(self) -> str:
        """The metric's name without its split."""
        return self.name.removeprefix(f"{self.split}_") if self.split else self.name

    @property
    def digits(self) -> int:
        """Number of decimals to show: three if the domain is at most 2 wide, otherwise two."""
        return 3 if self.domain is not None and self.domain[1] - self.domain[0] <= 2 else 2

    def axis(self) -> Axis:
        """Return an axis for the metric."""
        return Axis(self.label, self.unit, domain=self.domain)


UNIT = (0.0, 1.0)
STEMS: Mapping[str, tuple[str, str, Direction, tuple[float, float] | None]] = {
    "accuracy": ("accuracy", "", "maximize", UNIT),
    "accuracy_all": ("accuracy over all", "", "maximize", UNIT),
    "psnr": ("PSNR", "dB", "maximize", None),
    "iou": ("IoU", "", "maximize", UNIT),
    "ssim": ("SSIM", "", "maximize", None),
    "nmi": ("NMI of the weights", "", "maximize", UNIT),
    "ami": ("AMI of the weights", "", "maximize", None),
    "off_grid_ratio_bilinear": ("off-grid / in-grid PSNR", "", "maximize", None),
    "off_grid_ratio_published": ("off-grid / in-grid PSNR as published", "", "maximize", None),
    "off_grid_nmse_ratio": ("off-grid / in-grid error", "", "minimize", None),
    "loss": ("loss", "", "minimize", None),
}
"""Label, unit, direction and domain of metrics by name without the split, for plans that declare no metrics."""

OVER_ALL = "Over all: fields that diverged count as wrong; survivors: they are left out."

SPLIT_LABELS = {"val": "validation", "test": "test", "train": "training", "all": ""}


def in_sentence(label: str) -> str:
    """Return a label for use within a sentence: `Test accuracy` in lower case, but `PSNR` unchanged."""
    word = label.partition(" ")[0]
    return label[:1].lower() + label[1:] if word[1:].islower() else label


def undeclared(name: str) -> DeclaredMetric:
    """Return a metric that no plan declares, with label, unit, direction and split inferred from its name."""
    prefix, _, rest = name.partition("_")
    split, stem = (prefix, rest) if prefix in SPLITS and rest else (None, name)
    label, unit, direction, domain = STEMS.get(stem, (stem.replace("_", " "), "", None, None))
    split_label = SPLIT_LABELS[split] if split else ""
    return DeclaredMetric(name, f"{split_label} {label}".strip(), unit, direction, split, domain)


@dataclass(frozen=True)
class Declared:
    """The declarations of one cell.

    Attributes:
        metrics: metrics of the cell's task by name.
        quality: names of the metrics over all splits that have a direction, the headline metric first.
        space: free parameters as in the plan, by name.
        sections: names of the figures and tables that apply to the cell's task; empty if the plan names none.
        is_grid: whether every point of the space is a trial.
        planned, replicates: number of trials in total and per point.
        task: name of the task.
        signals: name of the signals.
        count: number of signals, None if it is not in the plan.
        steps: step counts listed in the plan; empty if it has a range or none.
    """

    phase: str
    cell: str
    objective: str = "val_accuracy"
    direction: Direction = "maximize"
    metrics: Mapping[str, DeclaredMetric] = field(default_factory=dict)
    quality: tuple[str, ...] = ("all_psnr", "all_iou")
    space: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sections: tuple[str, ...] = ()
    is_grid: bool = False
    planned: int = 0
    replicates: int = 1
    task: str = ""
    signals: str = ""
    count: int | None = None
    steps: tuple[float, ...] = ()

    @property
    def sign(self) -> int:
        """Sign of the objective: 1 if higher scores are better, -1 if lower scores are."""
        return 1 if self.direction == "maximize" else -1

    @property
    def objective_metric(self) -> DeclaredMetric:
        """The metric that the study optimizes."""
        return self.metric(self.objective)

    @property
    def reported(self) -> DeclaredMetric | None:
        """The test metric that corresponds to the objective, or None if the task declares none.

        It is reported, but not used for selection.
        """
        objective = self.objective_metric
        if objective.split == "test":
            return None
        candidates = self.metrics.values() if self.metrics else [undeclared(f"test_{objective.stem}")]
        return next((m for m in candidates if m.split == "test" and m.stem == objective.stem), None)

    @property
    def shown(self) -> DeclaredMetric:
        """The metric for comparing settings: the reported metric, or the objective if there is no such metric."""
        return self.reported or self.objective_metric

    @property
    def over_all(self) -> DeclaredMetric | None:
        """The variant of the shown metric that counts diverged fields as failures (NAME_all), or None if undeclared."""
        return self.metrics.get(f"{self.shown.name}_all")

    def compared(self, trials: TrialColumns) -> DeclaredMetric:
        """Return the metric for comparing settings in tables: `over_all` if these trials have it, otherwise `shown`.

        A setting whose difficult fields diverge would gain by `shown`. Trials of earlier versions lack `over_all`; the
        two are never mixed.
        """
        over_all, shown = self.over_all, trials[self.shown.name]
        if over_all is None:
            return self.shown
        with_shown = [value for value, other in zip(trials[over_all.name], shown, strict=True) if is_number(other)]
        return over_all if with_shown and all(map(is_number, with_shown)) else self.shown

    def headline(self, trials: TrialColumns) -> DeclaredMetric | None:
        """Return the first quality metric that any of the given trials has, or None."""
        name = next((name for name in self.quality if any(map(is_number, trials[name]))), None)
        return None if name is None else self.metric(name)

    def metric(self, name: str) -> DeclaredMetric:
        """Return a metric by name, as declared by the task or inferred from the name."""
        return self.metrics.get(name) or undeclared(name)


@dataclass(frozen=True)
class Declarations:
    """The declarations of a study's cells, in the order of the plan."""

    cells: Mapping[CellKey, Declared]

    def of(self, phase: str | None, cell: str | None) -> Declared:
        """Return the declarations of the first cell that matches, or defaults if none does; None matches any name."""
        return next(self.chosen(phase, cell), Declared(phase or "", cell or ""))

    def chosen(self, phase: str | None, cell: str | None) -> Iterator[Declared]:
        """Yield the declarations of every cell that matches, in plan order; None matches any name."""
        return (d for d in self.cells.values() if phase in (None, d.phase) and cell in (None, d.cell))

    def applies(self, *sections: str) -> bool:
        """Return whether any cell's task names one of the given sections.

        If no cell names any section, all of them apply.
        """
        named = {name for own in self.cells.values() for name in own.sections}
        return not named or bool(named & set(sections))

    def phases(self) -> list[str]:
        """Return the phases in plan order."""
        return list(dict.fromkeys(phase for phase, _ in self.cells))

    def order(self, phase: str, cell: str) -> tuple[int, int, str, str]:
        """Return the sort key of a cell: phases and cells in plan order, then all other cells by name."""
        phases, cells = self.phases(), list(dict.fromkeys(cell for _, cell in self.cells))
        ranks = [known.index(name) if name in known else len(known) for known, name in ((phases, phase), (cells, cell))]
        return ranks[0], ranks[1], phase, cell


def declarations(plan: Mapping[str, Any], records: Mapping[CellKey, CellRecord] | None = None) -> Declarations:
    """Return the declarations of the cells in a study's plan.

    Args:
        records: cells as recorded in the ledger; their objectives and numbers of trials take precedence.
    """
    records = records or {}
    cells = {(cell.phase, cell.cell): cell for cell in map(_declared, _cells(plan))}
    cells |= {at: Declared(*at) for at in records if at not in cells}
    for at, record in records.items():
        cells[at] = replace(cells[at], objective=record.metric, direction=record.direction, planned=record.planned)
    return Declarations(cells)


def check_cell(plan: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """Raise BadConfig if a request names a phase or cell that is not in the study's recorded plan."""
    planned = [(cell["phase"], cell["cell"]) for cell in plan.get("cells", ())]
    if planned and not any(body.get("phase", phase) == phase and body.get("cell") == cell for phase, cell in planned):
        requested = shortened(f"{body.get('phase', '')} {body.get('cell')!r}".strip(), 200)
        raise BadConfig(f"no cell {requested} in this study; use one of {', '.join(map(' '.join, planned))}")


def _cells(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the cells of a plan, whether listed at its top level or in one part per phase."""
    for part in (plan, *plan.values()):
        if isinstance(part, Mapping) and isinstance(part.get("cells"), Sequence):
            yield from (cell for cell in part["cells"] if isinstance(cell, Mapping) and {"phase", "cell"} <= set(cell))


def _declared(cell: Mapping[str, Any]) -> Declared:
    objective = cell.get("objective") or {}
    metrics = [_metric(metric) for metric in cell.get("metrics", ())]
    quality = tuple(m.name for m in metrics if m.split == "all" and m.direction is not None)
    return Declared(
        phase=cell["phase"],
        cell=cell["cell"],
        objective=objective.get("metric", Declared.objective),
        direction=objective.get("direction", Declared.direction),
        metrics={metric.name: metric for metric in metrics},
        quality=quality if metrics else Declared.quality,
        space=cell.get("space") or {},
        sections=tuple(cell.get("sections", ())),
        is_grid=bool(cell.get("covers_space")),
        planned=int(cell.get("planned") or 0),
        replicates=int(cell.get("replicates") or 1),
        task=cell.get("task") or "",
        signals=(cell.get("signals") or {}).get("name", ""),
        count=cell.get("count") if is_number(cell.get("count")) else None,
        steps=_steps(cell),
    )


def _steps(cell: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the step counts of a cell's fits, or an empty tuple if the plan does not list them."""
    listed = (cell.get("space") or {}).get("steps", {}).get("values", ())
    return tuple(filter(is_number, listed or [(cell.get("fixed") or {}).get("steps")]))


def _metric(declaration: Mapping[str, Any]) -> DeclaredMetric:
    name, domain = declaration["name"], declaration.get("domain")
    return DeclaredMetric(
        name=name,
        label=in_sentence(declaration.get("label") or undeclared(name).label),
        unit=declaration.get("unit") or "",
        direction=declaration.get("direction"),
        split=declaration.get("split"),
        domain=_domain(domain),
        chance=declaration.get("chance"),
    )


def _domain(declared: Sequence[float | None] | None) -> tuple[float, float] | None:
    """Return a declared domain for an axis, or None unless it has two finite bounds in ascending order."""
    low, high = declared or (None, None)
    return (float(low), float(high)) if is_number(low) and is_number(high) and low < high else None
