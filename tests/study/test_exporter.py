"""Laws of the export beside a running study: it ends with nothing left, or soon and with nothing lost."""

import socket
import time

import pytest

from nefstudy.study.exporter import Exporter
from nefstudy.study.place import resolve_place
from nefstudy.study.plan import StudyPlan

pytestmark = [pytest.mark.slow, pytest.mark.mlflow]


@pytest.fixture
def place(tmp_path):
    """Beside the ledger of the test."""
    return resolve_place(str(tmp_path), environment={})


def never() -> bool:
    return False


def ignored(left: int) -> None:
    pass


def test_everything_is_exported_when_it_ends(ledger, small_grid, open_run, drain, place) -> None:
    """Results of before and of during the study all have their run when the exporter has left."""
    from mlflow import MlflowClient

    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    with Exporter(ledger, place=place, leave=never, on_wait=ignored) as exporter:
        drain(run)
    assert exporter.left == ledger.outbox_size() == 0
    client = MlflowClient(tracking_uri=place.mlflow)
    names = [found.experiment_id for found in client.search_experiments()]
    assert len(client.search_runs(names)) == small_grid.planned


def test_a_failed_study_waits_for_no_export(ledger, small_grid, open_run, drain, place) -> None:
    """When the driver fails, the process ends at once and results wait in the ledger."""
    drain(open_run(ledger, StudyPlan(study="s", cells=(small_grid,))))
    began = time.monotonic()
    with (
        pytest.raises(ZeroDivisionError),
        Exporter(ledger, place=place, leave=never, on_wait=ignored),
    ):
        raise ZeroDivisionError
    assert time.monotonic() - began < 15
    assert ledger.outbox_size() == small_grid.planned


def test_a_dead_server_holds_up_no_end(ledger, small_grid, open_run, drain, place) -> None:
    """With MLflow away the end takes seconds, and says how many results are left."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}"
    away = resolve_place(place.root, environment={"MLFLOW_TRACKING_URI": dead})
    drain(open_run(ledger, StudyPlan(study="s", cells=(small_grid,))))
    began = time.monotonic()
    with Exporter(ledger, place=away, leave=never, on_wait=ignored) as exporter:
        pass
    assert time.monotonic() - began < 60
    assert exporter.left == small_grid.planned


def test_a_second_ctrl_c_leaves_the_rest_to_another_time(ledger, small_grid, open_run, drain, place) -> None:
    """After a stop, who will not wait for the export either gets the study's closing words all the same."""
    drain(open_run(ledger, StudyPlan(study="s", cells=(small_grid,))))
    asked = []

    def leave() -> bool:
        asked.append(True)
        if len(asked) > 1:
            raise KeyboardInterrupt  # as the driver's handler does once the study is asked to stop
        return True

    with Exporter(ledger, place=place, leave=leave, on_wait=ignored) as exporter:
        pass
    assert len(asked) == 2
    assert exporter.left > 0
