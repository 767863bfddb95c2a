"""Tests of the locations of the root, the ledger and the MLflow store."""

import os
import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url

from nefstudy.errors import BadConfig, BadInput, BadLedger, BadRoot
from nefstudy.ledger import Ledger
from nefstudy.study.locations import RAY_JOB, Locations, ensure_home, ensure_writable, resolve_locations


def test_flags_beat_environment_beats_default(tmp_path, monkeypatch):
    """The option --root overrides NEFSTUDY_ROOT, which overrides the default root ./runs.

    The ledger and the MLflow store are under the root unless they are specified.
    """
    monkeypatch.chdir(tmp_path)
    default = resolve_locations(None, environment={})
    assert default.root == str(tmp_path / "runs")
    assert default.ledger == f"sqlite:///{tmp_path}/runs/ledger.db"
    assert default.mlflow == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert resolve_locations(None, environment={"NEFSTUDY_ROOT": "/e"}).root == "/e"
    assert resolve_locations("/f", environment={"NEFSTUDY_ROOT": "/e"}).root == "/f"
    assert (
        resolve_locations("/f", "postgresql://h/d", environment={"NEFSTUDY_LEDGER": "x"}).ledger == "postgresql://h/d"
    )


def test_a_relative_root_inside_a_ray_job_is_refused():
    """A relative root is rejected in a Ray job, because the job's working directory is deleted."""
    with pytest.raises(BadRoot, match=r"relative.*--root /an/absolute/path"):
        resolve_locations("runs", environment={RAY_JOB: "{}"})
    with pytest.raises(BadRoot):
        resolve_locations(None, environment={RAY_JOB: "{}"})
    assert resolve_locations("/r", environment={RAY_JOB: "{}"}).root == "/r"


def test_a_uri_root_needs_a_ledger_of_its_own():
    """A root that is a URI needs a PostgreSQL ledger, because SQLite does not work on an object store."""
    with pytest.raises(BadConfig, match="postgresql"):
        resolve_locations("s3://bucket/x", environment={})
    assert not resolve_locations("s3://bucket/x", "postgresql://h/d", environment={}).local


def test_an_unwritable_root_is_refused_by_name(tmp_path):
    """If a file blocks the path of the root, the error names the root."""
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    with pytest.raises(BadRoot, match=f"{blocked}/root"):
        ensure_writable(Locations(str(blocked / "root"), "", ""))
    ensure_writable(Locations(str(tmp_path / "new" / "root"), "", ""))
    assert list((tmp_path / "new" / "root").iterdir()) == []


def test_a_uri_is_proved_before_anything_runs(tmp_path):
    """A root with an unknown scheme and a root that cannot be written are rejected before a run.

    Checking a writable root leaves no file behind.
    """
    for root in ("nonsense://bucket/study", f"file://{tmp_path}/file/study"):
        (tmp_path / "file").write_text("in the way")
        locations = resolve_locations(root, "postgresql://host/ledger", environment={})
        with pytest.raises(BadRoot, match=r"nonsense|file"):
            ensure_writable(locations)
    locations = resolve_locations(f"file://{tmp_path}/study", "postgresql://host/ledger", environment={})
    ensure_writable(locations)
    assert list((tmp_path / "study").iterdir()) == []


ODD = ("plain", "a b", "run?lr=1", "run?lr=2", "a%41b", "aAb", "a#b", "a%b", "größe", "x;y", "a&b=c", "a@b:c", "{x}")


@pytest.mark.parametrize("name", ODD)
def test_a_ledger_and_an_mlflow_store_lie_in_their_root(tmp_path, name):
    """Whatever characters a root's name contains, its ledger and MLflow store are inside the root."""
    root = tmp_path / name
    locations = resolve_locations(str(root), environment={})
    with Ledger.open(locations.ledger) as ledger:
        ledger.studies.put("s", {}, cells={})
    assert make_url(locations.mlflow).database == f"{root}/mlflow.db"
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*.db")] == [root.relative_to(tmp_path) / "ledger.db"]


@pytest.mark.parametrize("ledger", ["ledger.db", "./x/ledger.db", "sqlite:///ledger.db", "sqlite:///x/ledger.db"])
def test_a_relative_ledger_inside_a_ray_job_is_refused(ledger):
    """A relative ledger path is rejected in a Ray job, because the job's working directory is deleted."""
    for flag, environment in ((ledger, {}), (None, {"NEFSTUDY_LEDGER": ledger})):
        with pytest.raises(BadLedger, match=r"relative.*Ray job.*absolute"):
            resolve_locations("/r", flag, environment={RAY_JOB: "{}"} | environment)
    for absolute in ("/r/ledger.db", "sqlite:////r/ledger.db", "~/ledger.db", "postgresql://h/d"):
        assert resolve_locations("/r", absolute, environment={RAY_JOB: "{}"}).ledger == absolute


@pytest.mark.parametrize("uri", ["mlruns", "./mlruns", "sqlite:///mlflow.db", "sqlite://", "file:mlruns"])
def test_a_relative_mlflow_store_inside_a_ray_job_is_refused(uri):
    """A relative MLflow store is rejected in a Ray job, because the job's working directory is deleted."""
    with pytest.raises(BadConfig, match=r"MLFLOW_TRACKING_URI.*relative.*Ray job"):
        resolve_locations("/r", environment={RAY_JOB: "{}", "MLFLOW_TRACKING_URI": uri})
    for kept in ("http://h:5000", "/r/mlruns", "file:///r/mlruns", "sqlite:////r/mlflow.db", "databricks"):
        assert resolve_locations("/r", environment={RAY_JOB: "{}", "MLFLOW_TRACKING_URI": kept}).mlflow == kept


def test_a_tilde_is_the_home_directory_everywhere(tmp_path, monkeypatch):
    """A tilde in the location of a root, ledger or MLflow store means the home directory."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    assert resolve_locations("~/runs", environment={}).root == f"{tmp_path}/home/runs"
    for ledger in ("~/a/ledger.db", "sqlite:///~/b/ledger.db"):
        with Ledger.open(resolve_locations("~/runs", ledger, environment={}).ledger) as opened:
            opened.studies.put("s", {}, cells={})
    assert (tmp_path / "home" / "a" / "ledger.db").is_file()
    assert (tmp_path / "home" / "b" / "ledger.db").is_file()
    for uri in ("~/mlflow.db", "sqlite:///~/mlflow.db"):
        found = resolve_locations("~/runs", environment={"MLFLOW_TRACKING_URI": uri}).mlflow
        assert found.endswith(f"{tmp_path}/home/mlflow.db")
    assert not (tmp_path / "~").exists()


EXAMPLES = int(os.environ.get("NEFSTUDY_EXAMPLES", "200"))
PARTS = st.text(st.sampled_from("ab?#%;&=@:~ [].\n\\'\"{}ü\udcff\0\x1b$") | st.characters(), min_size=1, max_size=60)


def fresh(factory: pytest.TempPathFactory) -> Path:
    """Return an empty directory that all examples share, since thousands of directories would fill the disk."""
    base = factory.getbasetemp() / "example"
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir()
    return base


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None)
@given(PARTS.filter(lambda part: "/" not in part and part not in (".", "..")))
def test_any_root_is_refused_in_a_line_or_holds_all_that_is_written(tmp_path_factory, part):
    """A root with any name is either rejected as bad input or contains all files that are written."""
    base = fresh(tmp_path_factory)
    root, lines = f"{base}/{part}", []
    try:
        locations = resolve_locations(root, environment={})
        ensure_writable(locations)
        with Ledger.open(locations.ledger) as ledger:
            ledger.studies.put("s", {}, cells={})
    except BadInput as refused:
        lines = str(refused).splitlines()
    assert len(lines) <= 1
    if lines:
        assert list(base.iterdir()) == []
        return
    assert [path.name for path in base.iterdir()] == [part]
    assert Path(root, "ledger.db").is_file()
    assert make_url(locations.mlflow).database == f"{root}/mlflow.db"


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None)
@given(PARTS, st.sampled_from(["", "sqlite:///"]))
def test_any_ledger_address_is_refused_in_a_line_or_makes_that_file(tmp_path_factory, part, scheme):
    """Opening a ledger at any address either creates exactly the named file or is rejected and creates no file."""
    name = unquote(part) if scheme else part
    assume("/" not in name and name.strip() not in (".", ".."))
    base = fresh(tmp_path_factory)
    lines = []
    try:
        with Ledger.open(f"{scheme}{base}/{part}") as ledger:
            ledger.studies.put("s", {}, cells={})
    except BadInput as refused:
        lines = str(refused).splitlines()
    assert len(lines) <= 1
    assert [path.name for path in base.iterdir() if not path.name.endswith(("-wal", "-shm"))] == (
        [] if lines else [name]
    )


def test_a_user_without_a_home_gets_the_name_of_one(monkeypatch) -> None:
    """For a user without HOME and without a passwd entry, HOME is set to a placeholder that libraries can use."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    with pytest.raises(RuntimeError):
        Path.home()
    environment: dict[str, str] = {}
    ensure_home(environment)
    assert environment == {"HOME": "/nonexistent"}


def test_a_home_that_is_known_is_kept(monkeypatch) -> None:
    """A known home directory is kept, whether or not it is writable."""
    monkeypatch.setenv("HOME", "/proc")
    environment = {"HOME": "/proc"}
    ensure_home(environment)
    assert environment == {"HOME": "/proc"}
