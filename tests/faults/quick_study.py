"""The study used by most fault tests: sixteen grid trials that take milliseconds each, and an optional search."""

from nefstudy.config import ClassifierConfig, SignalsConfig
from nefstudy.study.command import main
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.samplers import Tpe
from nefstudy.study.space import GRID_FIXED, INIT, Categorical, Real

DIGITS = SignalsConfig(name="digits8", subset=120)
QUICK = ClassifierConfig(name="mlp", params={"width": 8, "depth": 1}, epochs=1)
FIELDS = ("siren", "rffnet")


def plan(options: StudyOptions) -> StudyPlan:
    """Return a plan with a grid of 2 initializations x 2 widths x 2 rungs for each of two fields.

    A search is added if requested.
    """
    grid = [
        CellPlan(
            phase="phase2",
            signals=DIGITS,
            field=field,
            space={"init": INIT, "hidden": Categorical((4, 8)), "steps": Categorical((1, 2))},
            fixed=GRID_FIXED[field],
            classifier=QUICK,
            replicates=options.replicates or 1,
        )
        for field in FIELDS
    ]
    search = [
        CellPlan(
            phase="phase1",
            signals=DIGITS,
            field="siren",
            space={"init": INIT, "lr": Real(1e-3, 1e-2, log=True)},
            fixed={"hidden": 4, "steps": 2},
            classifier=QUICK,
            sampler=Tpe(trials),
        )
        for trials in (options.trials,)
        if trials is not None
    ]
    return StudyPlan(study=options.name, cells=(*search, *grid), seed=options.seed)


if __name__ == "__main__":
    main(plan, about="A study of milliseconds.")
