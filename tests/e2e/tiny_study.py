"""The study script of the end-to-end tests, which runs both phases on 8x8 digits within seconds."""

from dataclasses import replace

from nefstudy.config import ClassifierConfig, SignalsConfig
from nefstudy.study.command import main
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.scales import SCALES, grid_cells, search_cells
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.study.samplers import Tpe
from nefstudy.study.space import GRID_FIXED, INIT, Categorical, Real

CELLS = ("digits8/siren", "digits8/rffnet")
DIGITS = SignalsConfig(name="digits8", subset=120)
QUICK = ClassifierConfig(name="gnn-sign", epochs=2)


def plan(options: StudyOptions) -> StudyPlan:
    """Return a plan of three search trials without test signals and four grid trials for each of two cells."""
    search = [
        replace(
            cell,
            signals=DIGITS.model_copy(update={"without_test": cell.signals.without_test}),
            classifier=QUICK,
            space={"init": INIT, "lr": Real(1e-3, 1e-2, log=True)},
            fixed={"hidden": 8, "steps": 3},
            sampler=Tpe(options.trials or 3),
        )
        for cell in search_cells(SCALES["smoke"], options.cells or CELLS)
    ]
    grid = [
        replace(
            cell,
            signals=DIGITS,
            classifier=QUICK,
            space={"init": INIT, "steps": Categorical((2, 4))},
            fixed={**GRID_FIXED[cell.field], "hidden": 8},
        )
        for cell in grid_cells(SCALES["smoke"], options.cells or CELLS, replicates=options.replicates or 1)
    ]
    return StudyPlan(study=options.name, cells=(*search, *grid), seed=options.seed)


if __name__ == "__main__":
    main(plan, about="Both phases on 8x8 digits, in seconds.")
