"""The studies as Prometheus gauges, in the text format, computed anew at each scrape."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from fastapi import APIRouter, Response

from nefstudy.errors import NoLedger
from nefstudy.insight.progress import progress
from nefstudy.ledger import Ledger, TrialState
from nefstudy.service.answers import LedgerIn

router = APIRouter(tags=["health"])

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

HELP = {
    "nefstudy_trials_planned": "Trials planned.",
    "nefstudy_trials": "Trials by state.",
    "nefstudy_fits_remaining": "Remaining trials that will cost a fit, as far as ended trials show.",
    "nefstudy_best_score": "Objective of the best complete trial, by the name of the metric.",
    "nefstudy_best_test_score": "Test counterpart of the objective, of the same trial.",
    "nefstudy_failures": "Failed trials by cause.",
    "nefstudy_trials_per_minute": "Trials ended a minute, of late.",
    "nefstudy_eta_seconds": "Estimated time until the study is complete.",
    "nefstudy_driver_alive": "1 while a driver holds the study.",
    "nefstudy_field_steps": "Optimizer steps of fields in complete trials.",
    "nefstudy_fit_seconds": "Seconds spent on fitting in complete trials.",
    "nefstudy_classify_seconds": "Seconds spent on classifiers in complete trials.",
    "nefstudy_outbox": "Results not yet exported to MLflow.",
}
COSTS = ("field_steps", "fit_seconds", "classify_seconds")

Sample = tuple[str, Mapping[str, str], int | float]


@router.get("/metrics", response_class=Response)
def get_metrics(ledger: LedgerIn) -> Response:
    """Every study's gauges for Prometheus; none before the first study starts."""
    samples: list[Sample] = []
    with suppress(NoLedger):
        samples.append(("nefstudy_outbox", {}, ledger.outbox.size()))
        for row in ledger.studies.all():
            samples += _samples(ledger, row.study)
    return Response(exposition(samples), media_type=MEDIA_TYPE)


def exposition(samples: Iterable[Sample]) -> str:
    """The samples in Prometheus's text format, grouped by name."""
    lines: dict[str, list[str]] = {name: [] for name in HELP}
    for name, labels, value in samples:
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines[name].append(f"{name}{{{inside}}} {value}" if inside else f"{name} {value}")
    parts = [[f"# HELP {name} {HELP[name]}", f"# TYPE {name} gauge", *rows] for name, rows in lines.items() if rows]
    return "\n".join(line for part in parts for line in part) + "\n"


def _samples(ledger: Ledger, study: str) -> Iterator[Sample]:
    found = progress(ledger, study)
    whole = {"study": study}
    yield "nefstudy_driver_alive", whole, int(found.alive)
    if found.per_minute is not None:
        yield "nefstudy_trials_per_minute", whole, found.per_minute
    if found.eta_s is not None:
        yield "nefstudy_eta_seconds", whole, found.eta_s
    for phase in found.phases:
        for cell in phase.cells:
            labels = {**whole, "phase": phase.phase, "cell": cell.cell}
            yield "nefstudy_trials_planned", labels, cell.planned
            for state in TrialState:
                yield "nefstudy_trials", {**labels, "state": state.lower()}, getattr(cell, state.lower())
            yield "nefstudy_fits_remaining", labels, cell.remaining_fits
            if cell.best is not None and cell.best.score is not None:
                yield "nefstudy_best_score", {**labels, "objective": cell.best.objective}, cell.best.score
            if cell.best is not None and cell.best.reported is not None:
                yield "nefstudy_best_test_score", {**labels, "objective": cell.best.objective}, cell.best.reported
    for (phase_name, cell_name, cause), count in ledger.trials.causes(study).items():
        yield "nefstudy_failures", {**whole, "phase": phase_name, "cell": cell_name, "cause": cause}, count
    for (phase_name, cell_name, name), total in ledger.trials.totals(study, COSTS).items():
        yield f"nefstudy_{name}", {**whole, "phase": phase_name, "cell": cell_name}, total


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
