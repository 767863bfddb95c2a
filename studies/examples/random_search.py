"""A random search with the task `fitting`: how well small SIRENs reconstruct digits, by validation PSNR.

python studies/examples/random_search.py --root /tmp/examples
"""

from nefstudy.config import SignalsConfig
from nefstudy.study.command import main
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.samplers import Random
from nefstudy.study.space import INIT, Real
from nefstudy.tasks.task import Objective


def plan(options: StudyOptions) -> StudyPlan:
    """Return a search of twenty trials, unless --trials sets another number."""
    cell = CellPlan(
        phase="search",
        signals=SignalsConfig(name="digits8", subset=200),
        field="siren",
        space={"init": INIT, "omega_0": Real(1, 60, log=True), "lr": Real(1e-4, 1e-2, log=True)},
        fixed={"hidden": 16, "steps": 40},
        sampler=Random(options.trials or 20),
        task="fitting",
        objective=Objective("val_psnr"),
    )
    return StudyPlan(study=options.study or "random-search", cells=(cell,), seed=options.seed)


if __name__ == "__main__":
    main(plan, about="Random search over a SIREN's frequency and learning rate. Run it again to continue.")
