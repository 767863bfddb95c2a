"""Phase 2: in each cell, the full grid of Table 3 of Papa et al. 2024 over init x hidden x steps.

python studies/phase2.py --scale smoke --root /data/study
ray job submit --working-dir . -- python studies/phase2.py --scale smoke --root /data/study
"""

import os

from nefstudy.study.command import main
from nefstudy.study.exchange.handover import handed_over
from nefstudy.study.options import StudyOptions, data_options
from nefstudy.study.plan.scales import grid_cells, scale_named
from nefstudy.study.plan.study_plan import StudyPlan


def plan(options: StudyOptions) -> StudyPlan:
    """Return a plan that runs the grid of every cell at the selected scale."""
    cells = grid_cells(
        scale_named(options.scale),
        options.cells,
        replicates=options.replicates,
        classifier=options.classifier,
        data=data_options(options.data),
        handover=handed_over(options, environment=os.environ),
    )
    return StudyPlan(study=options.name, cells=cells, seed=options.seed)


if __name__ == "__main__":
    main(plan, about="Phase 2: the full grid of Table 3 per cell. Run it again to continue.")
