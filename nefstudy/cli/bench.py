"""`nefstudy bench ...`: measure on this machine what a study's cost is made of."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.progress import Progress

from nefstudy.cli.door import Json, echo_json
from nefstudy.errors import BadConfig
from nefstudy.terminal import Terminal

bench = typer.Typer(no_args_is_help=True, help="Measure on this machine what a study's cost is made of.")


@bench.command("classify")
def bench_classifiers(  # noqa: PLR0917  # typer calls it by keyword
    classifier: Annotated[list[str] | None, typer.Option(help="Only this one; may be repeated.")] = None,
    field: Annotated[str, typer.Option(help="Whose weights are read.")] = "siren",
    hidden: Annotated[int, typer.Option(help="Hidden units of the field.")] = 32,
    batch: Annotated[int, typer.Option(min=1, help="Fields in a batch.")] = 32,
    seconds: Annotated[float, typer.Option(min=0, help="CPU seconds for each row; one batch at least.")] = 1.5,
    as_json: Json = False,
) -> None:
    """Fields a second each classifier reads, forward and backward, on one thread; about a minute in all."""
    from nefstudy.bench.classify import bench_classify, classify_json, classify_table, workload

    work = workload(field, hidden=hidden, batch=batch, seconds=seconds)
    rows = bench_classify(work, classifier)
    echo_json(classify_json(rows)) if as_json else Terminal().print(classify_table(rows, work))


@bench.command("fit")
def bench_fits(  # noqa: PLR0917  # typer calls it by keyword
    field: Annotated[list[str] | None, typer.Option(help="Only this one; may be repeated.")] = None,
    hidden: Annotated[int | None, typer.Option(min=1, help="Hidden units, instead of each case's own.")] = None,
    image: Annotated[str | None, typer.Option(help="Size, instead of each case's own: 28x28x1, 32x32x3.")] = None,
    engine: Annotated[list[str] | None, typer.Option(help="Only this one; may be repeated.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads to compute with.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the fit whose PSNR is given.")] = 200,
    rounds: Annotated[int, typer.Option(min=1, help="Turns each engine takes; more smooth out a busy machine.")] = 12,
    targets: Annotated[
        bool, typer.Option("--targets", help="The four cases with a target, by compiled, and whether it is met.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Steps of fits a second by each engine, beside a plain torch fit; two or three minutes, compiling included."""
    from nefstudy.bench.fit import Effort, bench_fit, cases
    from nefstudy.bench.fit_rows import fit_json, fit_table, target_table

    wanted = cases() if targets else cases(fields=field, hidden=hidden, image=image, threads=threads)
    engines = ["compiled"] if targets else engine
    rows = bench_fit(wanted, engines=engines, effort=Effort(steps=steps, rounds=rounds))
    if as_json:
        echo_json(fit_json(rows))
        return
    Terminal().print(fit_table(rows))
    if targets:
        Terminal().print(target_table(rows))


@bench.command("auto")
def bench_choices(
    cases: Annotated[int | None, typer.Option(min=1, help="Only the first so many fields.")] = None,
    as_json: Json = False,
) -> None:
    """What `auto` loses against the best engine, over fields, counts and steps; some minutes, compiling included."""
    from nefstudy.bench.auto import CASES, auto_json, auto_table, bench_auto

    rows = bench_auto(cases=CASES[:cases])
    echo_json(auto_json(rows)) if as_json else Terminal().print(auto_table(rows))


@bench.command("study")
def bench_studies(  # noqa: PLR0917  # typer calls it by keyword
    trials: Annotated[int, typer.Option(min=24, help="Trials that do nothing, over twelve cells.")] = 30_000,
    sampler: Annotated[str, typer.Option(help="grid, or tpe: what hands the trials out.")] = "grid",
    concurrency: Annotated[int | None, typer.Option(min=1, help="At most this many at once; else what fits.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the study at --root with more trials.")] = False,
    more: Annotated[int, typer.Option(min=1, help="How many more, in a cell of their own.")] = 24,
    root: Annotated[str | None, typer.Option(help="Keep the study here; else it goes away with the figures.")] = None,
    as_json: Json = False,
) -> None:
    """What a study costs besides its science: trials that do nothing, through Tune, ledger and MLflow."""
    from nefstudy.bench.study import Load, bench_place, bench_study, study_json, study_table

    if sampler not in ("grid", "tpe"):
        raise BadConfig(f"sampler {sampler!r}: allowed are grid and tpe; correct --sampler")
    if resume and root is None:
        raise BadConfig("--resume continues a study that is there; name its place with --root")
    load = Load(trials, "tpe" if sampler == "tpe" else "grid", concurrency, more=more if resume else 0)
    with bench_place(root) as place:
        found = bench_study(load, place=place, console=Terminal(stderr=True))
    echo_json(study_json(found)) if as_json else Terminal().print(study_table(found))


@bench.command("service")
def bench_status_service(
    trials: Annotated[int, typer.Option(min=200, help="Trials in its ledger.")] = 30_000,
    root: Annotated[
        Path | None, typer.Option(help="Keep the ledger here and use it again; else it is made anew and thrown away.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.5, help="Seconds of each of six loads.")] = 10.0,
    as_json: Json = False,
) -> None:
    """Answers of the status service under load beside their targets; making 30,000 trials takes minutes more."""
    from nefstudy.bench.large_study import size_of_large_study, write_large_study
    from nefstudy.bench.service import bench_service, service_json, service_table

    console = Terminal(stderr=True)
    with TemporaryDirectory() as thrown_away, Progress(console=console, disable=not console.is_terminal) as shown:
        path = (root or Path(thrown_away)) / "large-study.db"
        if size_of_large_study(path) < trials:
            writing = shown.add_task("writing trials", total=trials)
            path.unlink(missing_ok=True)
            write_large_study(path, trials=trials, progress=lambda done: shown.update(writing, completed=done))
        asking = shown.add_task("asking", total=None)
        row = bench_service(path, seconds=seconds)
        shown.update(asking, total=1, completed=1)
    echo_json(service_json(row)) if as_json else Terminal().print(service_table(row))
