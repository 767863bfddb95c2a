"""A study plan: which cells, which points, how many trials. Values only; nothing runs here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as defaulted
from math import prod
from typing import Any, Literal, final, get_args

from nefstudy.classifiers.catalog import CLASSIFIERS
from nefstudy.classifiers.catalog import complete as complete_classifier
from nefstudy.config import (
    ClassifierConfig,
    FieldConfig,
    NeuralDatasetConfig,
    OptimizerConfig,
    SignalsConfig,
    TrialConfig,
    parse,
)
from nefstudy.errors import BadConfig, BadInput, BadSignals
from nefstudy.fields.catalog import FIELDS
from nefstudy.fields.catalog import complete as complete_field
from nefstudy.names import cell_name, phase_name, study_name
from nefstudy.outside_text import refuse_secrets
from nefstudy.seeds import integer
from nefstudy.signals.catalog import SIGNALS, pin
from nefstudy.study.space import Choice, Point, Space, count, grid_points, grid_size, space_size
from nefstudy.trial.experiment import Work, run_trial

Phase = Literal["phase1", "phase2"]
PHASES: tuple[Phase, ...] = get_args(Phase)

MAX_GRID = 1_000_000
SHAPELESS = frozenset({"init", "lr", "weight_decay", "steps", "views", "classifier"})
"""Parameters that the shapes of a fit's tensors do not depend on; nor do they on any real number."""


@dataclass(frozen=True)
class CellPlan:
    """What one cell (signals x field) does in one phase.

    Attributes:
        space: free parameters; searched by TPE when `trials` is given, else a full grid.
        fixed: the remaining parameters of every point.
        trials: budget of the search; None means every point of the grid.
        replicates: independent seeds of each grid point.
        classifiers: those a point may take by name, as its `classifier`, in place of the cell's own.
    """

    phase: Phase
    signals: SignalsConfig
    field: str
    space: Space
    fixed: Point = defaulted(default_factory=dict)
    trials: int | None = None
    classifier: ClassifierConfig = defaulted(default_factory=ClassifierConfig)
    replicates: int = 1
    classifiers: Mapping[str, ClassifierConfig] = defaulted(default_factory=dict)

    def __post_init__(self) -> None:
        phase_name(self.phase)
        cell_name(self.cell)
        for name, value in self.signals.options.items():
            if isinstance(value, str):
                refuse_secrets(value, what=f"{self.cell}: signals option {name}")
        if self.replicates < 1 or (self.trials is not None and self.trials < 1):
            raise BadConfig(
                f"{self.cell}: {self.trials} trials, {self.replicates} replicates: each must be at least 1; correct it"
            )
        if self.trials is None and grid_size(self.space) * self.replicates > MAX_GRID:
            raise BadConfig(
                f"{self.cell}: a grid of {grid_size(self.space) * self.replicates:,} trials; "
                f"at most {MAX_GRID:,} are allowed, so list fewer values or search with trials=N"
            )

    @property
    def cell(self) -> str:
        """`signals/field`."""
        return f"{self.signals.name}/{self.field}"

    @property
    def planned(self) -> int:
        """Number of trials this cell asks for in this phase: of a search, no more than its space holds points."""
        if self.trials is None:
            return grid_size(self.space) * self.replicates
        size = space_size(self.space)
        return self.trials if size is None else min(self.trials, size)

    @property
    def fits_a_shape(self) -> int:
        """About how many fits compute with tensors of one shape, so that what is compiled for one serves all."""
        steps = self.space.get("steps")
        rungs = len(steps.values) if self.trials is None and isinstance(steps, Choice) else 1
        shapes = prod(count(values) for name, values in self.space.items() if name not in SHAPELESS)
        return max(1, self.planned // rungs // shapes)


@dataclass(frozen=True)
class StudyPlan:
    """A study: its name, its cells in the order they are worked, and the choices it may draw on.

    A user's own field, classifier or signal source is passed here, no fork needed:
    `StudyPlan(..., fields=FIELDS | {"mine": Mine})`.

    Attributes:
        work: what a trial does with its configuration.
    """

    study: str
    cells: tuple[CellPlan, ...]
    seed: int = 0
    fields: Mapping[str, Any] = defaulted(default_factory=lambda: FIELDS)
    classifiers: Mapping[str, Any] = defaulted(default_factory=lambda: CLASSIFIERS)
    signals: Mapping[str, Any] = defaulted(default_factory=lambda: SIGNALS)
    work: Work = run_trial

    def __post_init__(self) -> None:
        study_name(self.study)
        names = [(cell.phase, cell.cell) for cell in self.cells]
        if not names or len(set(names)) != len(names):
            raise BadConfig(f"study {self.study!r} has no cells or repeats one: {names}; give each cell once a phase")

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Phases with at least one cell, in order."""
        present = {cell.phase for cell in self.cells}
        return tuple(phase for phase in PHASES if phase in present)

    def planned(self) -> dict[tuple[str, str], int]:
        """Trials asked for, by (phase, cell)."""
        return {(cell.phase, cell.cell): cell.planned for cell in self.cells}

    def fits_a_shape(self, phase: str, cell: str) -> int:
        """Of a cell of the plan, see `CellPlan`; 1 for a trial that is of none."""
        return next((own.fits_a_shape for own in self.cells if (own.phase, own.cell) == (phase, cell)), 1)

    def pinned(self) -> "StudyPlan":
        """The same plan with every data set's content hash filled in: loads and checks the data.

        Raises:
            BadSignals: data sets that are missing or do not read, all of them.
            BadConfig: a data set that does not exist, or an option of one.
        """
        asked = {cell.signals.canonical_json(): cell.signals for cell in self.cells}
        contents: dict[str, SignalsConfig] = {}
        problems: list[BadInput] = []
        for text, signals in asked.items():
            try:
                contents[text] = pin(signals, sources=self.signals)
            except BadInput as problem:
                problems.append(problem)
        if len(problems) == 1:
            raise problems[0]
        if problems:
            raise BadSignals(" | ".join(map(str, problems)))
        cells = (CellPlan(**{**vars(cell), "signals": contents[cell.signals.canonical_json()]}) for cell in self.cells)
        return StudyPlan(**{**vars(self), "cells": tuple(cells)})

    def describe(self) -> dict[str, Any]:
        """The plan as plain data, for the ledger and for people."""
        return {"study": self.study, "seed": self.seed, "cells": [_describe(cell) for cell in self.cells]}


def _describe(cell: CellPlan) -> dict[str, Any]:
    return {
        "phase": cell.phase,
        "cell": cell.cell,
        "signals": cell.signals.model_dump(mode="json"),
        "space": {name: {"kind": type(d).__name__, **vars(d)} for name, d in cell.space.items()},
        "fixed": dict(cell.fixed),
        "trials": cell.trials,
        "planned": cell.planned,
        "replicates": cell.replicates,
        "classifier": cell.classifier.model_dump(mode="json"),
    } | (
        {"classifiers": {k: v.model_dump(mode="json") for k, v in cell.classifiers.items()}} if cell.classifiers else {}
    )


def trial_config(plan: StudyPlan, cell: CellPlan, point: Point, *, replicate: int = 0) -> TrialConfig:
    """The frozen configuration of one point: every default written out, so that its digest is final.

    Raises:
        BadConfig: a parameter the field or the study does not know, or a value out of range.
    """
    return _Trials(plan, cell).at(point, replicate=replicate)


@final
class _Trials:
    """Makes the trials of one cell; those that read the same neural dataset share its configuration."""

    def __init__(self, plan: StudyPlan, cell: CellPlan) -> None:
        self._plan, self._cell = plan, cell
        self._datasets: dict[tuple[object, ...], NeuralDatasetConfig] = {}
        self._classifiers: dict[object, ClassifierConfig] = {}

    def at(self, point: Point, *, replicate: int) -> TrialConfig:
        """The trial of one point."""
        rest, where = dict(point), self._cell.cell
        missing = [name for name in ("init", "steps") if name not in rest]
        if missing:
            raise BadConfig(f"{where}: the point {point} lacks {missing}; put them into `space` or `fixed`")
        steps, reader = rest.pop("steps"), rest.pop("classifier", None)
        seed = self._plan.seed + replicate
        known = (seed, *sorted(rest.items()))
        if known not in self._datasets:
            self._datasets[known] = self._dataset(rest, seed)
        if reader not in self._classifiers:
            chosen = _classifier(self._cell, reader)
            self._classifiers[reader] = complete_classifier(chosen, classifiers=self._plan.classifiers)
        trial = {"dataset": self._datasets[known], "steps": steps, "classifier": self._classifiers[reader]}
        return parse(TrialConfig, {**trial, "seed": integer(seed, "classifier") % 2**31}, where=where)

    def _dataset(self, rest: Point, seed: int) -> NeuralDatasetConfig:
        where, start = self._cell.cell, rest.pop("init")
        optimizer: Point = {name: rest.pop(name) for name in ("lr", "weight_decay") if name in rest}
        recipe: Point = {name: rest.pop(name) for name in ("views", "batch_points") if name in rest}
        field = parse(FieldConfig, {"name": self._cell.field, "params": rest}, where=where)
        data = {
            **recipe,
            "signals": self._cell.signals,
            "field": complete_field(field, fields=self._plan.fields),
            "init": start,
            "optimizer": parse(OptimizerConfig, optimizer, where=where),
            "seed": seed,
        }
        return parse(NeuralDatasetConfig, data, where=where)


def _classifier(cell: CellPlan, name: object) -> ClassifierConfig:
    if name is None:
        return cell.classifier
    if name not in cell.classifiers:
        allowed = ", ".join(cell.classifiers) or "none"
        raise BadConfig(f"{cell.cell}: no classifier {name!r} in this cell; allowed: {allowed}; list it in the plan")
    return cell.classifiers[str(name)]


def grid_trials(plan: StudyPlan, cell: CellPlan) -> Iterator[TrialConfig]:
    """Every trial of a grid cell, longest rung of each ladder first."""
    trials = _Trials(plan, cell)
    for point in grid_points(cell.space, cell.fixed):
        for replicate in range(cell.replicates):
            yield trials.at(point, replicate=replicate)
