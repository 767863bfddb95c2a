"""Trials of the classification task."""

from nefstudy.config import TrialConfig
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan, listed_trials
from nefstudy.tasks.classification import ClassificationConfig

from .present import present


def classification(trial: TrialConfig) -> ClassificationConfig:
    """Return the given trial after checking that it is a classification trial."""
    assert isinstance(trial, ClassificationConfig)
    return trial


def all_trials(plan: StudyPlan, cell: CellPlan) -> list[ClassificationConfig]:
    """Return all trials of a cell, which must list its trials and use the classification task."""
    return [classification(trial) for trial in present(listed_trials(plan, cell))]
