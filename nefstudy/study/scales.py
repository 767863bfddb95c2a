"""How big a study is, in one place: `smoke` (minutes), `cpu` (a night on 8 cores), `paper` (30,000 trials)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

from nefstudy.config import ClassifierConfig, SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.scalars import Scalar
from nefstudy.study.data import DataOptions
from nefstudy.study.plan import CellPlan
from nefstudy.study.samplers import Tpe
from nefstudy.study.space import ARCHITECTURE, GRID, GRID_FIXED, INIT, OPTIMISATION, Choice, Real, Space, Whole
from nefstudy.tasks.task import Point

STUDY_FIELDS = ("siren", "rffnet", "mfn")

STAND_INS = ("mnist5k", "photo-patches-32", "photo-patches-64", "shapes10")
"""What needs no download, for MNIST, CIFAR10, MicroImageNet and ShapeNet10."""


@dataclass(frozen=True)
class Scale:
    """The size of both phases.

    Attributes:
        signals: catalogue names; with the three fields they make the cells.
        options: of the signals' sources, per data set; `--data` adds to them.
        search_subset, grid_subset: signals a trial fits, per data set; absent means all of it.
        fixed: parameters of every point, per data set; they leave the space of the search.
        search_space: what narrows Tables 1 and 2 at this scale, over every field.
        search_trials: TPE budget of a cell.
        search_classifier, grid_classifier: how the weights are read; `--classifier` changes the name only.
    """

    signals: tuple[str, ...]
    search_trials: int
    options: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)
    fixed: Mapping[str, Point] = field(default_factory=dict)
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


_SMOKE_GRID: Space = {"init": INIT, "hidden": Choice((16, 32)), "steps": Choice((10, 25, 75))}

SCALES: Mapping[str, Scale] = {
    "smoke": Scale(
        signals=("mnist5k",),
        search_trials=4,
        options={"shapes10": {"per_class": 30}},
        fixed={"shapes10": {"batch_points": 512}},
        search_subset={"mnist5k": 400, "photo-patches-32": 300, "photo-patches-64": 200},
        search_space={
            "steps": Choice((10, 25, 75)),
            "hidden": Whole(8, 32, log=True, multiple=2),
            "lr": Real(1e-4, 3e-2, log=True),
        },
        search_classifier=ClassifierConfig(epochs=10, lr=3e-3),
        grid_subset={"mnist5k": 800, "photo-patches-32": 300, "photo-patches-64": 200},
        grid={"siren": _SMOKE_GRID, "rffnet": _SMOKE_GRID, "mfn": _SMOKE_GRID},
        grid_classifier=ClassifierConfig(epochs=20, lr=3e-3),
    ),
    "cpu": Scale(
        signals=STAND_INS,
        search_trials=40,
        search_subset={"mnist5k": 2000, "photo-patches-32": 1000, "photo-patches-64": 500, "shapes10": 500},
        grid_subset={"photo-patches-64": 1000, "shapes10": 1000},
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
    scale: Scale,
    cells: tuple[str, ...] | None = None,
    *,
    trials: int | None = None,
    classifier: str | None = None,
    data: DataOptions | None = None,
) -> tuple[CellPlan, ...]:
    """Phase 1: a TPE search per cell over Tables 1 and 2, narrowed to the scale."""
    return tuple(
        CellPlan(
            phase="phase1",
            signals=_signals(scale, signals, subset=scale.search_subset.get(signals), data=data),
            field=name,
            space=_without(scale.fixed.get(signals, {}), {**OPTIMISATION, **ARCHITECTURE[name], **scale.search_space}),
            fixed=dict(scale.fixed.get(signals, {})),
            sampler=Tpe(scale.search_trials if trials is None else trials),
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
    data: DataOptions | None = None,
    handover: Mapping[str, tuple[Space, Point]] | None = None,
) -> tuple[CellPlan, ...]:
    """Phase 2: a full grid per cell, of Table 3 at the scale's sizes or of a hand-over from phase 1.

    Raises:
        BadConfig: a cell that the scale does not know, or that the hand-over lacks.
    """
    grids = {
        f"{signals}/{name}": (scale.grid[name], {**scale.grid_fixed[name], **scale.fixed.get(signals, {})})
        for signals, name in chosen_cells(scale, cells)
    }
    if handover is not None:
        missing = sorted(set(grids) - set(handover))
        if missing:
            raise BadConfig(f"the hand-over lacks {', '.join(missing)}; run their phase 1, or narrow --cells")
        grids = {cell: handover[cell] for cell in grids}
    return tuple(
        CellPlan(
            phase="phase2",
            signals=_signals(scale, signals, subset=scale.grid_subset.get(signals), data=data),
            field=name,
            space=grids[f"{signals}/{name}"][0],
            fixed=grids[f"{signals}/{name}"][1],
            classifier=_named(scale.grid_classifier, classifier),
            replicates=replicates,
        )
        for signals, name in chosen_cells(scale, cells)
    )


def _signals(scale: Scale, name: str, *, subset: int | None, data: DataOptions | None) -> SignalsConfig:
    options = {**scale.options.get(name, {}), **(data or {}).get(name, {})}
    return SignalsConfig(name=name, subset=subset, options=options)


def _without(fixed: Point, space: Space) -> Space:
    return {name: dimension for name, dimension in space.items() if name not in fixed}


def _named(config: ClassifierConfig, name: str | None) -> ClassifierConfig:
    return config if name is None else config.model_copy(update={"name": name})
