"""A study in a ledger: a search without test signals, and the grid that follows it on signals with a test split."""

from nefstudy.ledger import Ledger
from nefstudy.study.plan.scales import SCALES, grid_cells, search_cells
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.tasks.classification import ClassificationConfig

from ..ledger.records import as_record
from .small_study import metrics_of, trial_config

STUDY = "searched"
CELL = "digits8/siren"
STEPS = (5, 25, 75, 1000)


def fill_searched_study(ledger: Ledger, *, grid: bool = True) -> list[ClassificationConfig]:
    """Fill a study with complete trials of its search and, with `grid`, of its grid; return those of the search."""
    cells = (*search_cells(SCALES["smoke"], (CELL,)), *grid_cells(SCALES["smoke"], (CELL,)))
    plan = StudyPlan(study=STUDY, cells=cells)
    ledger.studies.put(STUDY, plan.describe(), cells=plan.records())
    points = [(init, steps) for init in ("shared", "random") for steps in STEPS]
    searched = [_without_test(trial_config(CELL, init=init, steps=steps)) for init, steps in points]
    for trial in searched:
        found = {name: value for name, value in metrics_of(trial).items() if not name.startswith("test_")}
        _complete(ledger, "phase1", trial, metrics=found | {"val_accuracy_all": found["val_accuracy"]})
    for init, steps in points if grid else ():
        trial = trial_config(CELL, init=init, steps=steps)
        found = metrics_of(trial)
        more = {f"{split}_accuracy_all": found[f"{split}_accuracy"] - 0.01 for split in ("val", "test")}
        _complete(ledger, "phase2", trial, metrics=found | more)
    return searched


def _without_test(trial: ClassificationConfig) -> ClassificationConfig:
    signals = trial.dataset.signals.model_copy(update={"without_test": True})
    return trial.model_copy(update={"dataset": trial.dataset.model_copy(update={"signals": signals})})


def _complete(ledger: Ledger, phase: str, trial: ClassificationConfig, *, metrics: dict[str, float]) -> None:
    token = ledger.trials.request(STUDY, phase, record=as_record(trial))
    ledger.trials.start(STUDY, phase, key=trial.key, token=token)
    fingerprint = {"engine": "eager"}
    ledger.trials.complete(
        STUDY, phase, key=trial.key, token=token, metrics=metrics, curves={}, artifacts={}, fingerprint=fingerprint
    )
