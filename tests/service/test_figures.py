"""What the figures are drawn from: points, front, table by start, failures."""

import statistics

from hypothesis import given
from hypothesis import strategies as st

from nefstudy.ledger import TrialState
from nefstudy.service.figures import pareto_front
from nefstudy.service.progress import status
from nefstudy.service.thinning import thinned

from ..ledger.records import as_cells, as_record
from .conftest import CELLS, STUDY, stop_after_retry, trial_config

BASE = f"/v1/studies/{STUDY}"
PLANES = st.lists(st.tuples(st.integers(0, 9).map(float), st.integers(0, 9).map(float)), max_size=60)


def test_points_are_the_complete_trials(client, filled):
    """Every complete trial is one point with its quality and accuracy."""
    found = client.get(f"{BASE}/points").json()
    rows = {row.key: row for row in filled[0].trials.page(STUDY, state=TrialState.COMPLETE, limit=None).rows}
    assert found["of"] == len(found["key"]) == len(rows)
    for key, x, y, init in zip(found["key"], found["x"], found["y"], found["init"], strict=True):
        assert (x, y, init) == (rows[key].quality, rows[key].test_accuracy, rows[key].init)


def test_points_take_any_axis_and_one_cell(client):
    """An axis may be a metric or a parameter; a cell narrows."""
    found = client.get(f"{BASE}/points?x=hidden&y=all_nmi&cell={CELLS[0]}").json()
    assert set(found["x"]) == {16}
    assert set(found["cell"]) == {CELLS[0]}


def test_text_is_no_axis(client):
    """A parameter of words has no points."""
    assert client.get(f"{BASE}/points?x=classifier").json()["key"] == []


@given(PLANES)
def test_nothing_beats_the_front_and_the_front_beats_the_rest(plane):
    """No point is better in one value and no worse in the other than a front point; each other point has such a one."""
    x, y = [a for a, _ in plane], [b for _, b in plane]
    front = set(pareto_front(x, y))

    def beaten(i: int) -> bool:
        return any(x[j] >= x[i] and y[j] >= y[i] and (x[j] > x[i] or y[j] > y[i]) for j in range(len(x)))

    assert all(not beaten(i) for i in front)
    left_out = [i for i in range(len(x)) if i not in front and not beaten(i)]
    assert all(any(x[i] == x[j] and y[i] == y[j] for j in front) for i in left_out)


@given(PLANES, st.integers(1, 70))
def test_thinning_keeps_what_fits_and_never_more(plane, limit):
    """Rising indices without repeats, as many as allowed; all of them when there is room."""
    x, y = [a for a, _ in plane], [b for _, b in plane]
    kept = thinned(x, y, limit=limit)
    assert kept == sorted(set(kept))
    assert len(kept) == min(limit, len(x))


def test_points_carry_what_else_is_asked_for(client, filled):
    """Columns, metrics and parameters named by `also` stand beside the points, None where a trial has none."""
    found = client.get(f"{BASE}/points?also=hidden,all_ssim,init,omega_0").json()
    assert set(found["also"]) == {"hidden", "all_ssim", "init", "omega_0"}
    assert found["also"]["init"] == found["init"]
    assert found["also"]["hidden"] == found["hidden"]
    assert set(found["also"]["omega_0"]) == {None}
    rows = filled[0].trials.page(STUDY, state=TrialState.COMPLETE, limit=None).rows
    assert dict(zip(found["key"], found["dataset"], strict=True)) == {row.key: row.dataset for row in rows}
    many = ",".join(f"name{number}" for number in range(25))
    assert client.get(f"{BASE}/points?also={many}").status_code == 422


def test_thinning_keeps_the_lonely_point():
    """A thousand points in a heap lose most of theirs before the one outlier goes."""
    x, y = [i / 1e6 for i in range(1000)] + [1.0], [0.0] * 1000 + [1.0]
    assert 1000 in thinned(x, y, limit=10)


def test_the_start_table_is_mean_and_deviation_of_the_rows(client, filled):
    """Each line's numbers are computed from the trials of its cell and start."""
    found = client.get(f"{BASE}/start-table").json()
    assert (found["of"], found["trials"], len(found["rows"])) == ("phase2", 16, 2)
    for line in found["rows"]:
        for start in ("random", "shared"):
            rows = filled[0].trials.page(STUDY, cell=line["cell"], state=TrialState.COMPLETE, limit=None).rows
            values = [row.test_accuracy for row in rows if row.init == start]
            assert line[start]["n"] == len(values)
            assert abs(line[start]["mean"] - statistics.fmean(values)) < 1e-12
            assert abs(line[start]["sd"] - statistics.stdev(values)) < 1e-12
        gain = 100 * (line["shared"]["mean"] / line["random"]["mean"] - 1)
        assert abs(line["gain_percent"] - gain) < 1e-9


def test_an_empty_study_has_empty_figures(ledger, client_of):
    """Before the first trial every figure is empty and none an error."""
    ledger.studies.put(STUDY, {}, cells=as_cells({("phase1", CELLS[0]): 4}))
    client = client_of(ledger)
    assert client.get(f"{BASE}/points").json()["of"] == 0
    assert client.get(f"{BASE}/pareto").json()["front"] == []
    assert client.get(f"{BASE}/start-table").json()["rows"] == []
    assert client.get(f"{BASE}/failures").json()["failures"] == []
    assert client.get(f"{BASE}/trials").json() == {"trials": [], "cursor": None}


def test_a_study_without_reuse_saved_nothing(client):
    """Where every trial fitted its own fields, steps done are steps asked."""
    found = client.get(f"{BASE}/savings").json()
    assert (found["complete"], found["reused"]) == (16, 0)
    assert found["field_steps_done"] == found["field_steps_asked"] == 50 * 2 * 2 * (5 + 25 + 75 + 1000)


def test_a_rung_of_a_fitted_ladder_is_saved(ledger, client_of):
    """The second trial on one neural dataset does no step; its steps are asked for and not done."""
    ledger.studies.put(STUDY, {}, cells={})
    for steps, done in ((100, 5000.0), (20, 0.0)):
        trial = trial_config(CELLS[0], steps=steps)
        token = ledger.trials.request(STUDY, "phase2", record=as_record(trial))
        ledger.trials.complete(STUDY, "phase2", key=trial.key, token=token, metrics={"field_steps": done})
    found = client_of(ledger).get(f"{BASE}/savings").json()
    assert (found["field_steps_done"], found["field_steps_asked"]) == (5000, 50 * (100 + 20))


def test_failures_are_counted_by_cause(client):
    """Each cause comes with its number and its latest trial, told in one line."""
    (found,) = client.get(f"{BASE}/failures").json()["failures"]
    assert (found["cause"], found["count"]) == ("bug", 1)
    assert found["latest"]["error"] == "ValueError: no luck in model.py"


def test_failures_say_where_and_what_was_tried_again(ledger, client_of):
    """A cause's places, its repeated attempts and a cell left alone are in the answer, and in `nefstudy status`."""
    trial = stop_after_retry(ledger)
    found = client_of(ledger).get(f"{BASE}/failures").json()
    place = {"phase": "phase2", "cell": trial.cell, "cause": "oom", "failed": 0, "retried": 1}
    assert [(f["cause"], f["count"], f["retried"], f["places"]) for f in found["failures"]] == [("oom", 0, 1, [place])]
    assert found["stopped_cells"] == [{"phase": "phase2", "cell": trial.cell, "reason": "bad_data: torn"}]
    told = next(study for study in status(ledger).studies if study.study == STUDY)
    assert [setback.model_dump() for setback in told.setbacks] == [place]
    assert [cell.reason for cell in told.stopped_cells] == ["bad_data: torn"]
