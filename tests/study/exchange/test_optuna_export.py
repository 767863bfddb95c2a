"""Tests of the export to Optuna: Optuna and its dashboard show the same data as the ledger."""

import json
import runpy
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from nefstudy.errors import BadConfig, BadRoot
from nefstudy.ledger import Ledger, Owner, TrialState
from nefstudy.study.driver.run import StudyRun
from nefstudy.study.exchange.optuna_export import export_optuna
from nefstudy.study.plan.scales import SCALES, search_cells
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.tasks.result import TrialResult

from ...classification import all_trials
from ...ledger.records import as_cells, as_record
from ...present import present
from ..old_names import make_old

pytestmark = pytest.mark.slow


def found(value: float, epochs: int) -> TrialResult:
    """Return a trial's result with a curve up to the given epoch."""
    curve = [(epoch, value * epoch / 9) for epoch in range(1, epochs + 1)]
    metrics = {"val_accuracy": value, "test_accuracy": value - 0.1, "all_psnr": 20.0}
    return TrialResult(metrics, {"val_accuracy": curve}, {}, {})


@pytest.fixture
def searched(ledger):
    """Record a search of two cells with trials in various states, and a request outside the search space."""
    search = search_cells(SCALES["smoke"], ("mnist5k/rffnet", "mnist5k/siren"), trials=12)
    plan = StudyPlan(study="s", cells=search)
    ledger.studies.put("s", plan.describe(), cells=as_cells(plan.planned()))
    run = StudyRun(plan, ledger=ledger, lease=ledger.leases.acquire("s", Owner.current()), pruner="asha")
    for number in range(23):
        suggestion = present(run.next("t"))
        value = (int(suggestion.trial.key[:4], 16) % 100) / 100
        run.started("t")
        if number == 5:
            run.failed("t", cause="diverged", error="gone")
        elif not run.prune_if_weak("t", found(value, 1)):
            run.completed("t", found(value, 9))
    run.next("last")
    run.started("last")
    cell = search[0]
    outside = plan.sampled(cell).codec.configure(
        {**cell.fixed, "init": "shared", "steps": 10, "hidden": 512, "lr": 1e-3}
    )
    ledger.trials.request("s", "phase1", record=as_record(outside))
    return ledger


def test_optuna_reads_what_the_ledger_holds(searched: Ledger, tmp_path: Path):
    """Everything that Optuna reads about a trial equals what the ledger contains."""
    out = tmp_path / "study.db"
    written = {one.name: one for one in export_optuna(searched, out)}
    assert {name: (one.trials, one.outside) for name, one in written.items()} == {
        "s/phase1/mnist5k/rffnet": (12, 1),
        "s/phase1/mnist5k/siren": (12, 0),
    }
    loaded = optuna.load_study(study_name="s/phase1/mnist5k/rffnet", storage=f"sqlite:///{out}")
    assert loaded.direction is optuna.study.StudyDirection.MAXIMIZE
    states = {state.name for state in {trial.state for trial in loaded.trials}}
    assert {"COMPLETE", "PRUNED"} <= states <= {"COMPLETE", "PRUNED", "FAIL", "RUNNING"}
    for trial in loaded.trials:
        row = present(searched.trials.get(trial.user_attrs["key"], study="s"))
        assert trial.state.name == {"FAILED": "FAIL"}.get(row.state, row.state)
        assert trial.params["lr"] == row.config["dataset"]["optimizer"]["lr"]
        assert trial.params["hidden"] == row.parameters["hidden"]
        assert trial.params["init"] == row.parameters["init"]
        if row.state in (TrialState.COMPLETE, TrialState.PRUNED):
            assert trial.value == row.score
            assert trial.user_attrs["test_accuracy"] == row.metrics.get("test_accuracy")
            curve = searched.trials.curves("s", "phase1", key=row.key)["val_accuracy"]
            assert trial.intermediate_values == {int(epoch): value for epoch, value in curve}
            assert trial.datetime_complete >= trial.datetime_start
    ranges = loaded.trials[0].distributions
    assert ranges["lr"] == FloatDistribution(1e-4, 3e-2, log=True)
    assert ranges["hidden"] == IntDistribution(8, 32, log=True)
    assert ranges["steps"] == CategoricalDistribution((10, 25, 75))
    best = searched.trials.best("s", cell="mnist5k/rffnet")[0]
    assert loaded.best_trial.user_attrs["key"] == best.key


def test_exporting_again_brings_it_up_to_date_and_spares_others(searched: Ledger, tmp_path: Path):
    """A new export replaces an earlier one but never overwrites another program's file."""
    out = tmp_path / "study.db"
    export_optuna(searched, out)
    assert [one.name for one in export_optuna(searched, out, cell="mnist5k/siren")] == ["s/phase1/mnist5k/siren"]
    assert optuna.get_all_study_names(f"sqlite:///{out}") == ["s/phase1/mnist5k/siren"]
    theirs = tmp_path / "theirs.db"
    optuna.create_study(study_name="mine", storage=f"sqlite:///{theirs}")
    (tmp_path / "text.db").write_text("not a database")
    for path in (theirs, tmp_path / "text.db"):
        before = path.read_bytes()
        with pytest.raises(BadConfig, match="--out"):
            export_optuna(searched, path)
        assert path.read_bytes() == before
    with pytest.raises(BadConfig, match="nowhere/siren"):
        export_optuna(searched, out, cell="nowhere/siren")
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("cell", [None, "mnist5k/gr\u00f6\u00dfe"])
def test_a_study_with_a_name_of_an_older_version_is_skipped(searched: Ledger, tmp_path: Path, caplog, cell):
    """An export skips a study whose name only older versions accepted.

    One line is logged. A request for only that study is an error.
    """
    plan = StudyPlan(study="two", cells=search_cells(SCALES["smoke"], ("mnist5k/siren",), trials=2))
    searched.studies.put("two", plan.describe(), cells=as_cells(plan.planned()))
    old = make_old(f"sqlite:///{tmp_path}/ledger.db", "s", cell=cell)
    assert [one.name for one in export_optuna(searched, tmp_path / "out.db")] == ["two/phase1/mnist5k/siren"]
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"study {old!r} is skipped")
    with pytest.raises(BadConfig, match="nothing"):
        export_optuna(searched, tmp_path / "out.db", study=old)


UNWRITABLE = {
    "a directory": ".",
    "its parent": "..",
    "the root": "/",
    "no such directory": "not/there/study.db",
    "not a directory": "file/study.db",
    "read-only": "/proc/study.db",
    "too long": "x" * 300,
    "not UTF-8": "\udcff.db",
    "zero": "a\0b.db",
}


@pytest.mark.parametrize("out", UNWRITABLE.values(), ids=UNWRITABLE)
def test_a_file_that_cannot_be_written_is_refused_in_one_line(searched: Ledger, tmp_path: Path, monkeypatch, out):
    """If the output path cannot be written, a one-line error names --out, and no file is left behind."""
    (tmp_path / "file").write_text("mine")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((BadRoot, BadConfig), match="--out") as refused:
        export_optuna(searched, Path(out))
    assert "\n" not in str(refused.value)
    assert [path for path in sorted(tmp_path.rglob("*")) if not path.name.startswith("ledger.db")] == [
        path for path in before if not path.name.startswith("ledger.db")
    ]


def test_a_grid_over_classifiers_is_exported_by_their_names(ledger: Ledger, tmp_path: Path):
    """In the exported classifier ablation, the parameters of each trial include the name of its classifier."""
    from nefstudy.study.options import StudyOptions

    script = Path(__file__).parents[3] / "studies" / "classifier_ablation.py"
    plan = runpy.run_path(str(script))["plan"](StudyOptions(cells=("mnist5k/siren",)))
    ledger.studies.put(plan.study, plan.describe(), cells={})
    trials = all_trials(plan, plan.cells[0])
    for trial in trials:
        ledger.trials.request(plan.study, "phase2", record=as_record(trial))
    (one,) = export_optuna(ledger, tmp_path / "a.db")
    assert (one.trials, one.outside) == (len(trials), 0)
    loaded = optuna.load_study(study_name=one.name, storage=f"sqlite:///{tmp_path}/a.db")
    assert {t.params["classifier"] for t in loaded.trials} == set(plan.cells[0].space["classifier"].values)


def test_the_real_dashboard_opens_it(searched: Ledger, tmp_path: Path):
    """optuna-dashboard lists the exported studies and all trials of one of them."""
    out = tmp_path / "study.db"
    export_optuna(searched, out)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    program = str(Path(sys.executable).with_name("optuna-dashboard"))
    command = [program, f"sqlite:///{out}", "--port", address.rpartition(":")[2], "--server", "wsgiref"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as dashboard:
        try:
            studies = ask(f"{address}/api/studies", patience_s=60)
            listed = {study["study_name"]: study["study_id"] for study in studies["study_summaries"]}
            assert set(listed) == {"s/phase1/mnist5k/rffnet", "s/phase1/mnist5k/siren"}
            detail = ask(f"{address}/api/studies/{listed['s/phase1/mnist5k/siren']}")
        finally:
            dashboard.terminate()
            dashboard.wait(timeout=20)
    rows = [row for row in searched.trials.page("s", cell="mnist5k/siren", limit=None).rows if row.score is not None]
    assert len(detail["trials"]) == 12
    values = sorted(trial["values"][0] for trial in detail["trials"] if trial.get("values"))
    assert values == sorted(present(row.score) for row in rows)


def ask(address: str, *, patience_s: float = 0):
    """Return the response from an address once a server listens there."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            with urllib.request.urlopen(address, timeout=20) as answer:
                return json.loads(answer.read())
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
