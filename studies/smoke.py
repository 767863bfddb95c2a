"""Both phases in one stream, at smoke scale: minutes on two cores, on 5,000 real digits.

python studies/smoke.py
"""

from dataclasses import replace

from nefstudy.study.command import main
from nefstudy.study.data import data_options
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan import StudyPlan
from nefstudy.study.scales import grid_cells, scale_named, search_cells


def plan(options: StudyOptions) -> StudyPlan:
    """The search and then the grid of every cell; other flags work as for the single phases."""
    options = replace(options, scale="smoke")
    scale, data = scale_named(options.scale), data_options(options.data)
    search = search_cells(scale, options.cells, trials=options.trials, classifier=options.classifier, data=data)
    grid = grid_cells(scale, options.cells, replicates=options.replicates, classifier=options.classifier, data=data)
    return StudyPlan(study=options.name, cells=(*search, *grid), seed=options.seed)


if __name__ == "__main__":
    main(plan, about="Both phases at smoke scale, whatever --scale says, in minutes. Run it again to continue.")
