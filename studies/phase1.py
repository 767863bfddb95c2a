"""Phase 1: a TPE search over Tables 1 and 2, cell by cell, maximising validation accuracy.

python studies/phase1.py --scale smoke --root /data/study
ray job submit --working-dir . -- python studies/phase1.py --scale smoke --root /data/study
"""

from nefstudy.study.command import main
from nefstudy.study.data import data_options
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan import StudyPlan
from nefstudy.study.scales import scale_named, search_cells


def plan(options: StudyOptions) -> StudyPlan:
    """The search of every cell at the chosen scale."""
    cells = search_cells(
        scale_named(options.scale),
        options.cells,
        trials=options.trials,
        classifier=options.classifier,
        data=data_options(options.data),
    )
    return StudyPlan(study=options.name, cells=cells, seed=options.seed)


if __name__ == "__main__":
    main(plan, about="Phase 1: a TPE search per cell over Tables 1 and 2. Run it again to continue.")
