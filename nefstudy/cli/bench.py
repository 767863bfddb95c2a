"""`nefstudy bench ...`: measure what a study costs on this machine."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.progress import Progress

from nefstudy.cli.options import echo_json
from nefstudy.errors import BadConfig
from nefstudy.flags import Json
from nefstudy.terminal import Terminal, say

bench = typer.Typer(no_args_is_help=True, help="Benchmark the parts of a study's cost on this machine.")


@bench.command("classify")
def bench_classifiers(  # noqa: PLR0917  # typer calls it by keyword
    classifier: Annotated[
        list[str] | None,
        typer.Option(
            help="Measure only this one: mlp, gnn, gnn-thin, gnn-sign, transformer, dws, gnn-published or "
            "transformer-published; can be repeated."
        ),
    ] = None,
    field: Annotated[str, typer.Option(help="Field whose weights are classified.")] = "siren",
    hidden: Annotated[int, typer.Option(help="Hidden units of the field.")] = 32,
    batch: Annotated[int, typer.Option(min=1, help="Fields in a batch.")] = 32,
    seconds: Annotated[float, typer.Option(min=0, help="CPU seconds for each row; one batch at least.")] = 1.5,
    as_json: Json = False,
) -> None:
    """Measure each classifier's fields per second, forward and backward, on one thread; takes about a minute."""
    from nefstudy.bench.classify import bench_classify, classify_json, classify_table, workload

    work = workload(field, hidden=hidden, batch=batch, seconds=seconds)
    rows = bench_classify(work, classifier)
    echo_json(classify_json(rows)) if as_json else Terminal().print(classify_table(rows, work))


@bench.command("fit")
def bench_fits(  # noqa: PLR0917  # typer calls it by keyword
    field: Annotated[list[str] | None, typer.Option(help="Measure only this one; can be repeated.")] = None,
    hidden: Annotated[int | None, typer.Option(min=1, help="Hidden units, instead of each case's own.")] = None,
    image: Annotated[str | None, typer.Option(help="Size, instead of each case's own: 28x28x1, 32x32x3.")] = None,
    engine: Annotated[
        list[str] | None, typer.Option(help="Measure only this one: eager, compiled, native or fused; can be repeated.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads to compute with.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the fit whose PSNR is reported.")] = 200,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds per engine; use more on a busy machine.")] = 12,
    as_json: Json = False,
) -> None:
    """Measure fitting steps per second for each engine and for plain torch; takes 2 to 3 minutes with compilation."""
    from nefstudy.bench.fit import Effort, bench_fit, cases
    from nefstudy.bench.fit_rows import fit_json, fit_table

    wanted = cases(fields=field, hidden=hidden, image=image, threads=threads)
    rows = bench_fit(wanted, engines=engine, effort=Effort(steps=steps, rounds=rounds))
    echo_json(fit_json(rows)) if as_json else Terminal().print(fit_table(rows))


@bench.command("auto")
def bench_choices(
    cases: Annotated[int | None, typer.Option(min=1, help="Measure only the first N fields.")] = None,
    as_json: Json = False,
) -> None:
    """Measure how much slower `auto` is than the best engine, across fields, counts and steps; takes minutes."""
    from nefstudy.bench.auto import CASES, auto_json, auto_table, bench_auto

    rows = bench_auto(cases=CASES[:cases])
    echo_json(auto_json(rows)) if as_json else Terminal().print(auto_table(rows))


@bench.command("gpu")
def bench_device(
    out: Annotated[Path, typer.Option(help="Folder of the two files, gpu-bench.json and gpu-bench.md.")] = Path(
        "gpu-bench"
    ),
    quick: Annotated[bool, typer.Option("--quick", help="Take fewer steps and signals.")] = False,
    as_json: Json = False,
) -> None:
    """Check and measure the fused engine, the classifier and one trial of each field on a GPU; takes minutes.

    Ends with exit code 1 if a check of correctness failed.
    """
    from nefstudy.bench.gpu.rows import QUICK, GpuSizes
    from nefstudy.bench.gpu.run import bench_gpu, gpu_json, gpu_table, require_device

    require_device()
    console = Terminal(stderr=True)
    found = bench_gpu(
        QUICK if quick else GpuSizes(),
        str(out),
        on_row=lambda row: console.print(f"{row.part} {row.case}: {row.outcome} {row.reason}", highlight=False),
    )
    if as_json:
        echo_json(gpu_json(found))
    else:
        Terminal().print(gpu_table(found))
        say(f"{out / 'gpu-bench.json'}\n{out / 'gpu-bench.md'}")
    if found.failed_checks:
        raise typer.Exit(1)


@bench.command("study")
def bench_studies(  # noqa: PLR0917  # typer calls it by keyword
    trials: Annotated[int, typer.Option(min=24, help="Number of empty trials, over twelve cells.")] = 30_000,
    sampler: Annotated[str, typer.Option(help="Sampler: grid or tpe.")] = "grid",
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of trials at once; by default limited by resources.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the study at --root with more trials.")] = False,
    more: Annotated[int, typer.Option(min=1, help="Additional trials with --resume, in a separate cell.")] = 24,
    root: Annotated[str | None, typer.Option(help="Directory to keep the study in; removed by default.")] = None,
    as_json: Json = False,
) -> None:
    """Measure the overhead of a study, using empty trials that go through Ray Tune, the ledger and MLflow."""
    from nefstudy.bench.study import Load, bench_locations, bench_study, study_json, study_table

    if sampler not in ("grid", "tpe"):
        raise BadConfig(f"sampler {sampler!r}: allowed are grid and tpe; correct --sampler")
    if resume and root is None:
        raise BadConfig("--resume continues an existing study; name its directory with --root")
    load = Load(trials, "tpe" if sampler == "tpe" else "grid", concurrency, more=more if resume else 0)
    with bench_locations(root) as locations:
        found = bench_study(load, locations=locations, console=Terminal(stderr=True))
    echo_json(study_json(found)) if as_json else Terminal().print(study_table(found))


@bench.command("service")
def bench_status_service(
    trials: Annotated[int, typer.Option(min=200, help="Trials in its ledger.")] = 30_000,
    root: Annotated[
        Path | None, typer.Option(help="Directory to keep the ledger in and reuse it; by default it is temporary.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.5, help="Duration of each of the six loads, in seconds.")] = 10.0,
    as_json: Json = False,
) -> None:
    """Measure the status service under load against its targets; writing 30,000 trials first takes minutes."""
    from nefstudy.bench.large_study import size_of_large_study, write_large_study
    from nefstudy.bench.service import bench_service, service_json, service_table

    console = Terminal(stderr=True)
    with TemporaryDirectory() as thrown_away, Progress(console=console, disable=not console.is_terminal) as shown:
        path = (root or Path(thrown_away)) / "large-study.db"
        if size_of_large_study(path) < trials:
            writing = shown.add_task("writing trials", total=trials)
            path.unlink(missing_ok=True)
            write_large_study(path, trials=trials, progress=lambda done: shown.update(writing, completed=done))
        asking = shown.add_task("requesting", total=None)
        row = bench_service(path, seconds=seconds)
        shown.update(asking, total=1, completed=1)
    echo_json(service_json(row)) if as_json else Terminal().print(service_table(row))
