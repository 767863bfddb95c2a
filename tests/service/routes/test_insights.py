"""Tests of figures and tables that are requested over REST.

The served JSON and CSV equal the values computed by `nefstudy.insight`.
"""

import csv
import io
import re

import pytest

from nefstudy.insight.catalog import FIGURES, TABLES, Options, figure, table
from nefstudy.insight.status import status
from nefstudy.insight.study_data import StudyData
from nefstudy.insight.table import plain
from nefstudy.ledger import TrialState
from nefstudy.report.report import write_report

from ...ledger.records import as_cells, as_record, cell_of
from ..own_task import fill_own_study
from ..small_study import CELLS, STUDY, stop_after_retry, trial_config

BASE = f"/v1/studies/{STUDY}"


@pytest.mark.parametrize("id", FIGURES)
def test_a_figure_is_insights(client, filled, id):
    """A figure's JSON equals the figure that `nefstudy.insight` computes, and its CSV has one row per mark."""
    value = figure(StudyData(filled[0], STUDY), id)
    assert client.get(f"{BASE}/figures/{id}").json() == plain(value)
    rows = list(csv.reader(io.StringIO(client.get(f"{BASE}/figures/{id}?format=csv").text)))
    assert len(rows) == 1 + sum(map(len, value.marks))


@pytest.mark.parametrize("id", TABLES)
def test_a_table_is_insights(client, filled, id):
    """A table's JSON equals the table that `nefstudy.insight` computes, and its CSV has every row.

    CSV can be requested by a parameter or by the Accept header.
    """
    value = table(StudyData(filled[0], STUDY), id)
    assert client.get(f"{BASE}/tables/{id}").json() == plain(value)
    response = client.get(f"{BASE}/tables/{id}", headers={"Accept": "text/csv"})
    assert response.headers["content-type"].startswith("text/csv")
    assert response.text == client.get(f"{BASE}/tables/{id}?format=csv").text
    assert len(list(csv.reader(io.StringIO(response.text)))) == 1 + len(value.rows)


def test_dots_are_the_complete_trials(client, filled):
    """The ladders figure has one dot per complete trial, at the trial's quality and accuracy."""
    ladders = client.get(f"{BASE}/figures/ladders").json()
    dots = next(mark["columns"] for mark in ladders["marks"] if mark["kind"] == "dot")
    rows = {row.key: row for row in filled[0].trials.page(STUDY, state=TrialState.COMPLETE, limit=None).rows}
    assert ladders["of"] == len(dots["key"]) == len(rows)
    for key, x, y in zip(dots["key"], dots["x"], dots["y"], strict=True):
        assert (x, y) == (rows[key].metrics["all_psnr"], rows[key].metrics["test_accuracy"])


def test_a_scatter_takes_any_axis_and_one_cell(client):
    """A scatter plot can have any numeric metric or parameter as an axis.

    `cell` selects the trials of one cell. With a text parameter as an axis, there are no marks.
    """
    dots = client.get(f"{BASE}/figures/scatter?x=hidden&y=all_nmi&cell={CELLS[0]}").json()["marks"][0]["columns"]
    assert set(dots["x"]) == {16}
    assert set(dots["cell"]) == {CELLS[0]}
    assert client.get(f"{BASE}/figures/scatter?x=init").json()["of"] == 0


def test_whole_parameters_are_shown_without_decimals(client):
    """Step counts and widths are shown as integers in captions and CSV."""
    captions = [picture["caption"] for picture in client.get(f"{BASE}/reconstructions").json()["pictures"]]
    assert captions[0].startswith("5 steps, random · hidden 16 · PSNR 14.44")
    for path in ("figures/ladders", "tables/pareto"):
        rows = list(csv.DictReader(io.StringIO(client.get(f"{BASE}/{path}?format=csv").text)))
        named = [row for row in rows if row["key"] and row["steps"]]
        assert {row["steps"] for row in named} <= {"5", "25", "75", "1000"}
        assert {row["hidden"] for row in named if row["hidden"]} <= {"16"}
        assert named


def test_dots_are_limited_on_request(client):
    """If there are more trials than the limit, the figure shows a sample and states the total."""
    scatter = client.get(f"{BASE}/figures/scatter?limit=5").json()
    assert (scatter["of"], len(scatter["marks"][0]["columns"]["key"])) == (16, 5)
    assert "16 complete trials, 5 shown" in scatter["caption"]


def test_an_empty_study_has_empty_figures_and_tables(ledger, client_of):
    """Before the first trial, every figure and table is empty and has a caption."""
    ledger.studies.put(STUDY, {}, cells=as_cells({("phase1", CELLS[0]): 4}))
    client = client_of(ledger)
    for kind, ids in (("figures", FIGURES), ("tables", TABLES)):
        for id in ids:
            response = client.get(f"{BASE}/{kind}/{id}")
            assert response.status_code == 200
            assert response.json()["of"] == 0
            assert response.json()["caption"]


def test_failures_name_cells_and_retries(ledger, client_of):
    """The tables and `nefstudy status` show failures by cause and cell, retries, and stopped cells."""
    trial = stop_after_retry(ledger)
    client = client_of(ledger)
    (row,) = client.get(f"{BASE}/tables/failures").json()["rows"]
    assert row[:5] == ["oom", "phase2", cell_of(trial), 0, 1]
    assert client.get(f"{BASE}/tables/stopped").json()["rows"] == [["phase2", cell_of(trial), "bad_data: torn"]]
    shown = next(study for study in status(ledger).studies if study.study == STUDY)
    expected = {"phase": "phase2", "cell": cell_of(trial), "cause": "oom", "failed": 0, "retried": 1}
    assert [row.model_dump() for row in shown.setbacks] == [expected]
    assert [cell.reason for cell in shown.stopped_cells] == ["bad_data: torn"]


def test_an_error_is_shown_without_folders(client):
    """The table of failures shows the latest error of a cause as a single line without directories."""
    (row,) = client.get(f"{BASE}/tables/failures").json()["rows"]
    assert (row[0], row[3], row[6]) == ("bug", 1, "ValueError: no luck in model.py")


def test_means_over_seeds_have_n_and_interval(ledger, client_of):
    """In the table of replicates, a setting with two seeds has a row with n, the mean and half of the 95 % interval.

    A setting with a single seed has no row.
    """
    ledger.studies.put(STUDY, {}, cells=as_cells({}))
    client = client_of(ledger)
    for number, accuracy in enumerate((0.70, 0.74)):
        trial = trial_config(CELLS[0])
        trial = trial.model_copy(update={"seed": number, "dataset": trial.dataset.model_copy(update={"seed": number})})
        token = ledger.trials.request(STUDY, "phase2", record=as_record(trial))
        metrics = {"val_accuracy": accuracy, "test_accuracy": accuracy, "all_psnr": 20.0 + number}
        ledger.trials.complete(STUDY, "phase2", key=trial.key, token=token, metrics=metrics)
        if number == 0:
            assert client.get(f"{BASE}/tables/replicates").json()["rows"] == []
    replicates = client_of(ledger).get(f"{BASE}/tables/replicates").json()
    (row,) = [dict(zip([c["name"] for c in replicates["columns"]], row, strict=True)) for row in replicates["rows"]]
    assert (row["cell"], row["phase"], row["n"]) == (CELLS[0], "phase2", 2)
    assert (row["val_accuracy"]["n"], row["val_accuracy"]["mean"]) == (2, pytest.approx(0.72))
    assert row["val_accuracy"]["half"] == pytest.approx(12.7062 * 0.02, rel=1e-4)
    assert row["all_psnr"]["mean"] == 20.5
    assert client_of(ledger).get(f"{BASE}/tables/replicates?phase=phase1").json()["rows"] == []


def test_a_limit_applies_per_cell(client, filled):
    """With a limit of three, the table of best trials has the three best trials of each cell in each phase.

    The ledger determines which trials are the best.
    """
    best = client.get(f"{BASE}/tables/best?limit=3").json()
    rows = filled[0].trials.best(STUDY, limit=3)
    assert sorted(row[0]["key"] for row in best["rows"]) == sorted(row.key for row in rows)
    assert table(StudyData(filled[0], STUDY), "best", Options(limit=3)).of == len(rows)


def test_a_users_own_task_is_shown_by_what_its_plan_declares(ledger, client_of, tmp_path):
    """Figures, tables and the report use a custom task's own metrics, units and direction.

    Sections that do not apply to the task are empty.
    """
    fill_own_study(ledger)
    client = client_of(ledger)
    for kind, ids in (("figures", FIGURES), ("tables", TABLES)):
        for id in ids:
            assert client.get(f"{BASE}/{kind}/{id}").status_code == 200, id
    best = client.get(f"{BASE}/tables/best").json()
    assert [column["name"] for column in best["columns"]] == ["key", "phase", "cell", "val_error", "test_error"]
    assert best["rows"][0][0]["key"] == f"{10:08x}"
    assert client.get(f"{BASE}/tables/importance").json()["rows"] == [["look", "mine", "width", 1.0, 25]]
    over_time = client.get(f"{BASE}/figures/best-over-time").json()
    assert over_time["y"] == {"label": "best validation error", "unit": "m", "scale": "linear", "domain": None}
    assert over_time["marks"][0]["columns"]["y"][-1] == pytest.approx(0.1)
    (item,) = client.get(f"{BASE}/progress").json()["best"]
    assert (item["score"], item["reported"], item["init"]) == (pytest.approx(0.1), pytest.approx(0.2), None)
    scatter = client.get(f"{BASE}/figures/scatter?x=width").json()
    assert (scatter["of"], scatter["y"]["label"]) == (25, "test error")
    text = write_report(ledger, STUDY, root=tmp_path, out=tmp_path / "out").read_text()
    assert "validation error (m)" in text
    assert not {"accuracy", "initialization", "Classifiers"} & set(re.findall(r"\w+", text))
