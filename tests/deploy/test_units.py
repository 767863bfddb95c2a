"""Tests of the systemd units: their validity, their hardening and their command lines."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = sorted(SYSTEMD.glob("*.service"))
HERE = str(Path(sys.executable).parent)
THERE = "/opt/nefstudy/.venv/bin"
MOST_EXPOSED = 4.0  # systemd's score from 0 to 10; a unit without any hardening has 9.2

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")


def service(unit: Path) -> configparser.SectionProxy:
    """Return the [Service] section of a unit, without its comments."""
    parsed = configparser.ConfigParser(interpolation=None, strict=False, comment_prefixes=("#",))
    parsed.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names have capitals
    parsed.read_string(unit.read_text())
    return parsed["Service"]


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Return the output of systemd-analyze for unit files."""
    command = ["systemd-analyze", "--no-pager", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def installed(tmp_path: Path):
    """Return a function that copies a unit and replaces its programs under /opt with those of this environment."""

    def copy(unit: Path, *, text: str | None = None) -> str:
        target = tmp_path / unit.name
        target.write_text((text or unit.read_text()).replace(THERE, HERE))
        return str(target)

    return copy


def test_there_is_a_unit_for_each_part():
    """There are units for the status service, MLflow, the Ray head and the Ray worker."""
    assert [unit.stem for unit in UNITS] == [
        f"nefstudy-{part}" for part in ("mlflow", "ray-head", "ray-worker", "status")
    ]


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_accepts_the_unit_and_finds_it_closed(unit, installed):
    """systemd accepts each unit without errors and rates its exposure as low."""
    path = installed(unit)
    verified = analyze("verify", "--man=no", "--recursive-errors=no", path)
    assert (verified.returncode, verified.stderr) == (0, "")
    scored = analyze("security", "--offline=true", path).stdout
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", scored)
    assert float(exposure) < MOST_EXPOSED


@needs_systemd
def test_a_misspelt_setting_is_seen(installed):
    """systemd reports a misspelled setting, which shows that the test above would detect an invalid unit."""
    broken = installed(UNITS[0], text=UNITS[0].read_text().replace("ProtectSystem=strict", "ProtectSystems=strict"))
    assert "ProtectSystems" in analyze("verify", "--man=no", "--recursive-errors=no", broken).stderr


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_every_option_is_one_the_program_knows(unit):
    """Each option on a unit's command line appears in the help of its program."""
    words = service(unit)["ExecStart"].split()
    assert words[0].startswith(f"{THERE}/")
    program, command = Path(words[0]).name, words[1]
    told = subprocess.run([f"{HERE}/{program}", command, "--help"], capture_output=True, text=True, check=True).stdout
    options = {word.split("=")[0] for word in words if word.startswith("--")}
    assert [option for option in options if option not in told] == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_keeps_the_rules_of_hardening(unit):
    """No systemd unit runs as root, contains a secret or listens on all interfaces.

    Unsafe defaults of MLflow and Ray are turned off.
    """
    found = service(unit)
    assert found["User"] == "nefstudy"
    assert found["EnvironmentFile"] == "/etc/nefstudy/environment"
    assert "TOKEN=" not in unit.read_text()
    start = found["ExecStart"]
    assert "0.0.0.0" not in start
    assert "host" not in start or "host 127.0.0.1" in start or "host=127.0.0.1" in start
    if "mlflow" in unit.stem:
        for name in ("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"):
            assert f"{name}=false" in found["Environment"]
    if "ray" in unit.stem:
        assert "RAY_AUTH_MODE=token" in found["Environment"]


def test_every_variable_of_a_unit_is_in_the_example():
    """Every variable on a unit's command line is set in the example environment file."""
    named = set(re.findall(r"^([A-Z_]+)=", (SYSTEMD / "environment.example").read_text(), flags=re.MULTILINE))
    assert {name for unit in UNITS for name in re.findall(r"\$\{([A-Z_]+)\}", unit.read_text())} <= named
    assert {"NEFSTUDY_API_TOKEN", "RAY_AUTH_TOKEN", "NEFSTUDY_ROOT", "NEFSTUDY_LEDGER"} <= named
