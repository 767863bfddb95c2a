"""Tests that the README's commands work on a finished study."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text()


def lines_with(word: str) -> list[str]:
    """Return the README's bash lines that begin with `word`, without comments and with continuation lines joined."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith(word)]


@pytest.fixture(scope="module")
def root(finished_root, tmp_path_factory, run_python):
    """Return a root with two finished studies, where the second one reuses all trials of the first."""
    root = tmp_path_factory.mktemp("readme") / "root"
    shutil.copytree(finished_root, root)
    run_python("tests/e2e/tiny_study.py", "--root", root, "--study", "other")
    return root


@pytest.fixture(scope="module")
def key(root, nefstudy):
    """Return the key of a finished trial."""
    return nefstudy("status", "--root", root)["studies"][0]["best"][0]["key"]


@pytest.fixture(scope="module")
def digest(root, nefstudy):
    """Return the digest of a neural dataset."""
    return nefstudy("dataset", "ls", "--root", root)[0]["dataset"]


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    """Return a folder of forty small images in two classes."""
    import numpy as np
    from PIL import Image

    folder = tmp_path_factory.mktemp("data") / "birds"
    for label, dark in (("hawk", 40), ("owl", 200)):
        (folder / label).mkdir(parents=True)
        for index in range(20):
            pixels = np.full((12, 12), dark + index, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{index}.png")
    return folder


@pytest.fixture
def shell(root, key, digest, birds):
    """Return a function that runs a command line as a user would, after replacing its placeholders."""

    def run(line: str) -> str:
        for word, value in (
            ("KEY", key),
            ("DIGEST", digest),
            ("study.db", root.parent / "study.db"),
            ("smoke", "tiny"),
        ):
            line = re.sub(rf"\b{re.escape(word)}\b", str(value), line)
        line = line.replace("/data/birds", str(birds))
        environment = os.environ | {
            "NEFSTUDY_ROOT": str(root),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
        }
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout

    return run


@pytest.mark.parametrize("line", [line for line in lines_with("nefstudy") if "serve" not in line])
def test_every_nefstudy_command_works(shell, line):
    """Each `nefstudy` command in the README exits with code 0 and prints output."""
    assert shell(line).strip()


@pytest.mark.parametrize("line", [line for line in lines_with("python") if "--dry-run" in line])
def test_the_dry_run_lists_the_plan(shell, line):
    """The dry run lists the cells that a real run would process."""
    assert ("folder/siren" if "--cells folder" in line else "mnist5k/siren") in shell(line)


def test_every_rest_query_works(shell, served, root):
    """Each curl command in the README returns JSON from the real service."""
    queries = lines_with("curl")
    assert len(queries) >= 3
    with served(root) as get:
        assert get("/healthz")
        for line in queries:
            result = json.loads(
                shell(line.replace("http://127.0.0.1:8000", get.address).replace("curl", "curl -fsS", 1))
            )
            assert result


def test_the_study_of_your_own_images_runs(tmp_path, birds, run_python):
    """The README's script finishes on forty images and one small cell."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    (script,) = [block for block in blocks if "/data/birds" in block]
    script = script.replace("/data/birds", str(birds)).replace('"size": 32', '"size": 8')
    script = script.replace("Categorical((16, 32))", "Categorical((4,))").replace(
        "Categorical((25, 75, 200))", "Categorical((2,))"
    )
    (tmp_path / "birds.py").write_text(script)
    output = run_python(tmp_path / "birds.py", "--root", tmp_path / "runs").stdout
    assert "4/4 trials complete" in output
