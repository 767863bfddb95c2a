"""Grid trials whose fits take seconds and several shards each: what is killed in the middle of a fit."""

from nefstudy.config import ClassifierConfig, SignalsConfig
from nefstudy.study.command import main
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan import CellPlan, StudyPlan
from nefstudy.study.space import GRID_FIXED, Choice


def plan(options: StudyOptions) -> StudyPlan:
    """One point for each replicate: 1,797 fields in four shards, 60 steps."""
    cell = CellPlan(
        phase="phase2",
        signals=SignalsConfig(name="digits8"),
        field="siren",
        space={"init": Choice(("shared",)), "steps": Choice((60,))},
        fixed={**GRID_FIXED["siren"], "hidden": 16},
        classifier=ClassifierConfig(name="mlp", params={"width": 8, "depth": 1}, epochs=1),
        replicates=options.replicates,
    )
    return StudyPlan(study=options.name, cells=(cell,), seed=options.seed)


if __name__ == "__main__":
    main(plan, about="A study of seconds.")
