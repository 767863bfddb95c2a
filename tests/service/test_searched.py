"""Tests that a search without test signals is shown by its validation metrics, without empty test columns."""

import io

import pytest
from rich.console import Console

from nefstudy.insight.catalog import Options, TableId, figure, table
from nefstudy.insight.progress import progress
from nefstudy.insight.questions import comparison
from nefstudy.insight.status import status
from nefstudy.insight.study_data import StudyData
from nefstudy.insight.table import Table
from nefstudy.insight.trials import is_number
from nefstudy.report.report import write_report
from nefstudy.service.status_table import status_tables
from nefstudy.study.driver.live import study_view

from .searched_study import CELL, STUDY, fill_searched_study
from .small_study import metrics_of

SEARCHED: tuple[TableId, ...] = (
    "best",
    "initialization",
    "importance",
    "parallel",
    "pareto",
    "replicates",
    "classifiers",
)


@pytest.fixture
def searched(ledger) -> StudyData:
    """Return a study whose search is complete and whose grid has not started."""
    fill_searched_study(ledger, grid=False)
    return StudyData(ledger, STUDY)


@pytest.fixture
def followed(ledger) -> StudyData:
    """Return a study whose search is complete and whose grid has results."""
    fill_searched_study(ledger)
    return StudyData(ledger, STUDY)


def printed(*tables: object) -> str:
    console = Console(width=160, file=io.StringIO(), record=True)
    for each in tables:
        console.print(each)
    return console.export_text()


def words_of(value: Table) -> str:
    return " ".join([value.title, value.caption, *(column.label for column in value.columns)]).lower()


@pytest.mark.parametrize("id", SEARCHED)
def test_no_table_of_a_search_mentions_test_signals(searched: StudyData, id: TableId) -> None:
    """Tables of a search have columns and captions for validation metrics only."""
    value = table(searched, id)
    assert "test" not in words_of(value), words_of(value)
    assert not [column.name for column in value.columns if column.name.startswith("test")]


def test_the_best_trial_and_the_means_of_a_search_are_those_of_validation(searched: StudyData) -> None:
    """The table of best trials shows the objective, and means by initialization count diverged fields as wrong."""
    assert table(searched, "best").column("val_accuracy") == [
        max(value for value in searched.trials(("val_accuracy",))["val_accuracy"])
    ]
    means = table(searched, "initialization")
    assert means.title == "Validation accuracy over all by initialization"
    assert "paper" not in words_of(means), "the paper's accuracies are of test signals"


@pytest.mark.parametrize("id", ["ladders", "scatter"])
def test_the_figures_of_a_search_show_validation_accuracy(searched: StudyData, id) -> None:
    """The y axis of a search's figures is validation accuracy, with one dot per trial."""
    value = figure(searched, id)
    assert (value.y.label, value.of) == ("validation accuracy", 8)
    assert "test" not in value.caption.lower()


@pytest.mark.parametrize("id", ["ladders", "scatter"])
def test_without_a_chosen_phase_figures_show_the_last_one(followed: StudyData, id) -> None:
    """Test accuracy of a grid and validation accuracy of a search are not pooled: the grid's trials are shown.

    A chosen phase shows its own metric, and a chosen y all trials that have it.
    """
    value = figure(followed, id)
    assert (value.y.label, value.of) == ("test accuracy", 8)
    of_search = figure(followed, id, Options(phase="phase1"))
    assert (of_search.y.label, of_search.of) == ("validation accuracy", 8)
    assert figure(followed, id, Options(y="val_accuracy")).of == 16
    assert {row[1] for row in table(followed, "pareto").rows} == {"phase2"}


def test_the_table_of_both_phases_leaves_test_entries_of_the_search_empty(followed: StudyData) -> None:
    """The search's best trial has no test accuracy, and the grid's has."""
    value = table(followed, "best")
    by_phase = dict(zip(value.column("phase"), value.column("test_accuracy"), strict=True))
    assert by_phase["phase1"] is None
    assert is_number(by_phase["phase2"])


def test_the_best_trial_of_a_cell_is_one_with_a_test_metric(followed: StudyData) -> None:
    """A search's score is on other signals than the grid's, so a higher one does not hide the grid's best trial."""
    (best,) = progress(followed.ledger, STUDY).best
    assert (best.phase, best.reported_label) == ("phase2", "test accuracy")
    assert best.test_accuracy is not None
    (phase1,) = [phase for phase in progress(followed.ledger, STUDY).phases if phase.phase == "phase1"]
    of_search = phase1.cells[0].best
    assert of_search is not None
    assert (of_search.reported, of_search.reported_label, of_search.test_accuracy) == (None, None, None)
    assert of_search.score == of_search.val_accuracy


@pytest.mark.parametrize("grid", [False, True])
def test_the_terminal_has_a_test_column_only_for_a_test_metric(ledger, grid: bool) -> None:
    """`nefstudy status` and the live view have a column `test` if and only if a trial has a test metric."""
    fill_searched_study(ledger, grid=grid)
    shown = printed(*status_tables(status(ledger))), printed(study_view(progress(ledger, STUDY), []))
    for text in shown:
        assert ("test" in text) is grid, text
        assert CELL in text


@pytest.mark.parametrize("grid", [False, True])
def test_a_comparison_has_a_test_column_only_for_a_test_metric(ledger, grid: bool) -> None:
    """Comparing two studies shows the best trials' test metric if and only if there is one."""
    fill_searched_study(ledger, grid=grid)
    data = StudyData(ledger, STUDY)
    trials = data.trials(("key", "phase", "cell", "parameters", "init", "steps", "hidden", *data.metrics()))
    value = comparison.cells(comparison.compare(("a", trials), ("b", trials), data.declared))
    assert ("reported" in [column.name for column in value.columns]) is grid
    assert ("test metric" in value.caption) is grid
    assert {len(row) for row in value.rows} == {len(value.columns)}


def test_rest_serves_a_search_without_test_metrics(ledger, client_of) -> None:
    """Over REST, a trial of a search has no test metric, and its best trial reports none."""
    trials = fill_searched_study(ledger, grid=False)
    client = client_of(ledger)
    served = client.get(f"/v1/trials/{trials[0].key}").json()
    assert served["metrics"]["val_accuracy"] == metrics_of(trials[0])["val_accuracy"]
    assert not [name for name in served["metrics"] if name.startswith("test_")]
    (best,) = client.get(f"/v1/studies/{STUDY}/best").json()["best"]
    assert (best["reported"], best["reported_label"], best["test_accuracy"]) == (None, None, None)
    assert client.get(f"/v1/studies/{STUDY}/figures/ladders").json()["y"]["label"] == "validation accuracy"


def test_the_report_of_a_search_shows_validation(ledger, tmp_path) -> None:
    """The report of a search alone has no word about test accuracy."""
    fill_searched_study(ledger, grid=False)
    page = write_report(ledger, STUDY, root=tmp_path, out=tmp_path / "report").read_text().lower()
    assert "validation accuracy over all by initialization" in page
    assert "test accuracy" not in page
    assert "test_accuracy" not in (tmp_path / "report" / "trials.csv").read_text()
