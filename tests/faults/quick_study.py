"""Sixteen grid trials of milliseconds each (and a search when `--trials` is given): what the fault tests run."""

from nefstudy.config import ClassifierConfig, SignalsConfig
from nefstudy.study.command import main
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan import CellPlan, StudyPlan
from nefstudy.study.samplers import Tpe
from nefstudy.study.space import GRID_FIXED, INIT, Choice, Real

DIGITS = SignalsConfig(name="digits8", subset=120)
QUICK = ClassifierConfig(name="mlp", params={"width": 8, "depth": 1}, epochs=1)
FIELDS = ("siren", "rffnet")


def plan(options: StudyOptions) -> StudyPlan:
    """Two starts x two widths x two rungs for each of two fields and each replicate."""
    grid = [
        CellPlan(
            phase="phase2",
            signals=DIGITS,
            field=field,
            space={"init": INIT, "hidden": Choice((4, 8)), "steps": Choice((1, 2))},
            fixed=GRID_FIXED[field],
            classifier=QUICK,
            replicates=options.replicates,
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
            sampler=Tpe(options.trials),
        )
        for _ in range(options.trials is not None)
    ]
    return StudyPlan(study=options.name, cells=(*search, *grid), seed=options.seed)


if __name__ == "__main__":
    main(plan, about="A study of milliseconds.")
