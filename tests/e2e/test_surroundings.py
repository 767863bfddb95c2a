"""Tests of studies in unusual environments and of study names that are paths."""

import pytest

from nefstudy.ledger import Ledger, TrialState

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(900)]

SMALL = ["tests/e2e/tiny_study.py", "--study", "tiny", "--cells", "digits8/siren", "--trials", "1"]


@pytest.fixture
def rows_after(tmp_path, run_python):
    """Return a function that runs one cell of the tiny study and returns the rows of its trials."""

    def run(*arguments, **environment):
        root = tmp_path / "root"
        run_python(*SMALL, "--root", root, *arguments, timeout=800, **environment)
        with Ledger.open(f"sqlite:///{root}/ledger.db", read_only=True) as ledger:
            return ledger.trials.page("tiny", limit=None).rows

    return run


@pytest.mark.ray
def test_a_study_runs_where_nothing_can_be_compiled(rows_after):
    """If the directory for compiled programs cannot be created, the eager engine fits every trial."""
    rows = rows_after("--engine", "compiled", TORCHINDUCTOR_CACHE_DIR="/proc/nocache")
    assert [row.state for row in rows] == [TrialState.COMPLETE] * 5
    assert {row.fingerprint["engine"] for row in rows} == {"eager"}


@pytest.mark.ray
def test_a_study_runs_under_a_temporary_directory_too_long_for_sockets(rows_after, tmp_path):
    """With a `TMPDIR` of over 100 characters, as on batch systems, all trials complete."""
    long = tmp_path / ("scratch-of-a-batch-job-" * 5)
    long.mkdir()
    assert [row.state for row in rows_after(TMPDIR=str(long))] == [TrialState.COMPLETE] * 5


def test_a_study_named_by_a_path_touches_nothing(run_python, tmp_path):
    """A study name that is a path is rejected with a one-line error.

    The directory next to the root stays unchanged.
    """
    notes = tmp_path / "other" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    done = run_python(*SMALL, "--study", "../../other", "--root", tmp_path / "root", expect=2)
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["other", "notes.txt"]
    assert notes.read_text() == "mine"
