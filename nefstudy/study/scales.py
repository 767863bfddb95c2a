"""How big a study is, in one place: `smoke` (minutes), `cpu` (a night on 8 cores), `paper` (30,000 trials)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

from nefstudy.config import ClassifierConfig, SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.study.plan import CellPlan
from nefstudy.study.space import ARCHITECTURE, GRID, GRID_FIXED, OPTIMISATION, STARTS, Choice, Point, Real, Space, Whole

STUDY_FIELDS = ("siren", "rffnet", "mfn")


@dataclass(frozen=True)
class Scale:
    """The size of both phases.

    Attributes:
        signals: catalogue names; with the three fields they make the cells.
        search_subset, grid_subset: signals a trial fits, per data set; absent means all of it.
        search_space: what narrows Tables 1 and 2 at this scale, over every field.
        search_trials: TPE budget of a cell.
        search_classifier, grid_classifier: how the weights are read; `--classifier` changes the name only.
    """

    signals: tuple[str, ...]
    search_trials: int
    search_subset: Mapping[str, int] = field(default_factory=dict)
    search_space: Space = field(default_factory=dict)
    search_classifier: ClassifierConfig = field(default_factory=lambda: ClassifierConfig(epochs=10))
    grid_subset: Mapping[str, int] = field(default_factory=dict)
    grid: Mapping[str, Space] = field(default_factory=lambda: GRID)
    grid_fixed: Mapping[str, Point] = field(default_factory=lambda: GRID_FIXED)
    grid_classifier: ClassifierConfig = field(default_factory=lambda: ClassifierConfig(epochs=50, patience=10))

    @property
    def cells(self) -> tuple[str, ...]:
        """Every `signals/field` of this scale."""
        return tuple(f"{signals}/{name}" for signals, name in product(self.signals, STUDY_FIELDS))


_SMOKE_GRID: Space = {"start": STARTS, "hidden": Choice((16, 32)), "steps": Choice((10, 25, 75))}

SCALES: Mapping[str, Scale] = {
    "smoke": Scale(
        signals=("mnist5k",),
        search_trials=4,
        search_subset={"mnist5k": 450},
        search_space={
            "steps": Choice((10, 25, 75)),
            "hidden": Whole(8, 32, log=True, multiple=2),
            "lr": Real(1e-4, 3e-2, log=True),
        },
        search_classifier=ClassifierConfig(epochs=10, lr=3e-3),
        grid_subset={"mnist5k": 900},
        grid={"siren": _SMOKE_GRID, "rffnet": _SMOKE_GRID, "mfn": _SMOKE_GRID},
        grid_classifier=ClassifierConfig(epochs=20, lr=3e-3),
    ),
    "cpu": Scale(
        signals=("mnist5k",),
        search_trials=40,
        search_subset={"mnist5k": 2000},
        search_space={"steps": Choice((20, 200, 1000)), "hidden": Whole(8, 64, log=True, multiple=2)},
        grid={
            name: {**space, "steps": Choice((5, 15, 25, 50, 75, 1000)), "hidden": Choice(hidden)}
            for (name, space), hidden in zip(GRID.items(), [(8, 32), (16, 32), (16, 32)], strict=True)
        },
    ),
    "paper": Scale(
        signals=("mnist", "cifar10", "microimagenet", "shapenet10"),
        search_trials=2440,
        search_subset={"mnist": 5000, "cifar10": 5000, "microimagenet": 5000, "shapenet10": 2500},
    ),
}


def scale_named(name: str) -> Scale:
    """The scale of that name.

    Raises:
        BadConfig: no such scale.
    """
    if name not in SCALES:
        raise BadConfig(f"unknown scale {name!r}: allowed are {', '.join(SCALES)}; pass --scale with one of them")
    return SCALES[name]


def chosen_cells(scale: Scale, cells: tuple[str, ...] | None) -> tuple[tuple[str, str], ...]:
    """(signals, field) of the cells asked for; all of the scale's when None.

    Raises:
        BadConfig: a cell that is not `signals/field`, or whose field the study has no table for.
    """
    pairs = []
    for cell in scale.cells if cells is None else cells:
        signals, _, name = cell.partition("/")
        if not signals or name not in ARCHITECTURE:
            raise BadConfig(
                f"unknown cell {cell!r}: a cell is signals/field with a field of {', '.join(ARCHITECTURE)}, "
                f"such as {scale.cells[0]}; correct --cells"
            )
        pairs.append((signals, name))
    return tuple(pairs)


def search_cells(
    scale: Scale, cells: tuple[str, ...] | None = None, *, trials: int | None = None, classifier: str | None = None
) -> tuple[CellPlan, ...]:
    """Phase 1: a TPE search per cell over Tables 1 and 2, narrowed to the scale."""
    return tuple(
        CellPlan(
            phase="phase1",
            signals=SignalsConfig(name=signals, subset=scale.search_subset.get(signals)),
            field=name,
            space={**OPTIMISATION, **ARCHITECTURE[name], **scale.search_space},
            trials=scale.search_trials if trials is None else trials,
            classifier=_named(scale.search_classifier, classifier),
        )
        for signals, name in chosen_cells(scale, cells)
    )


def grid_cells(
    scale: Scale,
    cells: tuple[str, ...] | None = None,
    *,
    replicates: int = 1,
    classifier: str | None = None,
    handover: Mapping[str, tuple[Space, Point]] | None = None,
) -> tuple[CellPlan, ...]:
    """Phase 2: a full grid per cell, of Table 3 at the scale's sizes or of a hand-over from phase 1.

    Raises:
        BadConfig: a cell that the scale does not know, or that the hand-over lacks.
    """
    grids = {
        cell: (scale.grid[name], scale.grid_fixed[name])
        for cell, name in ((f"{signals}/{name}", name) for signals, name in chosen_cells(scale, cells))
    }
    if handover is not None:
        missing = sorted(set(grids) - set(handover))
        if missing:
            raise BadConfig(f"the hand-over lacks {', '.join(missing)}; run their phase 1, or narrow --cells")
        grids = {cell: handover[cell] for cell in grids}
    return tuple(
        CellPlan(
            phase="phase2",
            signals=SignalsConfig(name=signals, subset=scale.grid_subset.get(signals)),
            field=name,
            space=grids[f"{signals}/{name}"][0],
            fixed=grids[f"{signals}/{name}"][1],
            classifier=_named(scale.grid_classifier, classifier),
            replicates=replicates,
        )
        for signals, name in chosen_cells(scale, cells)
    )


def _named(config: ClassifierConfig, name: str | None) -> ClassifierConfig:
    return config if name is None else config.model_copy(update={"name": name})
