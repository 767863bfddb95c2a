"""Figures and tables over REST are insight's own values, as JSON and as CSV."""

import csv
import io
import re

import pytest

from nefstudy.insight.catalog import FIGURES, TABLES, Options, figure, table
from nefstudy.insight.reading import Source
from nefstudy.insight.status import status
from nefstudy.insight.table import plain
from nefstudy.ledger import TrialState
from nefstudy.report.report import write_report

from ..ledger.records import as_cells, as_record, cell_of
from .conftest import CELLS, STUDY, stop_after_retry, trial_config
from .own_task import fill_own_study

BASE = f"/v1/studies/{STUDY}"


@pytest.mark.parametrize("id", FIGURES)
def test_a_figure_is_insights(client, filled, id):
    """JSON is the value with its axes, marks and caption; CSV holds every mark."""
    found = figure(Source(filled[0], STUDY), id)
    assert client.get(f"{BASE}/figures/{id}").json() == plain(found)
    rows = list(csv.reader(io.StringIO(client.get(f"{BASE}/figures/{id}?format=csv").text)))
    assert len(rows) == 1 + sum(map(len, found.marks))


@pytest.mark.parametrize("id", TABLES)
def test_a_table_is_insights(client, filled, id):
    """JSON is the value with its columns, rows and caption; CSV holds every row, by the Accept header too."""
    found = table(Source(filled[0], STUDY), id)
    assert client.get(f"{BASE}/tables/{id}").json() == plain(found)
    answer = client.get(f"{BASE}/tables/{id}", headers={"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text == client.get(f"{BASE}/tables/{id}?format=csv").text
    assert len(list(csv.reader(io.StringIO(answer.text)))) == 1 + len(found.rows)


def test_dots_are_the_complete_trials(client, filled):
    """Every complete trial is one dot with its quality and accuracy."""
    found = client.get(f"{BASE}/figures/ladders").json()
    dots = next(mark["columns"] for mark in found["marks"] if mark["kind"] == "dot")
    rows = {row.key: row for row in filled[0].trials.page(STUDY, state=TrialState.COMPLETE, limit=None).rows}
    assert found["of"] == len(dots["key"]) == len(rows)
    for key, x, y in zip(dots["key"], dots["x"], dots["y"], strict=True):
        assert (x, y) == (rows[key].metrics["all_psnr"], rows[key].metrics["test_accuracy"])


def test_a_scatter_takes_any_axis_and_one_cell(client):
    """An axis may be a metric or a parameter; a cell narrows; words are not an axis."""
    dots = client.get(f"{BASE}/figures/scatter?x=hidden&y=all_nmi&cell={CELLS[0]}").json()["marks"][0]["columns"]
    assert set(dots["x"]) == {16}
    assert set(dots["cell"]) == {CELLS[0]}
    assert client.get(f"{BASE}/figures/scatter?x=init").json()["of"] == 0


def test_fewer_dots_may_be_asked_for(client):
    """More trials than the limit are downsampled, and the figure says of how many."""
    found = client.get(f"{BASE}/figures/scatter?limit=5").json()
    assert (found["of"], len(found["marks"][0]["columns"]["key"])) == (16, 5)
    assert "16 complete trials, 5 shown" in found["caption"]


def test_an_empty_study_has_empty_figures_and_tables(ledger, client_of):
    """Before the first trial every figure and table is empty, with words in place of numbers, and none an error."""
    ledger.studies.put(STUDY, {}, cells=as_cells({("phase1", CELLS[0]): 4}))
    client = client_of(ledger)
    for kind, ids in (("figures", FIGURES), ("tables", TABLES)):
        for id in ids:
            answer = client.get(f"{BASE}/{kind}/{id}")
            assert answer.status_code == 200
            assert answer.json()["of"] == 0
            assert answer.json()["caption"]


def test_failures_say_where_and_what_was_retried(ledger, client_of):
    """A cause's cells, its retries and a stopped cell are in the tables, and in `nefstudy status`."""
    trial = stop_after_retry(ledger)
    client = client_of(ledger)
    (row,) = client.get(f"{BASE}/tables/failures").json()["rows"]
    assert row[:5] == ["oom", "phase2", cell_of(trial), 0, 1]
    assert client.get(f"{BASE}/tables/stopped").json()["rows"] == [["phase2", cell_of(trial), "bad_data: torn"]]
    told = next(study for study in status(ledger).studies if study.study == STUDY)
    place = {"phase": "phase2", "cell": cell_of(trial), "cause": "oom", "failed": 0, "retried": 1}
    assert [setback.model_dump() for setback in told.setbacks] == [place]
    assert [cell.reason for cell in told.stopped_cells] == ["bad_data: torn"]


def test_an_error_is_shown_without_folders(client):
    """The latest failed trial of a cause is named with its error in one line."""
    (row,) = client.get(f"{BASE}/tables/failures").json()["rows"]
    assert (row[0], row[3], row[6]) == ("bug", 1, "ValueError: no luck in model.py")


def test_means_over_seeds_have_n_and_interval(ledger, client_of):
    """Two seeds of a setting: n, mean, half of the 95 % interval; no row for a study of one seed."""
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
    found = client_of(ledger).get(f"{BASE}/tables/replicates").json()
    (row,) = [dict(zip([c["name"] for c in found["columns"]], row, strict=True)) for row in found["rows"]]
    assert (row["cell"], row["phase"], row["n"]) == (CELLS[0], "phase2", 2)
    assert (row["val_accuracy"]["n"], row["val_accuracy"]["mean"]) == (2, pytest.approx(0.72))
    assert row["val_accuracy"]["half"] == pytest.approx(12.7062 * 0.02, rel=1e-4)
    assert row["all_psnr"]["mean"] == 20.5
    assert client_of(ledger).get(f"{BASE}/tables/replicates?phase=phase1").json()["rows"] == []


def test_a_limit_is_of_each_cell(client, filled):
    """The best three of each phase and cell, best first, as the ledger ranks them."""
    found = client.get(f"{BASE}/tables/best?limit=3").json()
    rows = filled[0].trials.best(STUDY, limit=3)
    assert sorted(row[0]["key"] for row in found["rows"]) == sorted(row.key for row in rows)
    assert table(Source(filled[0], STUDY), "best", Options(limit=3)).of == len(rows)


def test_a_users_own_task_is_shown_by_what_its_plan_declares(ledger, client_of, tmp_path):
    """Its metrics, units and direction are used throughout; what does not apply is empty, and nothing fails."""
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
    across = client.get(f"{BASE}/figures/scatter?x=width").json()
    assert (across["of"], across["y"]["label"]) == (25, "test error")
    text = write_report(ledger, STUDY, root=tmp_path, out=tmp_path / "out").read_text()
    assert "validation error (m)" in text
    assert not {"accuracy", "initialization", "Classifiers"} & set(re.findall(r"\w+", text))
