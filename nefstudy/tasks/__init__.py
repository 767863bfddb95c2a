"""Tasks: what one trial does, from a frozen configuration to numbers.

A task is a value (`task.py`) that a study reads everything from: the codec between points and configurations, the
neural datasets that a trial needs, the metrics it reports, its default objective. `classification.py` trains a
classifier on fitted weights; `fitting.py` stops at the quality of the fit. `catalog.py` names them. Tasks know nothing
of Ray, MLflow or HTTP; `nefstudy/trial` runs them on a cluster.
"""

from nefstudy.tasks.catalog import TASKS as TASKS
from nefstudy.tasks.task import Task as Task
