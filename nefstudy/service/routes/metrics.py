"""Prometheus gauges of all studies in the text format, computed at each scrape."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from fastapi import APIRouter, Response

from nefstudy.errors import NoLedger
from nefstudy.insight.progress import progress
from nefstudy.ledger import Ledger, TrialState
from nefstudy.service.responses import LedgerIn

router = APIRouter(tags=["health"])

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

HELP = {
    "nefstudy_trials_planned": "Trials planned.",
    "nefstudy_trials": "Trials by state.",
    "nefstudy_fits_remaining": "Remaining trials that need a new fit, estimated from finished trials.",
    "nefstudy_best_score": "Score of the best complete trial, labeled with the objective's metric.",
    "nefstudy_best_test_score": "Test score of that best trial.",
    "nefstudy_failures": "Failed trials by cause.",
    "nefstudy_trials_per_minute": "Recent rate of finished trials, per minute.",
    "nefstudy_eta_seconds": "Estimated time until the study is complete, in seconds.",
    "nefstudy_driver_alive": "1 while a driver holds the study's lease, else 0.",
    "nefstudy_field_steps": "Optimizer steps times fields, over complete trials.",
    "nefstudy_fit_seconds": "Seconds spent on fitting, over complete trials.",
    "nefstudy_classify_seconds": "Seconds spent on classifiers, over complete trials.",
    "nefstudy_outbox": "Results not yet exported to MLflow.",
}
COSTS = ("field_steps", "fit_seconds", "classify_seconds")

Sample = tuple[str, Mapping[str, str], int | float]


@router.get("/metrics", response_class=Response)
def get_metrics(ledger: LedgerIn) -> Response:
    """Return the gauges of all studies for Prometheus, or an empty response if there is no ledger yet."""
    samples: list[Sample] = []
    with suppress(NoLedger):
        samples.append(("nefstudy_outbox", {}, ledger.outbox.size()))
        for row in ledger.studies.all():
            samples += _samples(ledger, row.study)
    return Response(exposition(samples), media_type=MEDIA_TYPE)


def exposition(samples: Iterable[Sample]) -> str:
    """Return the samples in Prometheus's text format, grouped by name."""
    lines: dict[str, list[str]] = {name: [] for name in HELP}
    for name, labels, value in samples:
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines[name].append(f"{name}{{{inside}}} {value}" if inside else f"{name} {value}")
    parts = [[f"# HELP {name} {HELP[name]}", f"# TYPE {name} gauge", *rows] for name, rows in lines.items() if rows]
    return "\n".join(line for part in parts for line in part) + "\n"


def _samples(ledger: Ledger, study: str) -> Iterator[Sample]:
    study_progress = progress(ledger, study)
    study_labels = {"study": study}
    yield "nefstudy_driver_alive", study_labels, int(study_progress.alive)
    if study_progress.per_minute is not None:
        yield "nefstudy_trials_per_minute", study_labels, study_progress.per_minute
    if study_progress.eta_s is not None:
        yield "nefstudy_eta_seconds", study_labels, study_progress.eta_s
    for phase in study_progress.phases:
        for cell in phase.cells:
            labels = {**study_labels, "phase": phase.phase, "cell": cell.cell}
            yield "nefstudy_trials_planned", labels, cell.planned
            for state in TrialState:
                yield "nefstudy_trials", {**labels, "state": state.lower()}, getattr(cell, state.lower())
            yield "nefstudy_fits_remaining", labels, cell.remaining_fits
            if cell.best is not None and cell.best.score is not None:
                yield "nefstudy_best_score", {**labels, "objective": cell.best.objective}, cell.best.score
            if cell.best is not None and cell.best.reported is not None:
                yield "nefstudy_best_test_score", {**labels, "objective": cell.best.objective}, cell.best.reported
    for (phase_name, cell_name, cause), count in ledger.trials.causes(study).items():
        yield "nefstudy_failures", {**study_labels, "phase": phase_name, "cell": cell_name, "cause": cause}, count
    for (phase_name, cell_name, name), total in ledger.trials.totals(study, COSTS).items():
        yield f"nefstudy_{name}", {**study_labels, "phase": phase_name, "cell": cell_name}, total


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
