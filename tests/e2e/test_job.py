"""Tests of `ray job submit -- python studies/phase1.py` on a running cluster with token authentication."""

import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from .ray_head import RAY, ray_head

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster():
    """Run a head node as an operator would, with token authentication."""
    with ray_head() as head:
        yield head


def submit(cluster, *arguments, timeout=280):
    command = [
        str(RAY),
        "job",
        "submit",
        "--address",
        cluster.dashboard,
        "--working-dir",
        ".",
        "--",
        "python",
        *arguments,
    ]
    return subprocess.run(
        command, cwd=PROJECT, env=cluster.environment, capture_output=True, text=True, timeout=timeout, check=False
    )


def test_jobs_without_the_token_are_rejected(cluster):
    """The jobs API returns 401 without the token, since an unprotected API would run anyone's code."""
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(cluster.dashboard + "/api/jobs/", timeout=10)
    error.value.close()
    assert error.value.code == 401


def test_a_relative_root_in_a_job_is_rejected(cluster):
    """A job with a relative root fails with a one-line error."""
    done = submit(cluster, "studies/phase1.py", "--scale", "smoke", "--root", "runs")
    assert done.returncode != 0
    assert "is relative, but a Ray job runs in a copy" in done.stdout + done.stderr


def test_a_submitted_study_runs_and_resubmitting_resumes_it(cluster, tmp_path, nefstudy):
    """Submitting a study again with a larger budget completes its trials up to the new budget."""
    arguments = ["studies/phase1.py", "--scale", "smoke", "--cells", "mnist5k/siren", "--root", str(tmp_path)]
    first = submit(cluster, *arguments, "--trials", "1")
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-3000:]
    assert _complete(nefstudy, tmp_path) == 1
    second = submit(cluster, *arguments, "--trials", "2")
    assert second.returncode == 0, second.stdout[-3000:] + second.stderr[-3000:]
    assert _complete(nefstudy, tmp_path) == 2


def _complete(nefstudy, root) -> int:
    (study,) = nefstudy("status", "--root", root)["studies"]
    return sum(phase["complete"] for phase in study["phases"])
