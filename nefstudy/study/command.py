"""The command line of a study script: `if __name__ == "__main__": main(plan)` is all a script needs."""

import dataclasses
import json
import math
import os
from typing import Annotated

import typer
from rich.console import Console

from nefstudy.errors import BadConfig
from nefstudy.fitting.engines import ENGINES
from nefstudy.names import study_name
from nefstudy.study.cost import cost_summary, plan_cost
from nefstudy.study.device import measure_device
from nefstudy.study.judge import check_pruner
from nefstudy.study.options import MakePlan, StudyOptions
from nefstudy.study.place import ensure_home, resolve_place
from nefstudy.study.plan import StudyPlan
from nefstudy.study.retention import parse_keep
from nefstudy.study.stock import stock
from nefstudy.study.webhook import check_webhook
from nefstudy.terminal import Terminal, run_command

Study = Annotated[str | None, typer.Option(help="Name of the study; by default the scale's, or the script's own.")]
Root = Annotated[
    str | None,
    typer.Option(help="Directory or URI for neural datasets, ledger and MLflow (NEFSTUDY_ROOT, else ./runs)."),
]
LedgerUrl = Annotated[
    str | None, typer.Option(help="SQLAlchemy URL of the ledger (NEFSTUDY_LEDGER, else ROOT/ledger.db).")
]
Scale = Annotated[
    str,
    typer.Option(
        help="phase1.py, phase2.py: smoke (minutes on 2 cores), cpu (a night on 8) or paper (all 30,000 trials)."
    ),
]
Cells = Annotated[str | None, typer.Option(help="Only these cells, as signals/field,...: mnist5k/siren,mnist5k/mfn.")]
Data = Annotated[
    list[str] | None,
    typer.Option(help="Where data lies, NAME=PATH (or NAME.OPTION=VALUE): mnist=/data/mnist; can be repeated."),
]
Trials = Annotated[int | None, typer.Option(min=1, help="Phase 1: TPE trials of each cell.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the whole study.")]
Replicates = Annotated[int, typer.Option(min=1, help="Phase 2: independent seeds of each grid point.")]
Workers = Annotated[
    int,
    typer.Option(
        min=0, help="Ray Train workers of a trial; 0 runs it in the Tune actor (best when a device fits one)."
    ),
]
Concurrency = Annotated[int | None, typer.Option(min=1, help="At most this many trials at once; else what fits.")]
Gpus = Annotated[
    float | None,
    typer.Option(min=0, help="GPUs of a trial or worker: 0.25 puts four on one; else as measured memory allows."),
]
Spread = Annotated[bool, typer.Option("--spread", help="Workers of a trial on as many nodes as there are.")]
Classifier = Annotated[str | None, typer.Option(help="Classifier that reads the weights; the default is gnn-sign.")]
Engine = Annotated[str, typer.Option(help="Fitting engine: auto picks one.")]
MaxEqualFailures = Annotated[
    int, typer.Option(min=1, help="Stop the study once so many trials failed with the same kind of message.")
]
BudgetHours = Annotated[
    float | None,
    typer.Option(
        min=0, help="Refuse a plan, or a trial enqueued later, whose estimate exceeds this many device-hours."
    ),
]
MaxTrialHours = Annotated[
    float | None,
    typer.Option(help="End a trial that runs longer than this many hours as failed (timeout); no limit else."),
]
FromPhase1 = Annotated[
    bool, typer.Option("--from-phase1", help="phase2.py: the grid that `nefstudy handover` wrote, not Table 3.")
]
PrunerName = Annotated[
    str,
    typer.Option(
        "--pruner",
        help="End a search's weak trials early, by their classifier's epochs: none, asha (only the best third goes on "
        "at a ninth and a third of the epochs) or median (who is below it, after a fifth). Never a grid's. They count "
        "against --trials.",
    ),
]
Keep = Annotated[
    str,
    typer.Option(
        help="Neural datasets to keep once no trial needs them: all, best:N (of the N best trials of each phase and "
        "cell) or none. Dropped ones can be computed again."
    ),
]
MinFreeGb = Annotated[
    float,
    typer.Option(
        "--min-free-gb", min=0, help="Stop, to be continued, before less than this is free at root or ledger."
    ),
]
WebhookUrl = Annotated[
    str | None,
    typer.Option(
        "--webhook",
        envvar="NEFSTUDY_WEBHOOK",
        show_envvar=False,
        help="Post what came of it to this http(s) address when the study ends or stops (NEFSTUDY_WEBHOOK); signed "
        "with NEFSTUDY_WEBHOOK_SECRET.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print trials, fits, field-steps and an estimate; run nothing.")
]
Json = Annotated[bool, typer.Option("--json", help="Print plain JSON instead of tables.")]


def study_app(make_plan: MakePlan, *, about: str) -> typer.Typer:
    """The command line of one study script."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

    @app.command(help=about)
    def run(  # noqa: PLR0917  # typer calls it by keyword
        study: Study = None,
        root: Root = None,
        ledger: LedgerUrl = None,
        scale: Scale = "cpu",
        cells: Cells = None,
        data: Data = None,
        trials: Trials = None,
        seed: Seed = 0,
        replicates: Replicates = 1,
        workers: Workers = 0,
        concurrency: Concurrency = None,
        gpus: Gpus = None,
        spread: Spread = False,
        classifier: Classifier = None,
        engine: Engine = "auto",
        from_phase1: FromPhase1 = False,
        max_equal_failures: MaxEqualFailures = 5,
        budget_hours: BudgetHours = None,
        max_trial_hours: MaxTrialHours = None,
        pruner: PrunerName = "none",
        keep: Keep = "all",
        min_free_gb: MinFreeGb = 1.0,
        webhook: WebhookUrl = None,
        dry_run: DryRun = False,
        as_json: Json = False,
    ) -> None:
        given = locals()
        chosen = None if cells is None else tuple(cell.strip() for cell in cells.split(",") if cell.strip())
        names = {field.name for field in dataclasses.fields(StudyOptions)}
        said = {"cells": chosen, "data": tuple(data or ()), "json": as_json}
        options = StudyOptions(**{k: v for k, v in given.items() if k in names} | said)
        execute(make_plan, options)

    return app


def main(make_plan: MakePlan, *, about: str, arguments: list[str] | None = None) -> None:
    """Run a study script's command line; errors become one line and an exit code."""
    run_command(lambda: study_app(make_plan, about=about)(args=arguments, standalone_mode=False))


def execute(make_plan: MakePlan, options: StudyOptions) -> None:
    """Plan, and run or only show what would be run."""
    if options.engine not in ("auto", *ENGINES):
        raise BadConfig(f"unknown engine {options.engine!r}: allowed are auto, {', '.join(ENGINES)}; correct --engine")
    if options.study is not None:
        study_name(options.study)
    check_webhook(options.webhook)
    if options.max_trial_hours is not None and not 0 < options.max_trial_hours < math.inf:
        raise BadConfig(f"--max-trial-hours {options.max_trial_hours}: give a number of hours above 0, or leave it out")
    best = parse_keep(options.keep)
    plan = make_plan(options)
    check_pruner(options.pruner, plan, workers=options.workers)
    console = Terminal()
    if options.dry_run or options.budget_hours is not None:
        engine = options.engine
        summary = cost_summary(plan_cost(plan, engine=engine), measure_device(engine=engine), engine=engine)
        if options.dry_run:
            place = resolve_place(options.root, options.ledger, environment=os.environ)
            summary |= stock(plan, place, best=best)
            show_cost(plan, summary, console=console, as_json=options.json)
            return
        if summary["total"]["device_hours"]["mid"] > (options.budget_hours or 0.0):
            raise BadConfig(
                f"the plan needs about {summary['total']['device_hours']['mid']:.1f} device-hours, more than "
                f"--budget-hours {options.budget_hours:g}; raise it, or plan fewer trials"
            )
    ensure_home(os.environ)
    from nefstudy.study.session import run_study

    place = resolve_place(options.root, options.ledger, environment=os.environ)
    ending = run_study(plan, options, place=place, console=console)
    if options.json:
        console.print_json(json.dumps(dataclasses.asdict(ending)))


def show_cost(plan: StudyPlan, summary: dict[str, object], *, console: Console, as_json: bool) -> None:
    """Print what a plan costs, as a table or as JSON."""
    from nefstudy.study.cost_table import cost_table
    from nefstudy.study.stock import stock_table

    if as_json:
        console.file.write(json.dumps(summary, indent=2) + "\n")
    else:
        console.print(cost_table(plan.study, summary))
        console.print(stock_table(summary))
