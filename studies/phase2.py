"""Phase 2: the full grid of Table 3 over start x hidden x steps, cell by cell.

python studies/phase2.py --scale smoke --root /data/study
ray job submit --working-dir . -- python studies/phase2.py --scale smoke --root /data/study
"""

import os

from nefstudy.study.command import main
from nefstudy.study.data import data_options
from nefstudy.study.handover import handed_over
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan import StudyPlan
from nefstudy.study.scales import grid_cells, scale_named


def plan(options: StudyOptions) -> StudyPlan:
    """The grid of every cell at the chosen scale."""
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
