"""The command line of a study script. A script only calls `main(plan, about=...)`."""

import dataclasses
import json
import math
import os
from inspect import Parameter, Signature
from typing import Annotated, Any, get_args, get_type_hints

import typer
from rich.console import Console

from nefstudy.errors import BadConfig
from nefstudy.fitting.engines.catalog import ENGINES
from nefstudy.names import study_name
from nefstudy.study.driver.pruning import check_pruner
from nefstudy.study.estimate.cost import cost_summary, plan_cost
from nefstudy.study.estimate.device_speed import measure_device
from nefstudy.study.estimate.existing import existing_summary
from nefstudy.study.exchange.webhook import check_webhook
from nefstudy.study.locations import ensure_home, resolve_locations
from nefstudy.study.options import MakePlan, StudyOptions
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.study.retention import parse_keep
from nefstudy.terminal import Terminal, run_command

FLAG_TYPES: dict[str, object] = {"cells": str | None, "data": list[str] | None}
"""Types of the flags whose type differs from the type of their option."""


def study_app(make_plan: MakePlan, *, about: str) -> typer.Typer:
    """Return the command line of a study script, built from the fields of `StudyOptions`."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

    def run(**values: Any) -> None:
        cells = values["cells"]
        chosen = None if cells is None else tuple(cell.strip() for cell in cells.split(",") if cell.strip())
        execute(make_plan, StudyOptions(**values | {"cells": chosen, "data": tuple(values["data"] or ())}))

    run.__signature__ = Signature(flags())  # type: ignore[attr-defined]  # typer reads it
    run.__annotations__ = {flag.name: flag.annotation for flag in flags()}
    app.command(help=about)(run)
    return app


def flags() -> list[Parameter]:
    """Return the flags of a study script as `inspect` parameters, from which the command line is built."""
    hints = get_type_hints(StudyOptions, include_extras=True)
    parameters = []
    for option in dataclasses.fields(StudyOptions):
        kind, *marks = get_args(hints[option.name])
        annotation = Annotated[(FLAG_TYPES.get(option.name, kind), *marks)]  # type: ignore[valid-type]
        default = None if option.name in FLAG_TYPES else option.default
        parameters.append(Parameter(option.name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation))
    return parameters


def main(make_plan: MakePlan, *, about: str, arguments: list[str] | None = None, program: str | None = None) -> None:
    """Run the command line of a study script; print an error as one line and exit with its exit code.

    Args:
        program: the command that the usage line shows; by default the one that Python was started with.
    """
    app = study_app(make_plan, about=about)
    run_command(lambda: app(args=arguments, prog_name=program, standalone_mode=False))


def execute(make_plan: MakePlan, options: StudyOptions) -> None:
    """Build the plan, check it against the options, and run it or print its estimate."""
    if options.engine not in ("auto", *ENGINES):
        raise BadConfig(f"unknown engine {options.engine!r}: allowed are auto, {', '.join(ENGINES)}; correct --engine")
    if options.study is not None:
        study_name(options.study)
    check_webhook(options.webhook)
    if options.max_trial_hours is not None and not 0 < options.max_trial_hours < math.inf:
        raise BadConfig(f"--max-trial-hours {options.max_trial_hours}: pass a number of hours above 0, or leave it out")
    best = parse_keep(options.keep)
    plan = make_plan(options)
    check_pruner(options.pruner, plan, workers=options.workers)
    ensure_home(os.environ)
    locations = resolve_locations(options.root, options.ledger, environment=os.environ)
    console = Terminal()
    if options.dry_run or options.budget_hours is not None:
        engine = options.engine
        summary = cost_summary(plan_cost(plan, engine=engine), measure_device(engine=engine), engine=engine)
        if options.dry_run:
            summary |= existing_summary(plan, locations, best=best)
            show_cost(plan, summary, console=console, as_json=options.json)
            return
        if summary["total"]["device_hours"]["mid"] > (options.budget_hours or 0.0):
            raise BadConfig(
                f"the plan needs about {summary['total']['device_hours']['mid']:.1f} device-hours, more than "
                f"--budget-hours {options.budget_hours:g}; raise the limit or plan fewer trials"
            )
    from nefstudy.study.driver.session import run_study

    ending = run_study(plan, options, locations=locations, console=console)
    if options.json:
        console.print_json(json.dumps(dataclasses.asdict(ending)))


def show_cost(plan: StudyPlan, summary: dict[str, object], *, console: Console, as_json: bool) -> None:
    """Print the cost estimate of a plan as tables or JSON."""
    from nefstudy.study.estimate.cost_table import cost_table
    from nefstudy.study.estimate.existing import existing_table

    if as_json:
        console.file.write(json.dumps(summary, indent=2) + "\n")
    else:
        console.print(cost_table(plan.study, summary))
        console.print(existing_table(summary))
