"""The kill campaign's study, with quick trials and with fits that take seconds."""

from nefstudy.config import ClassifierConfig, SignalsConfig
from nefstudy.study.command import main
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.space import GRID_FIXED, INIT, Categorical

QUICK = ClassifierConfig(name="mlp", params={"width": 8, "depth": 1}, epochs=1)


def plan(options: StudyOptions) -> StudyPlan:
    """Return a plan of six quick trials and one slow trial per replicate.

    The slow trial fits 1,797 fields in four shards.
    """
    quick = {"init": INIT, "hidden": Categorical((4,)), "steps": Categorical((1, 2, 3))}
    slow = {"init": Categorical(("shared",)), "hidden": Categorical((16,)), "steps": Categorical((60,))}
    cells = [
        CellPlan(
            phase="phase2",
            signals=SignalsConfig(name="digits8", subset=subset),
            field=field,
            space=space,
            fixed=GRID_FIXED[field],
            classifier=QUICK,
            replicates=options.replicates or 1,
        )
        for subset, field, space in ((120, "rffnet", quick), (None, "siren", slow))
    ]
    return StudyPlan(study=options.name, cells=tuple(cells), seed=options.seed)


if __name__ == "__main__":
    main(plan, about="A study of milliseconds and of seconds.")
