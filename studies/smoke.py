"""Both phases as one study at smoke scale, on up to 400 of 5,000 bundled digits; takes minutes on two cores.

python studies/smoke.py
"""

from dataclasses import replace

from nefstudy.study.command import main
from nefstudy.study.options import StudyOptions, data_options
from nefstudy.study.plan.scales import grid_cells, scale_named, search_cells
from nefstudy.study.plan.study_plan import StudyPlan


def plan(options: StudyOptions) -> StudyPlan:
    """Return a plan that runs the search and then the grid of every cell; the other flags work as in each phase."""
    options = replace(options, scale="smoke")
    scale, data = scale_named(options.scale), data_options(options.data)
    search = search_cells(scale, options.cells, trials=options.trials, classifier=options.classifier, data=data)
    grid = grid_cells(scale, options.cells, replicates=options.replicates, classifier=options.classifier, data=data)
    return StudyPlan(study=options.name, cells=(*search, *grid), seed=options.seed)


if __name__ == "__main__":
    main(plan, about="Both phases at smoke scale, in minutes; --scale is ignored. Run it again to continue.")
