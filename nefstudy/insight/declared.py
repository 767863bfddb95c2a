"""What a study's plan declares of each cell: objective, metrics, quality and free parameters, as plain data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nefstudy.insight.figure import Axis
from nefstudy.insight.trials import Trials, is_number
from nefstudy.ledger.record import CellRecord, Direction

CellKey = tuple[str, str]
"""Phase and cell."""

SPLITS = ("val", "test", "train", "all")


@dataclass(frozen=True)
class Metric:
    """One metric of a task: what it is called, its unit, which direction is better, on which split it was taken.

    Attributes:
        domain: lowest and highest value that it can take.
        chance: its value for a guess, where that is known.
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
        """The name without its split."""
        return self.name.removeprefix(f"{self.split}_") if self.split else self.name

    @property
    def digits(self) -> int:
        """Decimals that are shown: three for a metric on a unit interval, two for others."""
        return 3 if self.domain is not None and self.domain[1] - self.domain[0] <= 2 else 2

    def axis(self) -> Axis:
        """Return the axis on which the metric is drawn."""
        return Axis(self.label, self.unit, domain=self.domain)


UNIT = (0.0, 1.0)
STEMS: Mapping[str, tuple[str, str, Direction, tuple[float, float] | None]] = {
    "accuracy": ("accuracy", "", "maximize", UNIT),
    "psnr": ("PSNR", "dB", "maximize", None),
    "iou": ("IoU", "", "maximize", UNIT),
    "ssim": ("SSIM", "", "maximize", None),
    "nmi": ("NMI of the weights", "", "maximize", UNIT),
    "off_grid_ratio": ("off-grid / in-grid PSNR", "", "maximize", None),
    "loss": ("loss", "", "minimize", None),
}
"""Metrics by name without the split, for plans that declare none."""

WORDS = {"val": "validation", "test": "test", "train": "training", "all": ""}


def in_sentence(label: str) -> str:
    """Return a label as it is written within a sentence: `Test accuracy` in lower case, `PSNR` and `IoU` unchanged."""
    word = label.partition(" ")[0]
    return label[:1].lower() + label[1:] if word[1:].islower() else label


def undeclared(name: str) -> Metric:
    """Return a metric that no plan declares, from its name alone."""
    prefix, _, rest = name.partition("_")
    split, stem = (prefix, rest) if prefix in SPLITS and rest else (None, name)
    label, unit, direction, domain = STEMS.get(stem, (stem.replace("_", " "), "", None, None))
    words = WORDS[split] if split else ""
    return Metric(name, f"{words} {label}".strip(), unit, direction, split, domain)


@dataclass(frozen=True)
class Declared:
    """One cell's declarations.

    Attributes:
        metrics: by name, those that the cell's task declares.
        quality: names of the metrics over all splits that have a direction, the headline first.
        space: the free parameters as the plan wrote them, by name.
        sections: names of figures and tables that apply to the cell's task; empty where the plan names none.
        is_grid: every point of the space is a trial.
        planned, replicates: numbers of trials, and of trials for each point.
    """

    phase: str
    cell: str
    objective: str = "val_accuracy"
    direction: Direction = "maximize"
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    quality: tuple[str, ...] = ("all_psnr", "all_iou")
    space: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sections: tuple[str, ...] = ()
    is_grid: bool = False
    planned: int = 0
    replicates: int = 1

    @property
    def sign(self) -> int:
        """1 where a higher score is better, -1 where a lower one is."""
        return 1 if self.direction == "maximize" else -1

    @property
    def objective_metric(self) -> Metric:
        """The metric that picks."""
        return self.metric(self.objective)

    @property
    def reported(self) -> Metric | None:
        """The test counterpart of the objective, which is only reported; None where the task declares none."""
        objective = self.objective_metric
        if objective.split == "test":
            return None
        candidates = self.metrics.values() if self.metrics else [undeclared(f"test_{objective.stem}")]
        return next((m for m in candidates if m.split == "test" and m.stem == objective.stem), None)

    @property
    def shown(self) -> Metric:
        """The metric by which settings are compared: the reported one, else the objective."""
        return self.reported or self.objective_metric

    def headline(self, trials: Trials) -> Metric | None:
        """Return the first declared reconstruction metric that these trials have, None where they have none."""
        found = next((name for name in self.quality if any(map(is_number, trials[name]))), None)
        return None if found is None else self.metric(found)

    def metric(self, name: str) -> Metric:
        """Return a metric by name, from its name alone where the task does not declare it."""
        return self.metrics.get(name) or undeclared(name)


@dataclass(frozen=True)
class Declarations:
    """The declarations of a study's cells, in the order of the plan."""

    cells: Mapping[CellKey, Declared]

    def of(self, phase: str | None, cell: str | None) -> Declared:
        """Return a cell's declarations; those of the first that fits where phase or cell is None; else defaults."""
        chosen = (d for d in self.cells.values() if phase in (None, d.phase) and cell in (None, d.cell))
        return next(chosen, Declared(phase or "", cell or ""))

    def applies(self, *sections: str) -> bool:
        """Return whether a cell's task names one of these sections; all apply where no plan names any."""
        named = {name for own in self.cells.values() for name in own.sections}
        return not named or bool(named & set(sections))

    def phases(self) -> list[str]:
        """Return the phases in the order of the plan."""
        return list(dict.fromkeys(phase for phase, _ in self.cells))

    def order(self, phase: str, cell: str) -> tuple[int, int, str, str]:
        """Return the sorting key of a cell: phases and cells in the order of the plan, others after them by name."""
        phases, cells = self.phases(), list(dict.fromkeys(cell for _, cell in self.cells))
        place = [known.index(name) if name in known else len(known) for known, name in ((phases, phase), (cells, cell))]
        return place[0], place[1], phase, cell


def declarations(plan: Mapping[str, Any], records: Mapping[CellKey, CellRecord] | None = None) -> Declarations:
    """Return what a study's plan declares of its cells.

    Args:
        records: the cells as the ledger scores them, whose objectives and numbers of trials count.
    """
    records = records or {}
    found = {(cell.phase, cell.cell): cell for cell in map(_declared, _cells(plan))}
    found |= {at: Declared(*at) for at in records if at not in found}
    for at, record in records.items():
        found[at] = replace(found[at], objective=record.metric, direction=record.direction, planned=record.planned)
    return Declarations(found)


def _cells(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the cells of a plan; one that each phase wrote for itself holds them by phase."""
    for part in (plan, *plan.values()):
        if isinstance(part, Mapping) and isinstance(part.get("cells"), Sequence):
            yield from (cell for cell in part["cells"] if isinstance(cell, Mapping) and {"phase", "cell"} <= set(cell))


def _declared(cell: Mapping[str, Any]) -> Declared:
    objective = cell.get("objective") or {}
    metrics = [_metric(told) for told in cell.get("metrics", ())]
    quality = tuple(m.name for m in metrics if m.split == "all" and m.direction is not None)
    sampler = (cell.get("sampler") or {}).get("name") or ("grid" if cell.get("trials", 0) is None else "")
    return Declared(
        phase=cell["phase"],
        cell=cell["cell"],
        objective=objective.get("metric", Declared.objective),
        direction=objective.get("direction", Declared.direction),
        metrics={metric.name: metric for metric in metrics},
        quality=quality if metrics else Declared.quality,
        space=cell.get("space") or {},
        sections=tuple(cell.get("sections", ())),
        is_grid=sampler.lower() == "grid",
        planned=int(cell.get("planned") or 0),
        replicates=int(cell.get("replicates") or 1),
    )


def _metric(told: Mapping[str, Any]) -> Metric:
    domain = told.get("domain")
    return Metric(
        name=told["name"],
        label=in_sentence(told.get("label") or undeclared(told["name"]).label),
        unit=told.get("unit") or "",
        direction=told.get("direction"),
        split=told.get("split"),
        domain=(float(domain[0]), float(domain[1])) if domain and None not in domain else None,
        chance=told.get("chance"),
    )
