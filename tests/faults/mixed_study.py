"""The quick study's trials and fits of seconds among them: what the kill campaign runs."""

from nefstudy.config import ClassifierConfig, SignalsConfig
from nefstudy.study.command import main
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan import CellPlan, StudyPlan
from nefstudy.study.space import GRID_FIXED, INIT, Choice

QUICK = ClassifierConfig(name="mlp", params={"width": 8, "depth": 1}, epochs=1)


def plan(options: StudyOptions) -> StudyPlan:
    """Six quick trials for each replicate and one slow one, whose 1,797 fields are four shards."""
    quick = {"init": INIT, "hidden": Choice((4,)), "steps": Choice((1, 2, 3))}
    slow = {"init": Choice(("shared",)), "hidden": Choice((16,)), "steps": Choice((60,))}
    cells = [
        CellPlan(
            phase="phase2",
            signals=SignalsConfig(name="digits8", subset=subset),
            field=field,
            space=space,
            fixed=GRID_FIXED[field],
            classifier=QUICK,
            replicates=options.replicates,
        )
        for subset, field, space in ((120, "rffnet", quick), (None, "siren", slow))
    ]
    return StudyPlan(study=options.name, cells=tuple(cells), seed=options.seed)


if __name__ == "__main__":
    main(plan, about="A study of milliseconds and of seconds.")
