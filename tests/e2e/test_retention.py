"""Tests that a study pauses if disk space is short, and keeps only what its plan requests."""

import shutil

import pytest

from nefstudy.ledger import Ledger, TrialState

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_a_study_short_of_space_stops_and_resumes(tmp_path, run_python, nefstudy):
    """Without enough disk space, a study pauses, and its command exits with code 1 and prints how to resume it.

    With enough space, it resumes and computes each fit once.
    """
    command = ("tests/e2e/tiny_study.py", "--root", tmp_path, "--study", "tiny", "--cells", "digits8/siren")
    done = run_python(*command, "--keep", "none", "--min-free-gb", 1e6, expect=1)
    assert "run the same command again" in done.stderr
    assert "Traceback" not in done.stderr
    (study,) = nefstudy("status", "--root", tmp_path)["studies"]
    assert study["state"] == "paused"
    run_python(*command, "--keep", "none")
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", read_only=True) as ledger:
        rows = ledger.trials.page("tiny", limit=None).rows
        datasets = ledger.datasets.all()
    assert [row.state for row in rows] == [TrialState.COMPLETE] * 7
    assert {row.state for row in datasets} == {"dropped"}
    assert not list((tmp_path / "neural_datasets").iterdir())
    assert sum(row.metrics["field_steps"] > 0 for row in rows) == len({row.dataset for row in rows}) == len(datasets)
    assert nefstudy("replay", rows[0].key, "--root", tmp_path)["same"], "a dropped neural dataset can be computed again"
    assert nefstudy("dataset", "gc", "--root", tmp_path) == []


def test_manual_garbage_collection(finished_root, tmp_path, nefstudy):
    """`dataset gc --keep` drops exactly the neural datasets that its dry run lists."""
    root = tmp_path / "root"
    shutil.copytree(finished_root, root)
    plan = nefstudy("plan", "tests/e2e/tiny_study.py", "--root", root, "--study", "tiny")
    assert [(cell["phase"], cell["cell"], cell["results"], cell["fits"]) for cell in plan["reuse"]] == [
        ("phase1", "digits8/siren", 3, 3),
        ("phase1", "digits8/rffnet", 3, 3),
        ("phase2", "digits8/siren", 4, 2),
        ("phase2", "digits8/rffnet", 4, 2),
    ]
    assert not any(v["goes"] for v in nefstudy("dataset", "gc", "--root", root, "--dry-run"))
    listed = nefstudy("dataset", "gc", "--root", root, "--keep", "best:1", "--dry-run")
    assert 0 < sum(v["goes"] for v in listed) < len(listed) == 10
    assert nefstudy("dataset", "gc", "--root", root, "--keep", "best:1") == listed
    left = {path.name for path in (root / "neural_datasets").iterdir()}
    assert left == {v["dataset"] for v in listed if not v["goes"]}
