"""Tasks: the computation of one trial, from a frozen configuration to metrics.

A task is a value (`task.py`) that holds everything a study needs to know: the codec between points and configurations,
the neural datasets that a trial reads, the metrics that it reports, the default objective. `classification.py` trains
a classifier on fitted weights; `fitting.py` measures the quality of the fit only. `catalog.py` names them. Tasks do not
depend on Ray, MLflow or HTTP; `nefstudy/trial` runs them on a cluster.
"""

from nefstudy.tasks.catalog import TASKS as TASKS
from nefstudy.tasks.task import Task as Task
