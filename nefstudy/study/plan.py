"""A study plan: its cells, and the code that they may name. Values only; nothing runs here."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from dataclasses import field as defaulted
from math import prod
from typing import Any

from nefstudy.classifiers.catalog import CLASSIFIERS
from nefstudy.config import ClassifierConfig, InitConfig, SignalsConfig, TrialConfig
from nefstudy.errors import BadConfig, BadInput, BadSignals
from nefstudy.fields.catalog import FIELDS
from nefstudy.inits.catalog import INITS
from nefstudy.ledger.record import CellRecord
from nefstudy.names import cell_name, phase_name, study_name
from nefstudy.outside_text import refuse_secrets
from nefstudy.signals.catalog import SIGNALS, load_signals
from nefstudy.signals.signal import Signals
from nefstudy.study.samplers.grid import Grid
from nefstudy.study.samplers.stream import Cell, Sampler
from nefstudy.study.space import Choice, Space, count
from nefstudy.tasks.catalog import TASKS, task_named
from nefstudy.tasks.setting import Catalogs
from nefstudy.tasks.task import CellSetup, Metric, Objective, Point, SignalTraits, Task

SHAPELESS = frozenset({"init", "optimizer", "lr", "weight_decay", "steps", "views", "classifier"})
"""Parameters that the shapes of a fit's tensors do not depend on; nor do they on any real number."""


@dataclass(frozen=True)
class CellPlan:
    """What one cell does in one phase.

    Attributes:
        phase: a free label; phases run in the order in which a plan names them first.
        field: name of the field, where the task fits one.
        space: free parameters.
        fixed: the remaining parameters of every point.
        sampler: which points of the space become trials.
        task: what a trial does, by name.
        objective: what trials are compared by; None takes the task's own.
        label: name of the cell within its phase; `signals/field` unless given.
        replicates: independent seeds of each point that the sampler lists.
        classifier: the classifier of points that name none.
        classifiers, inits: configurations by the words that a point may use for them.
        traits: of the signals; `StudyPlan.pinned` fills them in.
    """

    phase: str
    signals: SignalsConfig
    field: str
    space: Space
    fixed: Point = defaulted(default_factory=dict)
    sampler: Sampler = defaulted(default_factory=Grid)
    task: str = "classification"
    objective: Objective | None = None
    label: str = ""
    replicates: int = 1
    classifier: ClassifierConfig = defaulted(default_factory=ClassifierConfig)
    classifiers: Mapping[str, ClassifierConfig] = defaulted(default_factory=dict)
    inits: Mapping[str, InitConfig] = defaulted(default_factory=dict)
    traits: SignalTraits | None = None

    def __post_init__(self) -> None:
        phase_name(self.phase)
        cell_name(self.cell)
        for name, value in self.signals.options.items():
            if isinstance(value, str):
                refuse_secrets(value, what=f"{self.cell}: signals option {name}")
        if self.replicates < 1:
            raise BadConfig(f"{self.cell}: {self.replicates} replicates: give 1 or more")
        try:
            _ = self.planned
        except BadConfig as error:
            raise BadConfig(f"{self.cell}: {error}") from None

    @property
    def cell(self) -> str:
        """The label, `signals/field` unless given."""
        return self.label or f"{self.signals.name}/{self.field}"

    @property
    def planned(self) -> int:
        """Number of trials that this cell asks for in this phase."""
        return self.sampler.planned(self.space, replicates=self.replicates)

    @property
    def fits_a_shape(self) -> int:
        """About how many fits compute with tensors of one shape, so that what is compiled for one serves all."""
        steps = self.space.get("steps")
        rungs = len(steps.values) if isinstance(self.sampler, Grid) and isinstance(steps, Choice) else 1
        shapes = prod(count(values) for name, values in self.space.items() if name not in SHAPELESS)
        return max(1, self.planned // rungs // shapes)


@dataclass(frozen=True)
class StudyPlan:
    """A study: its name, its cells in the order they are worked, and the code that they may name.

    A user's own field, classifier, signal source, initialization or task is passed here, no fork needed:
    `StudyPlan(..., fields=FIELDS | {"mine": Mine})`.
    """

    study: str
    cells: tuple[CellPlan, ...]
    seed: int = 0
    fields: Mapping[str, Any] = defaulted(default_factory=lambda: FIELDS)
    classifiers: Mapping[str, Any] = defaulted(default_factory=lambda: CLASSIFIERS)
    signals: Mapping[str, Any] = defaulted(default_factory=lambda: SIGNALS)
    inits: Mapping[str, Any] = defaulted(default_factory=lambda: INITS)
    tasks: Mapping[str, Task] = defaulted(default_factory=lambda: TASKS)

    def __post_init__(self) -> None:
        study_name(self.study)
        names = [(cell.phase, cell.cell) for cell in self.cells]
        if not names:
            raise BadConfig(f"study {self.study!r} has no cells; give it one or more")
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise BadConfig(
                f"study {self.study!r} has two cells labelled {twice[1]!r} in {twice[0]!r}; give one another label"
            )
        for index, cell in enumerate(self.cells):
            task_named(cell.task, self.tasks)
            after = cell.sampler.after
            if after is not None and (after, cell.cell) not in names[:index]:
                raise BadConfig(
                    f"{cell.cell}: its sampler waits for phase {after!r}, in which no earlier cell of the plan has "
                    "this label; put that cell before it"
                )

    @property
    def phases(self) -> tuple[str, ...]:
        """Phases in the order in which cells name them first."""
        return tuple(dict.fromkeys(cell.phase for cell in self.cells))

    @property
    def catalogs(self) -> Catalogs:
        """The code that configurations may name."""
        return Catalogs(self.fields, self.classifiers, self.signals, self.inits)

    def task(self, cell: CellPlan) -> Task:
        """Return what the trials of a cell do."""
        return task_named(cell.task, self.tasks)

    def traits(self, cell: CellPlan) -> SignalTraits:
        """Return the traits of a cell's signals, which are loaded for it unless the plan is pinned."""
        return cell.traits or _traits(load_signals(cell.signals, sources=self.signals))

    def metrics(self, cell: CellPlan) -> tuple[Metric, ...]:
        """Return the metrics that the trials of a cell report."""
        return self.task(cell).metrics(self.traits(cell))

    def objective(self, cell: CellPlan) -> Objective:
        """Return what the trials of a cell are compared by.

        Raises:
            BadConfig: the task does not report the metric, or the metric has no direction.
        """
        objective = cell.objective or self.task(cell).objective(self.traits(cell))
        declared = {metric.name: metric for metric in self.metrics(cell)}
        allowed = ", ".join(name for name, metric in declared.items() if metric.direction)
        where = f"{cell.cell}: objective {objective.metric!r}"
        if objective.metric not in declared:
            raise BadConfig(f"{where}: the task {cell.task} does not report it; allowed: {allowed}; correct the plan")
        if declared[objective.metric].direction is None:
            raise BadConfig(f"{where} has no better or worse values; allowed: {allowed}; correct the plan")
        return objective

    def sampled(self, cell: CellPlan) -> Cell:
        """Return a cell as its sampler sees it."""
        task = self.task(cell)
        setup = CellSetup(
            label=cell.cell,
            signals=cell.signals,
            field=cell.field,
            classifier=cell.classifier,
            classifiers=cell.classifiers,
            inits=cell.inits,
            catalogs=self.catalogs,
            seed=self.seed,
        )
        return Cell(
            phase=cell.phase,
            label=cell.cell,
            space=cell.space,
            fixed=cell.fixed,
            replicates=cell.replicates,
            seed=self.seed,
            task=task,
            codec=task.codec(setup),
            find_objective=lambda: self.objective(cell),
        )

    def cell(self, phase: str, label: str) -> CellPlan | None:
        """Return a cell by its phase and label; None for one that the plan does not have."""
        return next((cell for cell in self.cells if (cell.phase, cell.cell) == (phase, label)), None)

    def planned(self) -> dict[tuple[str, str], int]:
        """Return the number of trials asked for, by (phase, cell)."""
        return {(cell.phase, cell.cell): cell.planned for cell in self.cells}

    def records(self) -> dict[tuple[str, str], CellRecord]:
        """Return what the ledger keeps of each (phase, cell)."""
        return {(cell.phase, cell.cell): self._record(cell) for cell in self.cells}

    def _record(self, cell: CellPlan) -> CellRecord:
        objective = self.objective(cell)
        return CellRecord(cell.planned, task=cell.task, metric=objective.metric, direction=objective.direction)

    def fits_a_shape(self, phase: str, label: str) -> int:
        """Return `CellPlan.fits_a_shape` of a cell; 1 for one that the plan does not have."""
        cell = self.cell(phase, label)
        return 1 if cell is None else cell.fits_a_shape

    def pinned(self) -> "StudyPlan":
        """Return the plan with every data set's content hash and traits filled in: loads and checks the data.

        Raises:
            BadSignals: data sets that are missing or do not read, all of them.
            BadConfig: a data set that does not exist, an option of one, or an objective that a task does not report.
        """
        asked = {cell.signals.canonical_json(): cell.signals for cell in self.cells}
        found: dict[str, tuple[SignalsConfig, SignalTraits]] = {}
        problems: list[BadInput] = []
        for text, signals in asked.items():
            try:
                loaded = load_signals(signals, sources=self.signals)
            except BadInput as problem:
                problems.append(problem)
            else:
                pinned = signals.model_copy(update={"content": loaded.card.content_hash})
                found[text] = pinned, _traits(loaded)
        if len(problems) == 1:
            raise problems[0]
        if problems:
            raise BadSignals(" | ".join(map(str, problems)))
        known = [found[cell.signals.canonical_json()] for cell in self.cells]
        cells = (replace(cell, signals=s, traits=traits) for cell, (s, traits) in zip(self.cells, known, strict=True))
        plan = replace(self, cells=tuple(cells))
        for cell in plan.cells:
            plan.objective(cell)
        return plan

    def describe(self) -> dict[str, Any]:
        """Return the pinned plan as plain data, for the ledger and those who read it."""
        return {"study": self.study, "seed": self.seed, "cells": [self._describe(cell) for cell in self.cells]}

    def _describe(self, cell: CellPlan) -> dict[str, Any]:
        traits = self.traits(cell)
        described: dict[str, Any] = {
            "phase": cell.phase,
            "cell": cell.cell,
            "task": cell.task,
            "objective": asdict(self.objective(cell)),
            "metrics": [asdict(metric) for metric in self.metrics(cell)],
            "sections": list(self.task(cell).sections),
            "kind": {name: getattr(traits.kind, name) for name in ("name", "label", "nouns")},
            "split": traits.split,
            "signals": cell.signals.model_dump(mode="json"),
            "field": cell.field,
            "space": {name: {"kind": type(d).__name__, **vars(d)} for name, d in cell.space.items()},
            "fixed": dict(cell.fixed),
            "sampler": cell.sampler.describe(),
            "planned": cell.planned,
            "replicates": cell.replicates,
            "classifier": cell.classifier.model_dump(mode="json"),
        }
        for name, configs in (("classifiers", cell.classifiers), ("inits", cell.inits)):
            if configs:
                described[name] = {word: config.model_dump(mode="json") for word, config in configs.items()}
        return described


def _traits(signals: Signals) -> SignalTraits:
    return SignalTraits(signals.kind, split=signals.split is not None)


def trial_config(plan: StudyPlan, cell: CellPlan, point: Point, *, replicate: int = 0) -> TrialConfig:
    """Return the frozen configuration of one whole point of a cell.

    Raises:
        BadConfig: a parameter that is unknown or missing, or a value out of range.
    """
    return plan.sampled(cell).codec.configure(point, replicate=replicate)


def listed_trials(plan: StudyPlan, cell: CellPlan) -> Iterator[TrialConfig] | None:
    """Yield every trial of a cell where they are known before any ends; None where they depend on results."""
    return cell.sampler.listed(plan.sampled(cell))
