"""Tests of `bench study`, which runs a real study whose trials do no work."""

import io
import json

import pytest
from rich.console import Console

from nefstudy.bench.monitor import Sample, stretches
from nefstudy.bench.study import Load, bench_locations, bench_study, noop_plan, study_json, study_table
from nefstudy.ledger import Ledger, TrialState

PROMISED = {"trials", "seconds", "cpu_s_per_trial", "first_1000_ms", "last_1000_ms", "driver_peak_mb"}


@pytest.mark.parametrize("sampler", ["grid", "tpe"])
def test_the_plan_is_the_papers_in_size(sampler) -> None:
    """The plan has twelve cells and 30,000 trials, as in the paper.

    Extending the plan appends one cell.
    """
    plan = noop_plan(Load(30_000, sampler))
    assert len(plan.cells) == 12
    assert sum(cell.planned for cell in plan.cells) == 30_000
    more = noop_plan(Load(30_000, sampler, more=24))
    assert more.cells[:12] == plan.cells
    assert len(more.cells) == 13


def test_what_a_stretch_cost_is_what_its_samples_say() -> None:
    """The benchmark reports the mean time per trial separately for each thousand trials.

    Idle time before the first trial and after the last trial is excluded.
    """

    def sample(at: float, done: int, cpu: float) -> Sample:
        return Sample(at=at, done=done, waiting=done // 2, driver_cpu=cpu / 2, all_cpu=cpu, rss_mb=100 + done / 10)

    samples = [sample(0, 0, 5.0), sample(9, 0, 9.0), sample(59, 500, 24.0), sample(109, 1000, 39.0)]
    samples += [sample(409, 2500, 189.0), sample(500, 2500, 400.0)]
    found = stretches(samples, 1000)
    assert [one.last for one in found] == [1000, 2000, 2500]
    assert [one.wall_ms for one in found] == pytest.approx([100, 200, 200])
    assert [one.cpu_ms for one in found] == pytest.approx([30, 100, 100])
    assert [one.driver_ms for one in found] == pytest.approx([15, 50, 50])
    assert found[-1].waiting == 1250
    assert stretches(samples[:2], 1000) == []


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.mlflow
def test_every_trial_goes_through_everything(tmp_path) -> None:
    """Every planned trial is complete in the ledger and has one MLflow run.

    Resuming runs only the new trials.
    """
    with bench_locations(str(tmp_path)) as locations:
        console = Console(file=io.StringIO())
        found = bench_study(Load(24), locations=locations, console=console)
        with Ledger.open(locations.ledger, read_only=True) as ledger:
            rows = ledger.trials.page("bench", limit=None).rows
            events = ledger.events.since(0, study="bench", limit=10_000)
        assert {row.state for row in rows} == {TrialState.COMPLETE}
        assert len(rows) == found.trials == 240
        kinds = [event.kind for event in events if event.key is not None]
        assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys(("requested", "started", "complete"), 240)
        assert found.unexported == 0
        assert runs_in(locations.mlflow) == 240
        assert set(json.loads(json.dumps(study_json(found)))) >= PROMISED
        console.print(study_table(found))
        again = bench_study(Load(24, more=24), locations=locations, console=console)
    assert again.trials == 40, "a few new ones in another cell"
    assert 0 < again.first_trial_s <= again.seconds


def runs_in(uri: str) -> int:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    names = [found.experiment_id for found in client.search_experiments()]
    return len(client.search_runs(names, filter_string="attributes.status = 'FINISHED'", max_results=1000))
