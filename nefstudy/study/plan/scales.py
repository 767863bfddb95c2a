"""The scales of the study: `smoke` (minutes), `cpu` (a night on 8 cores) and `paper` (30,000 trials)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

from nefstudy.config import ClassifierConfig, SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.scalars import Scalar
from nefstudy.study.options import DataOptions
from nefstudy.study.plan.study_plan import CellPlan
from nefstudy.study.samplers import Tpe
from nefstudy.study.space import ARCHITECTURE, GRID, GRID_FIXED, INIT, OPTIMIZATION, Categorical, Real, Space, Whole
from nefstudy.tasks.task import Point

STUDY_FIELDS = ("siren", "rffnet", "mfn")

STAND_INS = ("mnist5k", "photo-patches-32", "photo-patches-64", "shapes10")
"""Substitutes for MNIST, CIFAR10, MicroImageNet and ShapeNet10 that need no download."""


@dataclass(frozen=True)
class Scale:
    """The size of a study: the cells, data sets, spaces and budgets of its two phases.

    Attributes:
        signals: catalog names; each with each of the three fields makes a cell. `--cells` may choose others, which the
            scale sizes where it lists them below, such as fashion-mnist/siren.
        options: options of the signal sources, per data set; `--data` adds to them.
        search_subset, grid_subset: number of signals that a trial fits, per data set; absent means all.
        fixed: parameters of every point, per data set; they are removed from the search space.
        search_space: dimensions that replace those of Tables 1 and 2 at this scale, for every field.
        search_trials: TPE budget of a cell.
        search_classifier, grid_classifier: classifiers of the two phases; `--classifier` changes the name only.
        replicates: independent seeds of each grid point. All fields of a shared init have one draw in common, so that
            with a single seed a small study would measure that draw; `--replicates` overrides it.
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
    replicates: int = 1

    @property
    def cells(self) -> tuple[str, ...]:
        """Every `signals/field` label of this scale."""
        return tuple(f"{signals}/{name}" for signals, name in product(self.signals, STUDY_FIELDS))


_SMOKE_GRID: Space = {"init": INIT, "hidden": Categorical((16,)), "steps": Categorical((10, 25, 75, 1000))}

SCALES: Mapping[str, Scale] = {
    "smoke": Scale(
        signals=("mnist5k",),
        search_trials=4,
        options={"shapes10": {"per_class": 30}},
        fixed={"shapes10": {"batch_points": 512}},
        search_subset={"mnist5k": 400, "fashion-mnist": 400, "photo-patches-32": 300, "photo-patches-64": 200},
        search_space={
            "steps": Categorical((10, 25, 75)),
            "hidden": Whole(8, 32, log=True, multiple=2),
            "lr": Real(1e-4, 3e-2, log=True),
        },
        search_classifier=ClassifierConfig(epochs=10, lr=3e-3),
        grid_subset={"mnist5k": 200, "fashion-mnist": 200, "photo-patches-32": 200, "photo-patches-64": 100},
        grid={"siren": _SMOKE_GRID, "rffnet": _SMOKE_GRID, "mfn": _SMOKE_GRID},
        grid_classifier=ClassifierConfig(epochs=20, lr=3e-3),
        replicates=3,
    ),
    "cpu": Scale(
        signals=STAND_INS,
        search_trials=40,
        search_subset={
            "mnist5k": 2000,
            "fashion-mnist": 2000,
            "photo-patches-32": 1000,
            "photo-patches-64": 500,
            "shapes10": 500,
        },
        grid_subset={"fashion-mnist": 5000, "photo-patches-64": 1000, "shapes10": 1000},
        search_space={"steps": Categorical((20, 200, 1000)), "hidden": Whole(8, 64, log=True, multiple=2)},
        grid={
            name: {**GRID[name], "steps": Categorical((5, 15, 25, 50, 75, 1000)), "hidden": Categorical(hidden)}
            for name, hidden in {"siren": (8, 32), "rffnet": (16, 32), "mfn": (16, 32)}.items()
        },
        replicates=3,
    ),
    "paper": Scale(
        signals=("mnist", "cifar10", "microimagenet", "shapenet10"),
        search_trials=2440,
        search_subset={
            "mnist": 5000,
            "fashion-mnist": 5000,
            "cifar10": 5000,
            "microimagenet": 5000,
            "shapenet10": 2500,
        },
    ),
}


def scale_named(name: str) -> Scale:
    """Return a scale by its name.

    Raises:
        BadConfig: there is no such scale.
    """
    if name not in SCALES:
        raise BadConfig(f"unknown scale {name!r}: allowed are {', '.join(SCALES)}; pass --scale with one of them")
    return SCALES[name]


def chosen_cells(scale: Scale, cells: tuple[str, ...] | None) -> tuple[tuple[str, str], ...]:
    """Return (signals, field) of the chosen cells; None chooses all cells of the scale.

    Raises:
        BadConfig: a cell is not `signals/field`, or the study has no table for its field.
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
    """Return the cells of phase 1: TPE searches over Tables 1 and 2 of Papa et al., restricted to the scale.

    A search fits no test signals, because no choice uses them. They are reserved for the grid that follows the search.
    """
    return tuple(
        CellPlan(
            phase="phase1",
            signals=_signals(scale, signals, subset=scale.search_subset.get(signals), data=data, without_test=True),
            field=name,
            space=_without(scale.fixed.get(signals, {}), {**OPTIMIZATION, **ARCHITECTURE[name], **scale.search_space}),
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
    replicates: int | None = None,
    classifier: str | None = None,
    data: DataOptions | None = None,
    handover: Mapping[str, tuple[Space, Point]] | None = None,
) -> tuple[CellPlan, ...]:
    """Return the cells of phase 2: full grids, from Table 3 of Papa et al. at the scale's sizes or from a hand-over.

    Args:
        replicates: seeds of each point; None takes the scale's.

    Raises:
        BadConfig: a cell is unknown to the scale or missing in the hand-over.
    """
    grids = {
        f"{signals}/{name}": (scale.grid[name], {**scale.grid_fixed[name], **scale.fixed.get(signals, {})})
        for signals, name in chosen_cells(scale, cells)
    }
    if handover is not None:
        missing = sorted(set(grids) - set(handover))
        if missing:
            raise BadConfig(f"the hand-over lacks {', '.join(missing)}; run their phase 1 or leave them out of --cells")
        grids = {cell: handover[cell] for cell in grids}
    return tuple(
        CellPlan(
            phase="phase2",
            signals=_signals(scale, signals, subset=scale.grid_subset.get(signals), data=data),
            field=name,
            space=grids[f"{signals}/{name}"][0],
            fixed=grids[f"{signals}/{name}"][1],
            classifier=_named(scale.grid_classifier, classifier),
            replicates=scale.replicates if replicates is None else replicates,
        )
        for signals, name in chosen_cells(scale, cells)
    )


def _signals(
    scale: Scale, name: str, *, subset: int | None, data: DataOptions | None, without_test: bool = False
) -> SignalsConfig:
    options = {**scale.options.get(name, {}), **(data or {}).get(name, {})}
    return SignalsConfig(name=name, subset=subset, options=options, without_test=without_test)


def _without(fixed: Point, space: Space) -> Space:
    return {name: dimension for name, dimension in space.items() if name not in fixed}


def _named(config: ClassifierConfig, name: str | None) -> ClassifierConfig:
    return config if name is None else config.model_copy(update={"name": name})
