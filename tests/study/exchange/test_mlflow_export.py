"""Tests of the MLflow export during a study: it exports every result, or stops early without losing any."""

import socket
import time

import pytest

from nefstudy.insight.status import status
from nefstudy.study.exchange import mlflow_export as exporters
from nefstudy.study.exchange.mlflow_export import MOST_ENDS, Exporter
from nefstudy.study.locations import resolve_locations
from nefstudy.study.plan.study_plan import StudyPlan

from ...present import present

pytestmark = [pytest.mark.slow, pytest.mark.mlflow]


@pytest.fixture
def locations(tmp_path):
    """Return locations for the test's ledger and an MLflow store."""
    return resolve_locations(str(tmp_path), environment={})


def never() -> bool:
    return False


def ignored(left: int) -> None:
    pass


def kill_and_wait_for_another(exporter: Exporter) -> None:
    """Kill the export process, and run driver steps until a new one has started."""
    killed = present(exporter._process)
    killed.kill()
    while exporter._process in (killed, None):
        exporter.step()
        time.sleep(0.02)


def test_everything_is_exported_when_it_ends(ledger, small_grid, open_run, drain, locations) -> None:
    """When the exporter ends, MLflow has a run for every result recorded before or during the study."""
    from mlflow import MlflowClient

    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    with Exporter(ledger, locations=locations, leave=never, on_wait=ignored) as exporter:
        drain(run)
    assert exporter.left == ledger.outbox.size() == 0
    client = MlflowClient(tracking_uri=locations.mlflow)
    names = [found.experiment_id for found in client.search_experiments()]
    assert len(client.search_runs(names)) == small_grid.planned


def test_a_failed_study_waits_for_no_export(ledger, small_grid, open_run, drain, locations) -> None:
    """If the driver fails, the export process ends at once and results stay in the ledger."""
    drain(open_run(ledger, StudyPlan(study="s", cells=(small_grid,))))
    began = time.monotonic()
    with (
        pytest.raises(ZeroDivisionError),
        Exporter(ledger, locations=locations, leave=never, on_wait=ignored),
    ):
        raise ZeroDivisionError
    assert time.monotonic() - began < 15
    assert ledger.outbox.size() == small_grid.planned


def test_a_dead_server_holds_up_no_end(ledger, small_grid, open_run, drain, locations) -> None:
    """If MLflow cannot be reached, the study still ends within a minute."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}"
    away = resolve_locations(locations.root, environment={"MLFLOW_TRACKING_URI": dead})
    drain(open_run(ledger, StudyPlan(study="s", cells=(small_grid,))))
    began = time.monotonic()
    with Exporter(ledger, locations=away, leave=never, on_wait=ignored) as exporter:
        pass
    assert time.monotonic() - began < 60
    assert exporter.left == small_grid.planned


def test_a_second_ctrl_c_leaves_the_rest_to_another_time(ledger, small_grid, open_run, drain, locations) -> None:
    """A second Ctrl-C ends the export at once, and the remaining results stay in the ledger."""
    drain(open_run(ledger, StudyPlan(study="s", cells=(small_grid,))))
    asked = []

    def leave() -> bool:
        asked.append(True)
        if len(asked) > 1:
            raise KeyboardInterrupt  # as the driver's handler does once the study is asked to stop
        return True

    with Exporter(ledger, locations=locations, leave=leave, on_wait=ignored) as exporter:
        pass
    assert len(asked) == 2
    assert exporter.left > 0


def test_a_killed_process_is_started_again(ledger, small_grid, open_run, drain, locations) -> None:
    """Even if the export process is killed repeatedly, everything is exported in the end."""
    from mlflow import MlflowClient

    changes: list[dict[str, object]] = []
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    with Exporter(ledger, locations=locations, leave=never, on_wait=ignored, on_change=changes.append) as exporter:
        for kills in (1, 2, 3):
            kill_and_wait_for_another(exporter)
            assert [change["state"] for change in changes] == ["restarting", "running"] * kills
        assert changes[-2] == {"state": "restarting", "ends": 3, "why": "killed by signal 9"}
        drain(run)
        present(exporter._process).kill()  # and once more, when only the end remains
    assert exporter.left == ledger.outbox.size() == 0
    client = MlflowClient(tracking_uri=locations.mlflow)
    names = [found.experiment_id for found in client.search_experiments()]
    assert len(client.search_runs(names)) == small_grid.planned


def test_a_process_that_ends_at_once_is_given_up(  # noqa: PLR0917  # fixtures
    ledger, small_grid, open_run, drain, locations, monkeypatch, caplog
) -> None:
    """After the maximum number of quick exits (MOST_ENDS), the export process is not restarted.

    Two lines are logged, and `status` shows the error.
    """
    monkeypatch.setattr(exporters, "PROGRAM", "nefstudy.not_there")
    monkeypatch.setattr(exporters, "LONGEST_PAUSE_S", 0.0)
    drain(open_run(ledger, StudyPlan(study="s", cells=(small_grid,))))

    def note(change: dict[str, object]) -> None:
        ledger.events.append("s", "export", data=change)

    with Exporter(ledger, locations=locations, leave=never, on_wait=ignored, on_change=note) as exporter:
        while exporter.step():
            time.sleep(0.02)
        assert not exporter.step()
    assert exporter.left == small_grid.planned
    own = [record.message for record in caplog.records if record.message.startswith("the export")]
    assert [line.partition("(")[0] for line in own] == [
        "the export to MLflow ended ",
        f"the export to MLflow ended {MOST_ENDS} times in a row ",
    ]
    assert own[1].endswith("results wait in the ledger: nefstudy export mlflow")
    (found,) = status(ledger).studies
    assert found.unexported == small_grid.planned
    assert found.export is not None
    assert found.export.startswith(f"stopped, ended {MOST_ENDS} times in a row (")
    assert "not_there" in found.export


def test_a_process_that_cannot_be_started_delays_nothing(ledger, locations, monkeypatch) -> None:
    """A failure to start the export process is treated as an exit of that process."""

    def full(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    changes: list[dict[str, object]] = []
    monkeypatch.setattr("subprocess.Popen", full)
    monkeypatch.setattr(exporters, "LONGEST_PAUSE_S", 0.0)
    with Exporter(
        ledger, locations=locations, leave=lambda: bool(changes), on_wait=ignored, on_change=changes.append
    ) as left:
        assert left.step()
    assert changes[0] == {"state": "restarting", "ends": 1, "why": "Resource temporarily unavailable"}


def test_a_process_that_lived_long_is_started_again_soon(ledger, locations, monkeypatch) -> None:
    """After the export process has run for a long time, the pause before its next restart is short again."""
    changes: list[dict[str, object]] = []
    monkeypatch.setattr(exporters, "HEALTHY_S", 0.0)
    with Exporter(ledger, locations=locations, leave=never, on_wait=ignored, on_change=changes.append) as exporter:
        for _ in range(2):
            kill_and_wait_for_another(exporter)
    assert [change["ends"] for change in changes] == [1, 1, 1, 1]
