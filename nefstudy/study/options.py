"""The flags of a study script, declared once as fields of a frozen dataclass."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

from typer import Option

from nefstudy.classifiers.catalog import classifier_names
from nefstudy.errors import BadConfig
from nefstudy.fitting.engines.catalog import ENGINES
from nefstudy.flags import Json, LedgerUrl, Root
from nefstudy.scalars import Scalar
from nefstudy.study.plan.study_plan import StudyPlan


@dataclass(frozen=True)
class StudyOptions:
    """The flags of a study script; the command line is built from these fields."""

    study: Annotated[str | None, Option(help="Name of the study; by default the scale's, or the script's own.")] = None
    root: Root = None
    ledger: LedgerUrl = None
    scale: Annotated[
        str,
        Option(help="phase1.py, phase2.py: smoke (minutes on 2 cores), cpu (a night on 8) or paper (30,000 trials)."),
    ] = "cpu"
    cells: Annotated[
        tuple[str, ...] | None, Option(help="Run only these cells, as signals/field,...: mnist5k/siren,mnist5k/mfn.")
    ] = None
    data: Annotated[
        tuple[str, ...],
        Option(help="Location of data, NAME=PATH or NAME.OPTION=VALUE, such as mnist=/data/mnist; can be repeated."),
    ] = ()
    trials: Annotated[int | None, Option(min=1, help="Phase 1: TPE trials of each cell.")] = None
    seed: Annotated[int, Option(min=0, help="Seed of the whole study.")] = 0
    replicates: Annotated[
        int | None,
        Option(min=1, help="Phase 2: independent seeds of each grid point; by default 3, at the paper scale 1."),
    ] = None
    workers: Annotated[
        int,
        Option(
            min=0, help="Ray Train workers of a trial; 0 runs it in the Tune actor (best if it fits on one device)."
        ),
    ] = 0
    concurrency: Annotated[
        int | None,
        Option(min=1, help="Maximum number of trials to run at once; by default limited by the cluster's resources."),
    ] = None
    gpus: Annotated[
        float | None,
        Option(min=0, help="GPUs of a trial or worker (0.25 puts four on one); by default from measured memory."),
    ] = None
    spread: Annotated[bool, Option("--spread", help="Place the workers of a trial on different nodes.")] = False
    classifier: Annotated[
        str | None,
        Option(help=f"Classifier to train on the weights: {', '.join(classifier_names())}; the default is gnn-sign."),
    ] = None
    engine: Annotated[
        str, Option(help=f"Fitting engine: {', '.join(ENGINES)}, or auto, which chooses one for each fit.")
    ] = "auto"
    from_phase1: Annotated[
        bool, Option("--from-phase1", help="phase2.py: use the grid that `nefstudy handover` wrote, not Table 3.")
    ] = False
    max_equal_failures: Annotated[
        int, Option(min=1, help="Stop the study after this many trials failed with the same kind of message.")
    ] = 5
    budget_hours: Annotated[
        float | None,
        Option(min=0, help="Refuse a plan, or a trial enqueued later, estimated at more than this many device-hours."),
    ] = None
    max_trial_hours: Annotated[
        float | None, Option(help="Fail a trial that runs longer than this many hours (timeout); by default no limit.")
    ] = None
    pruner: Annotated[
        str,
        Option(
            help="Stop weak trials of a search early, judged at certain epochs of their classifier: none, asha "
            "(continue only the best third at a ninth and a third of the epochs) or median (stop those below it after "
            "a fifth). Grids are never pruned. Pruned trials count against --trials."
        ),
    ] = "none"
    keep: Annotated[
        str,
        Option(
            help="Neural datasets to keep once no trial needs them: all, best:N (of the N best trials of each phase "
            "and cell) or none. Removed ones can be recomputed."
        ),
    ] = "all"
    min_free_gb: Annotated[
        float,
        Option(min=0, help="Stop before the free disk space of the root or ledger falls below this; can be resumed."),
    ] = 1.0
    webhook: Annotated[
        str | None,
        Option(
            envvar="NEFSTUDY_WEBHOOK",
            show_envvar=False,
            help="URL (http or https) that receives the outcome when the study ends or stops (NEFSTUDY_WEBHOOK); "
            "signed with NEFSTUDY_WEBHOOK_SECRET.",
        ),
    ] = None
    dry_run: Annotated[
        bool, Option("--dry-run", help="Print trials, fits, field-steps and an estimate; run nothing.")
    ] = False
    json: Json = False

    @property
    def request_hours(self) -> float | None:
        """The maximum estimated hours of an enqueued trial; None if no option limits it."""
        return min((h for h in (self.budget_hours, self.max_trial_hours) if h is not None), default=None)

    @property
    def name(self) -> str:
        """The study's name; defaults to the scale, so that both phases of a scale share one study."""
        return self.study or self.scale


MakePlan = Callable[[StudyOptions], StudyPlan]
"""Signature of the `plan` function that a study script defines."""


DataOptions = dict[str, dict[str, Scalar]]


def data_options(texts: Iterable[str]) -> DataOptions:
    """Parse --data values: `mnist=/data/mnist` sets a source's path, and `photos.size=32` sets an option.

    Raises:
        BadConfig: a text is neither NAME=PATH nor NAME.OPTION=VALUE.
    """
    options: DataOptions = {}
    for text in texts:
        key, _, value = text.partition("=")
        name, _, option = key.partition(".")
        if not name or not value or key.endswith("."):
            raise BadConfig(f"--data {text!r} is neither NAME=PATH nor NAME.OPTION=VALUE, such as mnist=/data/mnist")
        options.setdefault(name, {})[option or "path"] = int(value) if value.isdigit() else value
    return options
