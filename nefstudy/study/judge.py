"""The driver's memory for pruning: curves of ended trials by cell, the same after a restart as before it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import final

from nefstudy.errors import BadConfig
from nefstudy.ledger import Ledger, TrialRow, TrialState
from nefstudy.study.plan import StudyPlan
from nefstudy.trial.pruning import PRUNERS, Curve, Ended

NONE = "none"
CURVE = "val_accuracy"
COUNTED = (TrialState.COMPLETE, TrialState.PRUNED)


def check_pruner(name: str, plan: StudyPlan, *, workers: int) -> None:
    """Raise BadConfig unless this plan can be pruned so."""
    if name == NONE:
        return
    if name not in PRUNERS:
        raise BadConfig(f"unknown pruner {name!r}: allowed are {NONE}, {', '.join(PRUNERS)}; correct --pruner")
    if all(cell.trials is None for cell in plan.cells):
        raise BadConfig(f"--pruner {name}: of a grid every point is wanted, only a search is pruned; leave it out")
    if workers:
        raise BadConfig(f"--pruner {name} needs trials in the Tune actor, which can be stopped; leave out --workers")


@final
class Judge:
    """Says which trials of searched cells end early.

    Args:
        name: of the pruner; with `none` nothing is read, kept or asked.
    """

    def __init__(self, plan: StudyPlan, ledger: Ledger, *, name: str = NONE) -> None:
        self.name = name
        self.ended: dict[tuple[str, str], dict[str, Ended]] = defaultdict(dict)
        self._plan = plan
        self._ledger = ledger
        self._searched = {(cell.phase, cell.cell) for cell in plan.cells if cell.trials is not None}
        if name != NONE:
            for phase in plan.phases:
                self._recall(ledger.trials.page(plan.study, phase=phase, limit=None).rows)

    def _recall(self, rows: Iterable[TrialRow]) -> None:
        for row in rows:
            if (row.phase, row.cell) in self._searched and row.state in COUNTED:
                self.learn(row.phase, row.cell, key=row.key, pruned=row.state is TrialState.PRUNED)

    def of(self, phase: str, cell: str) -> str:
        """Name of the pruner of a cell's trials: the study's for a search, none for a grid."""
        return self.name if (phase, cell) in self._searched else NONE

    def learn(self, phase: str, cell: str, *, key: str, pruned: bool) -> None:
        """Remember an ended trial by what the ledger holds of it."""
        if self.of(phase, cell) != NONE:
            curve = ledger_curve(self._ledger.trials.curves(self._plan.study, phase, key=key))
            self.ended[phase, cell][key] = Ended(curve, pruned=pruned)

    def prunes(self, phase: str, cell: str, *, own: Curve) -> bool:
        """Whether a trial under way ends now, by its curve so far."""
        name = self.of(phase, cell)
        return name != NONE and bool(own) and PRUNERS[name].prunes(own, list(self.ended[phase, cell].values()))


def ledger_curve(curves: Mapping[str, Sequence[tuple[float, float]]]) -> dict[int, float]:
    """The curve that pruning and samplers go by, from a trial's curves in the ledger."""
    return {round(epoch): value for epoch, value in curves.get(CURVE, ())}
