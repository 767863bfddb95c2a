"""Laws of places: explicit beats environment beats default, and what cannot work is refused first."""

import pytest

from nefstudy.errors import BadConfig, BadRoot
from nefstudy.study.place import RAY_JOB, Place, ensure_writable, resolve_place


def test_flags_beat_environment_beats_default(tmp_path, monkeypatch):
    """--root, then NEFSTUDY_ROOT, then ./runs; ledger and MLflow live under the root unless named."""
    monkeypatch.chdir(tmp_path)
    default = resolve_place(None, environment={})
    assert default.root == str(tmp_path / "runs")
    assert default.ledger == f"sqlite:///{tmp_path}/runs/ledger.db"
    assert default.mlflow == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert resolve_place(None, environment={"NEFSTUDY_ROOT": "/e"}).root == "/e"
    assert resolve_place("/f", environment={"NEFSTUDY_ROOT": "/e"}).root == "/f"
    assert resolve_place("/f", "postgresql://h/d", environment={"NEFSTUDY_LEDGER": "x"}).ledger == "postgresql://h/d"


def test_a_relative_root_inside_a_ray_job_is_refused():
    """A job's working directory is thrown away; an absolute root is fine."""
    with pytest.raises(BadRoot, match=r"relative.*--root /an/absolute/path"):
        resolve_place("runs", environment={RAY_JOB: "{}"})
    with pytest.raises(BadRoot):
        resolve_place(None, environment={RAY_JOB: "{}"})
    assert resolve_place("/r", environment={RAY_JOB: "{}"}).root == "/r"


def test_a_uri_root_needs_a_ledger_of_its_own():
    """SQLite cannot live on an object store."""
    with pytest.raises(BadConfig, match="postgresql"):
        resolve_place("s3://bucket/x", environment={})
    assert not resolve_place("s3://bucket/x", "postgresql://h/d", environment={}).local


def test_an_unwritable_root_is_refused_by_name(tmp_path):
    """A file where the root should be: one line that names it."""
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    with pytest.raises(BadRoot, match="cannot be written"):
        ensure_writable(Place(str(blocked / "root"), "", ""))
    ensure_writable(Place(str(tmp_path / "new" / "root"), "", ""))
    assert list((tmp_path / "new" / "root").iterdir()) == []


def test_a_uri_is_proved_before_anything_runs(tmp_path):
    """A scheme that pyarrow does not know and a place nobody can write are refused; what can be written stays clean."""
    for root in ("nonsense://bucket/study", f"file://{tmp_path}/file/study"):
        (tmp_path / "file").write_text("in the way")
        place = resolve_place(root, "postgresql://host/ledger", environment={})
        with pytest.raises(BadRoot, match=r"nonsense|file"):
            ensure_writable(place)
    place = resolve_place(f"file://{tmp_path}/study", "postgresql://host/ledger", environment={})
    ensure_writable(place)
    assert list((tmp_path / "study").iterdir()) == []
