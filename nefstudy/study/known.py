"""What of a plan is there already: results in the ledger, neural datasets under the root."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from nefstudy.errors import BadInput, BadLedger
from nefstudy.ledger import Ledger, TrialState
from nefstudy.neural_dataset.schema import Manifest
from nefstudy.paths import manifest_path
from nefstudy.signals.catalog import load_signals
from nefstudy.storage import Storage
from nefstudy.study.place import Place
from nefstudy.study.plan import CellPlan, StudyPlan, listed_trials
from nefstudy.study.rules import is_to_do
from nefstudy.study.samplers.stream import DONE

States = Mapping[tuple[str, str], TrialState]


@dataclass(frozen=True)
class Known:
    """What one cell need not do again in one phase; None where its data is not here to tell.

    Attributes:
        results: trials that are answered from the ledger.
        fits: ladders that need no fit: their neural dataset is there, or all of their trials are.
    """

    phase: str
    cell: str
    results: int | None
    fits: int | None


def known(plan: StudyPlan, place: Place) -> list[Known]:
    """What is there of every cell, in the plan's order; changes nothing and makes no ledger."""
    try:
        ledger = Ledger.open(place.ledger, read_only=True, patience_s=5.0)
    except BadLedger:
        return [Known(cell.phase, cell.cell, 0, 0) for cell in plan.cells]
    with ledger:
        complete = {
            key
            for study in ledger.studies.all()
            for (_, key), (state, _) in ledger.trials.states(study.study).items()
            if state is TrialState.COMPLETE
        }
        own = {place: state for place, (state, _) in ledger.trials.states(plan.study).items()}
        failed = ledger.trials.page(plan.study, state=TrialState.FAILED, limit=None).rows
        again = [row for row in failed if is_to_do(row)]  # a run tries these anew
        own = {place: state for place, state in own.items() if place not in {(row.phase, row.key) for row in again}}
        searched = Counter(ledger.trials.counts(plan.study))
        searched.subtract(Counter((row.phase, row.cell, row.state) for row in again))
        found = []
        for cell in plan.cells:
            if cell.sampler.listed(plan.sampled(cell)) is None:
                ended = sum(n for (p, c, s), n in searched.items() if (p, c) == (cell.phase, cell.cell) and s in DONE)
                ended = min(ended, cell.planned)
                found.append(Known(cell.phase, cell.cell, ended, ended))
            else:
                found.append(_listed(plan, cell, place, complete=complete, own=own))
        return found


def _listed(plan: StudyPlan, cell: CellPlan, locations: Place, *, complete: set[str], own: States) -> Known:
    try:
        content = load_signals(cell.signals, sources=plan.signals).card.content_hash
    except BadInput:
        return Known(cell.phase, cell.cell, None, None)
    pinned = replace(cell, signals=cell.signals.model_copy(update={"content": content}))
    ladders: dict[str, set[int]] = {}
    results = 0
    for trial in listed_trials(plan, pinned) or ():
        answered = trial.key in complete or own.get((cell.phase, trial.key)) in DONE
        results += answered
        for need in plan.task(cell).needs(trial):
            ladders.setdefault(need.digest, set())
            if not answered:
                ladders[need.digest].add(need.rung)
    storage = Storage.at(locations.root)
    fits = sum(not left or _is_fitted(storage, digest, left) for digest, left in ladders.items())
    return Known(cell.phase, cell.cell, results, fits)


def _is_fitted(storage: Storage, digest: str, rungs: set[int]) -> bool:
    """Return whether a whole neural dataset holds every rung that is left to read."""
    path = manifest_path(digest)
    if storage.size(path) is None:
        return False
    try:
        manifest = Manifest.from_json(storage.read(path), where=storage.locate(path))
    except (BadInput, OSError):
        return False
    return rungs <= {record.steps for record in manifest.rungs}
