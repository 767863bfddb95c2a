"""The closing words of a run: what was found, in a table and a picture, and how to look at it."""

import sys
from pathlib import Path

from rich.console import Console

from nefstudy.insight.catalog import Options, figure, table
from nefstudy.insight.reading import Source
from nefstudy.ledger import Ledger, TrialState
from nefstudy.paths import report_path
from nefstudy.report.content import MOST_DOTS
from nefstudy.report.figures import draw, save
from nefstudy.report.tables import terminal
from nefstudy.study.place import Place
from nefstudy.study.plan import StudyPlan
from nefstudy.terminal import command_line


def say_closing(ledger: Ledger, plan: StudyPlan, state: str, *, place: Place, console: Console) -> None:
    """Print the table by initialization, draw the ladders, and name the commands that show more."""
    phase = plan.phases[-1]
    source = Source(ledger, plan.study)
    results = table(source, "initialization", Options(phase=phase))
    climbs = figure(source, "ladders", Options(phase=phase, limit=MOST_DOTS))
    if results.rows:
        console.print(terminal(results))
    if climbs.of and place.local:
        picture = Path(place.root) / report_path(plan.study) / "ladders.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        save(draw(climbs), picture)
        console.print(f"{climbs.title}: {picture}", soft_wrap=True)
    for (where, cell, cause), count in sorted(ledger.trials.causes(plan.study).items()):
        console.print(f"{count} failed trials ({cause}) in {where} {cell}", style="yellow", highlight=False)
    for own in plan.cells:
        budget = own.sampler.describe().get("trials")
        if isinstance(budget, int) and own.planned < budget:
            short = f"{own.planned} of {budget}: the space holds {own.planned} points"
            console.print(f"{own.phase} {own.cell}: {short}", style="yellow", highlight=False, markup=False)
    counts = ledger.trials.counts(plan.study)
    complete = sum(n for (_, _, s), n in counts.items() if s is TrialState.COMPLETE)
    pruned = sum(n for (_, _, s), n in counts.items() if s is TrialState.PRUNED)
    planned = sum(ledger.studies.planned(plan.study).values())
    also = f", {pruned} pruned" if pruned else ""
    console.rule(f"study {plan.study} {state}: {complete}/{planned} trials complete{also}")
    for line in _next_steps(plan, place):
        console.print(line, soft_wrap=True, highlight=False)


def _next_steps(plan: StudyPlan, place: Place) -> tuple[str, ...]:
    """Commands to type as they stand; a ledger's URL may hold a password, so it is named by its variable."""
    nefstudy, mlflow = (str(Path(sys.executable).with_name(name)) for name in ("nefstudy", "mlflow"))
    where = ["--root", place.root] + ([] if place.local else ["--ledger", "$NEFSTUDY_LEDGER"])
    store = place.mlflow if place.mlflow.startswith("sqlite") else "$MLFLOW_TRACKING_URI"
    serve = command_line(nefstudy, "serve", *where)
    server = command_line(mlflow, "server", "--backend-store-uri", store, "--port", "5000")
    return (
        f"status page  {serve}   then open http://127.0.0.1:8000/",
        f"MLflow       {server}   then open http://127.0.0.1:5000/",
        f"both         {command_line('make', 'serve', 'ROOT=' + place.root.replace('$', '$$'))}",
        f"report       {command_line(nefstudy, 'report', plan.study, *where)}",
        "Run the same command again: it goes on where it stopped, and does nothing twice.",
    )
