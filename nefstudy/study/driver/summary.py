"""The summary at the end of a run: results table, ladder figure, failures and suggested next commands."""

import sys
from collections import Counter
from pathlib import Path

from rich.console import Console

from nefstudy.errors import StudyStopped
from nefstudy.insight.catalog import Options, figure, table
from nefstudy.insight.study_data import StudyData
from nefstudy.ledger import Ledger, TrialState
from nefstudy.paths import report_path
from nefstudy.report.content import MAX_DOTS
from nefstudy.report.figures import draw, save
from nefstudy.report.tables import terminal
from nefstudy.study.driver.run import StudyRun
from nefstudy.study.locations import Locations
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.terminal import command_line


def print_summary(ledger: Ledger, plan: StudyPlan, state: str, *, locations: Locations, console: Console) -> None:
    """Print the results by initialization, save the ladder figure, and suggest next commands."""
    phase = plan.phases[-1]
    source = StudyData(ledger, plan.study)
    results = table(source, "initialization", Options(phase=phase))
    ladders = figure(source, "ladders", Options(phase=phase, limit=MAX_DOTS))
    if results.rows:
        console.print(terminal(results))
    if ladders.of and locations.local:
        picture = Path(locations.root) / report_path(plan.study) / "ladders.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        save(draw(ladders), picture)
        console.print(f"{ladders.title}: {picture}", soft_wrap=True)
    for (where, cell, cause), count in sorted(ledger.trials.causes(plan.study).items()):
        console.print(f"{count} failed trials ({cause}) in {where} {cell}", style="yellow", highlight=False)
    for planned_cell in plan.cells:
        budget = planned_cell.sampler.describe().get("trials")
        if isinstance(budget, int) and planned_cell.planned < budget:
            short = f"{planned_cell.planned} of {budget}: the space has only {planned_cell.planned} points"
            console.print(
                f"{planned_cell.phase} {planned_cell.cell}: {short}", style="yellow", highlight=False, markup=False
            )
    counts = ledger.trials.counts(plan.study)
    complete = sum(n for (_, _, s), n in counts.items() if s is TrialState.COMPLETE)
    pruned = sum(n for (_, _, s), n in counts.items() if s is TrialState.PRUNED)
    planned = sum(ledger.studies.planned(plan.study).values())
    also = f", {pruned} pruned" if pruned else ""
    console.rule(f"study {plan.study} {state}: {complete}/{planned} trials complete{also}")
    for line in _next_steps(plan, locations):
        console.print(line, soft_wrap=True, highlight=False)


def _next_steps(plan: StudyPlan, locations: Locations) -> tuple[str, ...]:
    """Return suggested commands; a ledger URL that may hold a password is replaced by its environment variable."""
    nefstudy, mlflow = (str(Path(sys.executable).with_name(name)) for name in ("nefstudy", "mlflow"))
    where = ["--root", locations.root] + ([] if locations.local else ["--ledger", "$NEFSTUDY_LEDGER"])
    store = locations.mlflow if locations.mlflow.startswith("sqlite") else "$MLFLOW_TRACKING_URI"
    serve = command_line(nefstudy, "serve", *where)
    server = command_line(mlflow, "server", "--backend-store-uri", store, "--port", "5000")
    return (
        f"status page  {serve}   then open http://127.0.0.1:8000/",
        f"MLflow       {server}   then open http://127.0.0.1:5000/",
        f"both         {command_line('make', 'serve', 'ROOT=' + locations.root.replace('$', '$$'))}",
        f"report       {command_line(nefstudy, 'report', plan.study, *where)}",
        "Run the same command again to continue; finished trials are not repeated.",
    )


def check_complete(run: StudyRun) -> None:
    """Raise StudyStopped if the study ended without a complete trial in the plan's cells."""
    counts = run.ledger.trials.counts(run.plan.study)
    if not any(state is TrialState.COMPLETE and (phase, cell) in run.plan.planned() for phase, cell, state in counts):
        causes = Counter[str]()
        for (_, _, cause), number in run.ledger.trials.causes(run.plan.study).items():
            causes[cause] += number
        failed = ", ".join(f"{number} failed ({cause})" for cause, number in causes.most_common()) or "none failed"
        raise StudyStopped(
            f"study {run.plan.study!r} ended with no complete trial: {failed}; find the cause with `nefstudy status` "
            "and `nefstudy logs KEY`, fix it, then `nefstudy retry` and the same command again"
        )


def check_stopped(run: StudyRun, *, is_finished: bool) -> None:
    """Raise StudyStopped if the study was aborted, cells were stopped, or the ledger lacks outcomes of trials."""
    next_step = "fix that, then run the same command again"
    if run.abort_reason is not None:
        raise StudyStopped(
            f"study {run.plan.study!r} stopped: {run.abort_reason}; {next_step} (nefstudy retry queues failed trials, "
            "--max-equal-failures allows more)"
        )
    if run.stopped_cells:
        cells = "; ".join(f"{phase} {cell} ({reason})" for (phase, cell), reason in run.stopped_cells.items())
        raise StudyStopped(f"study {run.plan.study!r} skipped cells: {cells}; {next_step}")
    if run.exhausted and not run.in_flight and not is_finished:
        raise StudyStopped(
            f"study {run.plan.study!r} stopped: its ledger lacks the outcome of some trials that have ended; "
            "check the ledger, then run the same command again"
        )
