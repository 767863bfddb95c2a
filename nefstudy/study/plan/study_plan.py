"""A study plan: its cells and the code that the cells can refer to. It only holds values and runs nothing."""

import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from dataclasses import field as defaulted
from math import prod
from typing import Any

from nefstudy.classifiers.catalog import CLASSIFIERS
from nefstudy.config import ClassifierConfig, InitConfig, SignalsConfig, TrialConfig
from nefstudy.contract import check_contract
from nefstudy.errors import BadConfig, BadInput, BadSignals
from nefstudy.fields.catalog import FIELDS
from nefstudy.inits.catalog import INITS
from nefstudy.ledger.record import CellRecord
from nefstudy.names import cell_name, phase_name, study_name
from nefstudy.outside_text import refuse_secrets
from nefstudy.signals.catalog import SIGNALS, load_signals
from nefstudy.signals.signal import Signals
from nefstudy.study.plan.cell_check import check_description, check_objective, check_values, checked_metrics
from nefstudy.study.samplers.grid import Grid
from nefstudy.study.samplers.stream import Cell, Sampler
from nefstudy.study.space import Categorical, Space, count
from nefstudy.tasks.catalog import TASKS, check_task, task_named
from nefstudy.tasks.setting import Catalogs
from nefstudy.tasks.task import CellSetup, Metric, Objective, Point, SignalTraits, Task

SHAPELESS = frozenset({"init", "optimizer", "lr", "weight_decay", "steps", "views", "classifier"})
"""Parameters that, like all real-valued parameters, do not change the shapes of a fit's tensors."""


@dataclass(frozen=True)
class CellPlan:
    """The plan of one cell in one phase.

    Attributes:
        phase: a free label; phases run in the order of their first appearance in the plan.
        field: name of the field, if the task fits one.
        space: free parameters.
        fixed: the remaining parameters of every point.
        sampler: chooses which points of the space become trials.
        task: name of what a trial does.
        objective: metric by which trials are compared; None means the task's default.
        label: name of the cell within its phase; by default `signals/field`.
        replicates: number of independent seeds of each point that the sampler lists.
        classifier: classifier of points that do not name one.
        classifiers, inits: configurations by the words that points may use for them.
        traits: traits of the signals; `StudyPlan.pinned` fills them in.
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
        check_values(vars(self))
        phase_name(self.phase)
        cell_name(self.cell)
        for name, value in self.signals.options.items():
            if isinstance(value, str):
                refuse_secrets(value, what=f"{self.cell}: signals option {name}")
        if self.replicates < 1:
            raise BadConfig(f"{self.cell}: {self.replicates} replicates: set 1 or more")
        check_contract(self.sampler, Sampler, what=f"{self.cell}: sampler")
        try:
            _ = self.planned
        except BadConfig as error:
            raise BadConfig(f"{self.cell}: {error}") from None
        check_description(self.sampler, where=self.cell)

    @property
    def cell(self) -> str:
        """Label of the cell; by default `signals/field`."""
        return self.label or f"{self.signals.name}/{self.field}"

    @property
    def planned(self) -> int:
        """Number of trials that the cell plans in this phase."""
        return self.sampler.planned(self.space, replicates=self.replicates)

    @property
    def fits_per_shape(self) -> int:
        """Approximate number of fits that have the same tensor shapes and therefore share a compiled program."""
        steps = self.space.get("steps")
        rungs = len(steps.values) if self.sampler.covers_space and isinstance(steps, Categorical) else 1
        shapes = prod(count(values) for name, values in self.space.items() if name not in SHAPELESS)
        return max(1, self.planned // rungs // shapes)


@dataclass(frozen=True)
class StudyPlan:
    """A study: its name, its cells in the order in which they run, and the code that they can refer to.

    A custom field, classifier, signal source, initialization or task is passed here:
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
        if not isinstance(self.cells, tuple | list) or not all(isinstance(cell, CellPlan) for cell in self.cells):
            raise BadConfig(
                f"study {self.study!r}: cells = {reprlib.repr(self.cells)}: allowed is a tuple of CellPlans"
            )
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise BadConfig(f"study {self.study!r}: seed = {self.seed!r}: allowed is a whole number; correct the plan")
        names = [(cell.phase, cell.cell) for cell in self.cells]
        if not names:
            raise BadConfig(f"study {self.study!r} has no cells; add one or more")
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise BadConfig(
                f"study {self.study!r} has two cells with label {twice[1]!r} in phase {twice[0]!r}; change one label"
            )
        for index, cell in enumerate(self.cells):
            check_task(cell.task, self.task(cell))
            after = cell.sampler.after
            if after is not None and (after, cell.cell) not in names[:index]:
                raise BadConfig(
                    f"{cell.cell}: its sampler waits for phase {after!r}, in which no earlier cell of the plan has "
                    "this label; list that cell before this one"
                )

    @property
    def phases(self) -> tuple[str, ...]:
        """Phases in the order of their first appearance."""
        return tuple(dict.fromkeys(cell.phase for cell in self.cells))

    @property
    def catalogs(self) -> Catalogs:
        """The code that configurations can refer to by name."""
        return Catalogs(self.fields, self.classifiers, self.signals, self.inits)

    def task(self, cell: CellPlan) -> Task:
        """Return the task of a cell's trials."""
        return task_named(cell.task, self.tasks)

    def traits(self, cell: CellPlan) -> SignalTraits:
        """Return the traits of a cell's signals; this loads the signals unless the plan is pinned."""
        return cell.traits or _traits(load_signals(cell.signals, sources=self.signals))

    def metrics(self, cell: CellPlan) -> tuple[Metric, ...]:
        """Return the metrics that the trials of a cell report."""
        return checked_metrics(self.task(cell).metrics(self.traits(cell)), where=cell.cell, task=cell.task)

    def objective(self, cell: CellPlan) -> Objective:
        """Return the objective by which a cell's trials are compared.

        Raises:
            BadConfig: the task does not report the metric, or the metric has no direction or the opposite one.
        """
        objective = cell.objective or self.task(cell).objective(self.traits(cell))
        check_objective(objective, self.metrics(cell), where=cell.cell, task=cell.task)
        return objective

    def curve_sign(self, cell: CellPlan) -> int:
        """Return 1 if larger values of the task's curve are better in this cell, otherwise -1."""
        directions = {metric.name: metric.direction for metric in self.metrics(cell)}
        return -1 if directions.get(self.task(cell).curve or "") == "minimize" else 1

    def sampled(self, cell: CellPlan) -> Cell:
        """Return a cell in the form that its sampler receives."""
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
            find_curve_sign=lambda: self.curve_sign(cell),
        )

    def cell(self, phase: str, label: str) -> CellPlan | None:
        """Return a cell by its phase and label; None if the plan does not contain it."""
        return next((cell for cell in self.cells if (cell.phase, cell.cell) == (phase, label)), None)

    def planned(self) -> dict[tuple[str, str], int]:
        """Return the number of planned trials by (phase, cell)."""
        return {(cell.phase, cell.cell): cell.planned for cell in self.cells}

    def records(self) -> dict[tuple[str, str], CellRecord]:
        """Return the ledger's record of each (phase, cell)."""
        return {(cell.phase, cell.cell): self._record(cell) for cell in self.cells}

    def _record(self, cell: CellPlan) -> CellRecord:
        objective = self.objective(cell)
        return CellRecord(cell.planned, task=cell.task, metric=objective.metric, direction=objective.direction)

    def fits_per_shape(self, phase: str, label: str) -> int:
        """Return a cell's `CellPlan.fits_per_shape`; 1 if the plan does not contain the cell."""
        cell = self.cell(phase, label)
        return 1 if cell is None else cell.fits_per_shape

    def pinned(self) -> "StudyPlan":
        """Return the plan with each data set's content hash and traits filled in; this loads and checks the data.

        Raises:
            BadSignals: data sets are missing or cannot be read; the message names all of them.
            BadConfig: a data set or one of its options does not exist, or a task does not report an objective.
        """
        configs = {cell.signals.canonical_json(): cell.signals for cell in self.cells}
        by_config: dict[str, tuple[SignalsConfig, SignalTraits]] = {}
        problems: list[BadInput] = []
        for text, signals in configs.items():
            try:
                loaded = load_signals(signals, sources=self.signals)
            except BadInput as problem:
                problems.append(problem)
            else:
                pinned = signals.model_copy(update={"content": loaded.card.content_hash})
                by_config[text] = pinned, _traits(loaded)
        if len(problems) == 1:
            raise problems[0]
        if problems:
            raise BadSignals(" | ".join(map(str, problems)))
        pairs = [by_config[cell.signals.canonical_json()] for cell in self.cells]
        cells = (replace(cell, signals=s, traits=traits) for cell, (s, traits) in zip(self.cells, pairs, strict=True))
        plan = replace(self, cells=tuple(cells))
        for cell in plan.cells:
            plan.objective(cell)
        return plan

    def describe(self) -> dict[str, Any]:
        """Return the pinned plan as plain data, which the ledger stores."""
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
            "test": traits.test,
            "count": traits.count,
            "classes": traits.classes,
            "signals": cell.signals.model_dump(mode="json"),
            "field": cell.field,
            "space": {name: {"kind": type(d).__name__, **vars(d)} for name, d in cell.space.items()},
            "fixed": dict(cell.fixed),
            "sampler": cell.sampler.describe(),
            "covers_space": cell.sampler.covers_space,
            "planned": cell.planned,
            "replicates": cell.replicates,
            "classifier": cell.classifier.model_dump(mode="json"),
        }
        for name, configs in (("classifiers", cell.classifiers), ("inits", cell.inits)):
            if configs:
                described[name] = {word: config.model_dump(mode="json") for word, config in configs.items()}
        return described


def _traits(signals: Signals) -> SignalTraits:
    classes = len(signals.card.class_names)
    split, test = signals.split is not None, signals.split is None or signals.has_test
    return SignalTraits(signals.kind, split=split, test=test, count=len(signals), classes=classes)


def listed_trials(plan: StudyPlan, cell: CellPlan) -> Iterator[TrialConfig] | None:
    """Return an iterator over all trials of a cell; None if the cell's sampler needs results to choose trials."""
    return cell.sampler.listed(plan.sampled(cell))
