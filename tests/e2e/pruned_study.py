"""A short search whose trials differ widely, for tests of pruning."""

from dataclasses import replace
from typing import Any

from nefstudy.config import ClassifierConfig, SignalsConfig
from nefstudy.study.command import main
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.scales import SCALES, grid_cells, search_cells
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.study.samplers import Tpe
from nefstudy.study.space import GRID_FIXED, INIT, Categorical, Real, Space

DIGITS = SignalsConfig(name="digits8", subset=600)
CLASSIFIER = ClassifierConfig(name="mlp", epochs=9)


def plan(options: StudyOptions) -> StudyPlan:
    """Return a plan with a search, and with a grid that has two trials.

    Trials with shared inits classify well; trials with random inits perform at chance level.
    """
    (search,) = search_cells(SCALES["smoke"], ("digits8/siren",))
    (grid,) = grid_cells(SCALES["smoke"], ("digits8/siren",), replicates=1)
    common: dict[str, Any] = {"signals": DIGITS, "classifier": CLASSIFIER}
    space: Space = {"init": INIT, "lr": Real(1e-3, 1e-2, log=True)}
    cells = (
        replace(search, **common, space=space, fixed={"hidden": 8, "steps": 20}, sampler=Tpe(options.trials or 8)),
        replace(
            grid, **common, space={"init": INIT, "steps": Categorical((4,))}, fixed={**GRID_FIXED["siren"], "hidden": 8}
        ),
    )
    return StudyPlan(study=options.name, cells=cells, seed=options.seed)


if __name__ == "__main__":
    main(plan, about="A search and a grid on 8x8 digits, in seconds.")
