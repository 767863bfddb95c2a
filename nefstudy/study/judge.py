"""The driver's memory for pruning: curves of ended trials by cell, the same after a restart as before it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import final

from nefstudy.errors import BadConfig
from nefstudy.ledger import Ledger, TrialRow, TrialState
from nefstudy.study.plan import CellPlan, StudyPlan
from nefstudy.trial.pruning import PRUNERS, Curve, Ended

NONE = "none"
Curves = Mapping[str, Sequence[tuple[float, float]]]
COUNTED = (TrialState.COMPLETE, TrialState.PRUNED)


def check_pruner(name: str, plan: StudyPlan, *, workers: int) -> None:
    """Raise BadConfig unless this plan can be pruned so."""
    if name == NONE:
        return
    if name not in PRUNERS:
        raise BadConfig(f"unknown pruner {name!r}: allowed are {NONE}, {', '.join(PRUNERS)}; correct --pruner")
    if not any(_is_prunable(plan, cell) for cell in plan.cells):
        raise BadConfig(
            f"--pruner {name}: every point of a grid is asked for, so only a search is pruned, by a task with epochs; "
            "leave it out"
        )
    if workers:
        raise BadConfig(f"--pruner {name} needs trials in the Tune actor, which can be stopped; leave out --workers")


def _is_prunable(plan: StudyPlan, cell: CellPlan) -> bool:
    return cell.sampler.is_prunable and plan.task(cell).curve is not None


@final
class Judge:
    """Decides which trials of searched cells end early, by the curve that their task declares.

    Args:
        name: of the pruner; with `none` nothing is read, kept or asked.
    """

    def __init__(self, plan: StudyPlan, ledger: Ledger, *, name: str = NONE) -> None:
        self.name = name
        self.ended: dict[tuple[str, str], dict[str, Ended]] = defaultdict(dict)
        self._plan = plan
        self._ledger = ledger
        self._curves = {
            (cell.phase, cell.cell): plan.task(cell).curve or "" for cell in plan.cells if _is_prunable(plan, cell)
        }
        self._signs = {place: self._sign(*place) for place in self._curves} if name != NONE else {}
        if name != NONE:
            for phase in plan.phases:
                self._recall(ledger.trials.page(plan.study, phase=phase, limit=None).rows)

    def _sign(self, phase: str, label: str) -> int:
        """Return 1 where larger values of a cell's curve are better, else -1."""
        cell = self._plan.cell(phase, label)
        metrics = () if cell is None else self._plan.metrics(cell)
        directions = {metric.name: metric.direction for metric in metrics}
        return -1 if directions.get(self._curves[phase, label]) == "minimize" else 1

    def _recall(self, rows: Iterable[TrialRow]) -> None:
        for row in rows:
            if (row.phase, row.cell) in self._curves and row.state in COUNTED:
                self.learn(row.phase, row.cell, key=row.key, pruned=row.state is TrialState.PRUNED)

    def of(self, phase: str, cell: str) -> str:
        """Name of the pruner of a cell's trials: the study's for a search, none for a grid."""
        return self.name if (phase, cell) in self._curves else NONE

    def learn(self, phase: str, cell: str, *, key: str, pruned: bool) -> None:
        """Remember an ended trial by what the ledger holds of it."""
        if self.of(phase, cell) != NONE:
            curves = self._ledger.trials.curves(self._plan.study, phase, key=key)
            own = self._better(phase, cell, self.curve(phase, cell, curves))
            self.ended[phase, cell][key] = Ended(own, pruned=pruned)

    def curve(self, phase: str, cell: str, curves: Curves) -> dict[int, float]:
        """Return the curve that trials of a cell are judged by, from all curves of a trial."""
        return {round(epoch): value for epoch, value in curves.get(self._curves.get((phase, cell), ""), ())}

    def best(self, phase: str, cell: str, curve: Curve) -> dict[str, float]:
        """Return the best value of a curve under the name of its metric, and the last epoch."""
        values = self._better(phase, cell, curve)
        epoch = max(values, key=lambda one: values[one])
        return {self._curves[phase, cell]: curve[epoch], "pruned_epoch": float(max(curve))}

    def prunes(self, phase: str, cell: str, *, own: Curve) -> bool:
        """Return whether a trial in flight ends now, by its curve so far."""
        name = self.of(phase, cell)
        if name == NONE or not own:
            return False
        return PRUNERS[name].prunes(self._better(phase, cell, own), list(self.ended[phase, cell].values()))

    def _better(self, phase: str, cell: str, curve: Curve) -> dict[int, float]:
        """Return the curve with a sign by which larger values are better."""
        sign = self._signs[phase, cell]
        return {epoch: sign * value for epoch, value in curve.items()}
