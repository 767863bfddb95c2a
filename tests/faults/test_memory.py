"""Tests of trials that really run out of memory because the address space of their process is limited."""

from dataclasses import replace

import pytest

from nefstudy.config import SignalsConfig
from nefstudy.ledger import Ledger, TrialState
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.study.space import Categorical

from ..stub_tasks import tasks_with
from .processes import shards_of

pytestmark = [pytest.mark.fault, pytest.mark.ray, pytest.mark.slow, pytest.mark.nightly]

SPARE_MB = 4  # two fields of the wide SIREN take 2 MB, and their gradients and both of Adam's moments 2 MB each


@pytest.fixture
def starved(quick_plan):
    """Return a function that makes a study whose wide SIRENs run out of memory.

    They run out of memory until the chunk has been halved `until` times.
    """

    def make(*, until: int) -> StudyPlan:
        def work(config, *, setting):
            import ctypes
            import gc
            import resource
            from pathlib import Path

            from nefstudy.tasks.classification import run_classification

            if config.dataset.field.params["hidden"] != 512 or setting.chunk_halvings >= until:
                return run_classification(config, setting=setting)
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)
            size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            before = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (size + SPARE_MB * 2**20, before[1]))
            try:
                return run_classification(config, setting=setting)
            finally:
                resource.setrlimit(resource.RLIMIT_AS, before)

        plan = quick_plan()
        wide = replace(
            plan.cells[0],
            signals=SignalsConfig(name="digits8", subset=60),
            space={"init": Categorical(("shared",)), "hidden": Categorical((512,)), "steps": Categorical((1,))},
        )
        return replace(plan, cells=(plan.cells[1], wide), tasks=tasks_with(work)).pinned()

    return make


def test_a_trial_that_never_fits_fails_alone(starved, run_here, invariants):
    """A trial that never has enough memory fails after four attempts with cause `oom`.

    All other trials complete.
    """
    ending = run_here(starved(until=99), concurrency=1, engine="eager")
    rows = invariants().check()
    (failed,) = [row for row in rows if row.state is TrialState.FAILED]
    assert (failed.cause, failed.attempt, failed.cell) == ("oom", 4, "digits8/siren")
    assert "out of memory with 2 fields at a time" in failed.error
    assert {row.state for row in rows if row.cell == "digits8/rffnet"} == {TrialState.COMPLETE}
    assert (ending.failed, ending.retried) == (1, 3)


def test_memory_that_comes_back_gives_the_same_bytes(starved, run_here, invariants, tmp_path):
    """A trial that has enough memory only on attempt 3 completes with the results of a fault-free run.

    Its shards and numbers are equal.
    """
    plan = starved(until=2)
    run_here(plan, concurrency=1, engine="eager")
    rows = invariants().check(plan=plan)
    assert max(row.attempt for row in rows) == 3
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", read_only=True) as ledger:
        assert ledger.trials.retries("quick") == {("phase2", "digits8/siren", "oom"): 2}
    whole = tmp_path / "whole"
    whole.mkdir()
    run_here(starved(until=0), root=whole, engine="eager")
    invariants().check(reference=invariants(whole).check(plan=plan))
    assert shards_of(tmp_path / "neural_datasets") == shards_of(whole / "neural_datasets")
