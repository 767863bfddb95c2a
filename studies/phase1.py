"""Phase 1: a TPE search in each cell over Tables 1 and 2 of Papa et al. 2024, maximizing validation accuracy.

python studies/phase1.py --scale smoke --root /data/study
ray job submit --working-dir . -- python studies/phase1.py --scale smoke --root /data/study
"""

from nefstudy.study.command import main
from nefstudy.study.options import StudyOptions, data_options
from nefstudy.study.plan.scales import scale_named, search_cells
from nefstudy.study.plan.study_plan import StudyPlan


def plan(options: StudyOptions) -> StudyPlan:
    """Return a plan that searches every cell at the selected scale."""
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
