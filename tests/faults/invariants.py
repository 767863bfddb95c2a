"""A check of the invariants that a study satisfies after any fault."""

import math
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from nefstudy.insight.progress import progress
from nefstudy.ledger import Ledger, TrialRow, TrialState
from nefstudy.neural_dataset.read import open_neural_dataset
from nefstudy.study.plan.study_plan import StudyPlan, listed_trials
from nefstudy.study.samplers import Grid, Tpe

from ..present import present

NOT_RESULTS = {"fit_seconds", "classify_seconds", "classify_cpu_seconds", "field_steps"}  # costs of the run


def values_of(rows: list[TrialRow]) -> dict[tuple[str, str], dict[str, float | str]]:
    """Return each trial's results by (phase, key)."""
    results = {(row.phase, row.key): {k: v for k, v in row.metrics.items() if k not in NOT_RESULTS} for row in rows}
    return {ref: {k: "NaN" if math.isnan(v) else v for k, v in metrics.items()} for ref, metrics in results.items()}


@dataclass(frozen=True)
class Invariants:
    """The invariants that a study satisfies after any fault once all its processes have ended."""

    root: Path
    study: str = "quick"
    ledger: str | None = None

    @property
    def url(self) -> str:
        return self.ledger or f"sqlite:///{self.root}/ledger.db"

    def rows(self) -> list[TrialRow]:
        with Ledger.open(self.url, read_only=True) as book:
            return list(book.trials.page(self.study, limit=None).rows)

    def check(
        self,
        *,
        acked: Set[str] = frozenset(),
        plan: StudyPlan | None = None,
        reference: list[TrialRow] | None = None,
        mlflow: bool = False,
    ) -> list[TrialRow]:
        """Return the rows of the study, or raise AssertionError if an invariant is violated.

        Args:
            acked: keys that are known to have been completed at some time.
            plan: if given, its grid must be complete, with no other trial in phase 2.
            reference: rows of a fault-free run of the same study, whose values must be equal.
            mlflow: whether the outbox was drained, so that MLflow must have each trial exactly once.
        """
        rows = self.rows()
        with Ledger.open(self.url, read_only=True) as book:
            self._check_ledger(book, rows, acked)
        if plan is not None:
            expected = [
                (cell.phase, t.key)
                for cell in plan.cells
                if isinstance(cell.sampler, Grid)
                for t in present(listed_trials(plan, cell))
            ]
            complete = [row for row in rows if row.phase == "phase2" and row.state is TrialState.COMPLETE]
            assert sorted((row.phase, row.key) for row in complete) == sorted(expected), "the grid is complete, once"
            budgets = {(cell.phase, cell.cell): cell.planned for cell in plan.cells if isinstance(cell.sampler, Tpe)}
            searched = Counter((row.phase, row.cell) for row in rows if row.phase == "phase1")
            assert searched == budgets, "a search ends with its budget of distinct trials"
        if reference is not None:
            mine = [row for row in rows if row.phase == "phase2"]
            assert values_of(mine) == values_of([row for row in reference if row.phase == "phase2"])
        self._check_files(rows)
        if mlflow:
            self._check_mlflow(rows)
        return rows

    def _check_ledger(self, book: Ledger, rows: list[TrialRow], acked: Set[str]) -> None:
        complete = {row.key for row in rows if row.state is TrialState.COMPLETE}
        assert acked <= complete, "acknowledged trials are complete"
        assert len({(row.phase, row.key) for row in rows}) == len(rows), "no (phase, key) has two rows"
        ends = Counter((e.phase, e.key) for e in book.events.since(0, limit=10**6) if e.kind in ("complete", "reused"))
        assert set(ends.values()) <= {1}, "a trial completes once"
        holder = book.leases.holder(self.study)
        if holder is None or holder.has_ended or holder.seen_s > holder.lease_s:
            left = [row.key for row in rows if row.state in (TrialState.RUNNING, TrialState.REQUESTED)]
            assert left == [], "no trial is open without a driver"
        shown = progress(book, self.study)
        states = Counter(row.state.lower() for row in rows)
        assert {name: getattr(shown, name) for name in map(str.lower, TrialState)} == {
            name: states[name] for name in map(str.lower, TrialState)
        }, "status counts what the ledger holds"

    def _check_files(self, rows: list[TrialRow]) -> None:
        folder = self.root / "neural_datasets"
        digests = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        for digest in digests:
            open_neural_dataset(str(self.root), digest).verify()
        repeated = {f"trials/{row.key}" for row in rows if not row.state.is_terminal}  # its next attempt removes them
        parts = [path.relative_to(self.root) for path in self.root.rglob("*.part")]
        left = [str(path) for path in parts if str(path.parent) not in repeated]
        assert left == [], "no half-written file is left, except by a trial that is repeated"

    def _check_mlflow(self, rows: list[TrialRow]) -> None:
        from mlflow import MlflowClient

        from nefstudy.tracking.export import STATUS

        client = MlflowClient(f"sqlite:///{self.root}/mlflow.db")
        experiments = [e.experiment_id for e in client.search_experiments() if e.name.startswith(f"{self.study}/")]
        runs = client.search_runs(experiments, max_results=10_000) if experiments else []
        finished = Counter(r.data.tags["nefstudy.key"] for r in runs if r.info.status == "FINISHED")
        complete = Counter(row.key for row in rows if row.state is TrialState.COMPLETE)
        assert finished == complete, "each complete trial has one finished run"
        ended = Counter(row.key for row in rows if row.state in STATUS)
        assert Counter(r.data.tags["nefstudy.key"] for r in runs) == ended, "no trial has a second run"
