"""What went wrong in a study, by place and cause: trials that failed, attempts tried again, cells left alone."""

from nefstudy.ledger import Ledger
from nefstudy.service.models import Setback, StoppedCell

EXPORT = "export"  # the kind of event about the process that exports results


def setbacks(ledger: Ledger, study: str) -> list[Setback]:
    """Failed trials and repeated attempts of each phase, cell and cause."""
    failed, retried = ledger.trials.causes(study), ledger.trials.retries(study)
    return [
        Setback(phase=phase, cell=cell, cause=cause, failed=failed.get(place, 0), retried=retried.get(place, 0))
        for place in sorted({*failed, *retried})
        for phase, cell, cause in [place]
    ]


def stopped_cells(ledger: Ledger, study: str) -> list[StoppedCell]:
    """The cells whose rest is left alone, and why."""
    found = sorted(ledger.studies.stopped_cells(study).items())
    return [StoppedCell(phase=phase, cell=cell, reason=reason) for (phase, cell), reason in found]


def export_trouble(ledger: Ledger, study: str) -> str | None:
    """Return why a study's results are not exported to MLflow; None while the process that exports them runs."""
    event = ledger.events.last_of_kind(study, EXPORT)
    if event is None or event.data["state"] == "running":
        return None
    return f"{event.data['state']}, ended {event.data['ends']} times in a row ({event.data['why']})"
