"""The driver's pruning state: curves of completed and pruned trials by cell, reloaded from the ledger on restart."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import inf, isnan
from typing import final

from nefstudy.errors import BadConfig
from nefstudy.ledger import Ledger, TrialRow, TrialState
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.trial.pruning import PRUNERS, Curve, EndedCurve

NONE = "none"
Curves = Mapping[str, Sequence[tuple[float, float]]]
COUNTED = (TrialState.COMPLETE, TrialState.PRUNED)


def check_pruner(name: str, plan: StudyPlan, *, workers: int) -> None:
    """Raise BadConfig if the named pruner cannot prune this plan."""
    if name == NONE:
        return
    if name not in PRUNERS:
        raise BadConfig(f"unknown pruner {name!r}: allowed are {NONE}, {', '.join(PRUNERS)}; correct --pruner")
    if not any(_is_prunable(plan, cell) for cell in plan.cells):
        raise BadConfig(
            f"--pruner {name}: only a search whose task has epochs can be pruned, and this plan has none (a grid runs "
            "every point); leave out --pruner"
        )
    if workers:
        raise BadConfig(
            f"--pruner {name} needs trials that run in the Tune actor, which can be stopped; leave out --workers"
        )


def _is_prunable(plan: StudyPlan, cell: CellPlan) -> bool:
    return cell.sampler.is_prunable and plan.task(cell).curve is not None


@final
class TrialPruner:
    """A pruner that ends trials of searched cells early, based on the curve that the cell's task declares.

    Args:
        name: name of the pruner; with `none` no trial is pruned and no curve is read or kept.
    """

    def __init__(self, plan: StudyPlan, ledger: Ledger, *, name: str = NONE) -> None:
        self.name = name
        self.ended: dict[tuple[str, str], dict[str, EndedCurve]] = defaultdict(dict)
        self._plan = plan
        self._ledger = ledger
        self._curves = {
            (cell.phase, cell.cell): plan.task(cell).curve or "" for cell in plan.cells if _is_prunable(plan, cell)
        }
        cells = [cell for cell in plan.cells if name != NONE and (cell.phase, cell.cell) in self._curves]
        self._signs = {(cell.phase, cell.cell): plan.curve_sign(cell) for cell in cells}
        if name != NONE:
            for phase in plan.phases:
                self._restore(ledger.trials.page(plan.study, phase=phase, limit=None).rows)

    def _restore(self, rows: Iterable[TrialRow]) -> None:
        for row in rows:
            if (row.phase, row.cell) in self._curves and row.state in COUNTED:
                self.learn(row.phase, row.cell, key=row.key, pruned=row.state is TrialState.PRUNED)

    def name_for(self, phase: str, cell: str) -> str:
        """Return the pruner's name for a cell: the study's pruner for a search, `none` for a grid."""
        return self.name if (phase, cell) in self._curves else NONE

    def learn(self, phase: str, cell: str, *, key: str, pruned: bool) -> None:
        """Load the curve of a completed or pruned trial from the ledger."""
        if self.name_for(phase, cell) != NONE:
            curves = self._ledger.trials.curves(self._plan.study, phase, key=key)
            own = self._better(phase, cell, self.curve(phase, cell, curves))
            self.ended[phase, cell][key] = EndedCurve(own, pruned=pruned)

    def curve(self, phase: str, cell: str, curves: Curves) -> dict[int, float]:
        """Return the curve that the pruner watches in a cell, as values by epoch, given all curves of a trial."""
        return {round(epoch): value for epoch, value in curves.get(self._curves.get((phase, cell), ""), ())}

    def best(self, phase: str, cell: str, curve: Curve) -> dict[str, float]:
        """Return a curve's best value, keyed by its metric's name, and the curve's last epoch as `pruned_epoch`."""
        values = self._better(phase, cell, curve)
        epoch = max(values, key=lambda epoch: values[epoch])
        return {self._curves[phase, cell]: curve[epoch], "pruned_epoch": float(max(curve))}

    def prunes(self, phase: str, cell: str, *, own: Curve) -> bool:
        """Return whether a running trial must end now, given its curve so far."""
        name = self.name_for(phase, cell)
        if name == NONE or not own:
            return False
        return PRUNERS[name].prunes(self._better(phase, cell, own), list(self.ended[phase, cell].values()))

    def _better(self, phase: str, cell: str, curve: Curve) -> dict[int, float]:
        """Return the curve oriented so that larger is better: negated for minimized metrics, NaN as minus infinity."""
        sign = self._signs[phase, cell]
        return {epoch: -inf if isnan(value) else sign * value for epoch, value in curve.items()}
