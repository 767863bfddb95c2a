"""A search whose trials differ much, in seconds: what the test of pruning runs."""

from dataclasses import replace

from nefstudy.config import ClassifierConfig, SignalsConfig
from nefstudy.study.command import main
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan import StudyPlan
from nefstudy.study.samplers import Tpe
from nefstudy.study.scales import SCALES, grid_cells, search_cells
from nefstudy.study.space import GRID_FIXED, INIT, Choice, Real

DIGITS = SignalsConfig(name="digits8", subset=600)
READER = ClassifierConfig(name="mlp", epochs=9)


def plan(options: StudyOptions) -> StudyPlan:
    """A flat MLP reads shared starts well and random ones at chance; a grid of two trials beside the search."""
    (search,) = search_cells(SCALES["smoke"], ("digits8/siren",))
    (grid,) = grid_cells(SCALES["smoke"], ("digits8/siren",))
    common = {"signals": DIGITS, "classifier": READER}
    space = {"init": INIT, "lr": Real(1e-3, 1e-2, log=True)}
    cells = (
        replace(search, **common, space=space, fixed={"hidden": 8, "steps": 20}, sampler=Tpe(options.trials or 8)),
        replace(
            grid, **common, space={"init": INIT, "steps": Choice((4,))}, fixed={**GRID_FIXED["siren"], "hidden": 8}
        ),
    )
    return StudyPlan(study=options.name, cells=cells, seed=options.seed)


if __name__ == "__main__":
    main(plan, about="A search and a grid on 8x8 digits, in seconds.")
