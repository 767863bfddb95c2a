"""A study in surroundings that its author did not have, and under a name that is a path: run as a user runs it."""

import pytest

from nefstudy.ledger import Ledger, TrialState

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(900)]

SMALL = ["tests/e2e/tiny_study.py", "--study", "tiny", "--cells", "digits8/siren", "--trials", "1"]


@pytest.fixture
def rows_after(tmp_path, run_python):
    """Run one cell of the tiny study, and return the rows of its ledger."""

    def run(*arguments, **environment):
        root = tmp_path / "root"
        run_python(*SMALL, "--root", root, *arguments, timeout=800, **environment)
        with Ledger.open(f"sqlite:///{root}/ledger.db", read_only=True) as ledger:
            return ledger.trials.page("tiny", limit=None).rows

    return run


@pytest.mark.ray
def test_a_study_runs_where_nothing_can_be_compiled(rows_after):
    """There is no place for compiled programs: the eager engine fits every trial, and its fingerprint names it."""
    rows = rows_after("--engine", "compiled", TORCHINDUCTOR_CACHE_DIR="/proc/nocache")
    assert [row.state for row in rows] == [TrialState.COMPLETE] * 5
    assert {row.fingerprint["engine"] for row in rows} == {"eager"}


@pytest.mark.ray
def test_a_study_runs_under_a_temporary_directory_too_long_for_sockets(rows_after, tmp_path):
    """With 100 characters in TMPDIR, as batch systems set it, Ray gets another directory and every trial completes."""
    long = tmp_path / ("scratch-of-a-batch-job-" * 5)
    long.mkdir()
    assert [row.state for row in rows_after(TMPDIR=str(long))] == [TrialState.COMPLETE] * 5


def test_a_study_named_by_a_path_touches_nothing(run_python, tmp_path):
    """`--study ../../other` ends with exit code 2 and one line; a folder next to the root keeps its content."""
    notes = tmp_path / "other" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    done = run_python(*SMALL, "--study", "../../other", "--root", tmp_path / "root", expect=2)
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["other", "notes.txt"]
    assert notes.read_text() == "mine"
