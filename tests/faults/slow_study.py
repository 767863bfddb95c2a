"""A study whose fits take seconds and write several shards each, so that tests can kill them partway through."""

from nefstudy.config import ClassifierConfig, SignalsConfig
from nefstudy.study.command import main
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.space import GRID_FIXED, Categorical


def plan(options: StudyOptions) -> StudyPlan:
    """Return a plan with one point per replicate.

    Each point has 1,797 fields in four shards and 60 steps.
    """
    cell = CellPlan(
        phase="phase2",
        signals=SignalsConfig(name="digits8"),
        field="siren",
        space={"init": Categorical(("shared",)), "steps": Categorical((60,))},
        fixed={**GRID_FIXED["siren"], "hidden": 16},
        classifier=ClassifierConfig(name="mlp", params={"width": 8, "depth": 1}, epochs=1),
        replicates=options.replicates or 1,
    )
    return StudyPlan(study=options.name, cells=(cell,), seed=options.seed)


if __name__ == "__main__":
    main(plan, about="A study of seconds.")
