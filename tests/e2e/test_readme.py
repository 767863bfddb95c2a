"""The commands of README are run, against a study that really ran."""

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
    """Command lines of README's bash blocks that begin with `word`, comments dropped, continuations joined."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith(word)]


@pytest.fixture(scope="module")
def root(finished_root, tmp_path_factory, run_python):
    """A root with two finished studies, the second of which found all its trials in the first."""
    root = tmp_path_factory.mktemp("readme") / "root"
    shutil.copytree(finished_root, root)
    run_python("tests/e2e/tiny_study.py", "--root", root, "--study", "other")
    return root


@pytest.fixture(scope="module")
def key(root, nefstudy):
    """The key of a finished trial."""
    return nefstudy("status", "--root", root)["studies"][0]["best"][0]["key"]


@pytest.fixture
def shell(root, key):
    """Run a line as a reader would, in the virtual environment, with a tiny study and one of its trials in place."""

    def run(line: str) -> str:
        for word, here in (("KEY", key), ("study.db", root.parent / "study.db"), ("smoke", "tiny")):
            line = re.sub(rf"\b{re.escape(word)}\b", str(here), line)
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
    """Each command of the README ends with exit code 0 and says something."""
    assert shell(line).strip()


@pytest.mark.parametrize("line", [line for line in lines_with("python") if "--dry-run" in line])
def test_the_dry_run_prices_the_plan(shell, line):
    """The dry run names every cell it would run."""
    assert "mnist5k/siren" in shell(line)


def test_every_rest_query_answers(shell, served, root):
    """Each curl line of the README gets JSON from the real service."""
    queries = lines_with("curl")
    assert len(queries) >= 3
    with served(root) as get:
        assert get("/healthz")
        for line in queries:
            answer = json.loads(
                shell(line.replace("http://127.0.0.1:8000", get.address).replace("curl", "curl -fsS", 1))
            )
            assert answer


def test_the_study_of_your_own_images_runs(tmp_path, run_python):
    """The README's script, on forty pictures and one small cell, runs to its end."""
    import numpy as np
    from PIL import Image

    for label, dark in (("hawk", 40), ("owl", 200)):
        (tmp_path / "birds" / label).mkdir(parents=True)
        for index in range(20):
            pixels = np.full((12, 12), dark + index, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "birds" / label / f"{index}.png")
    blocks = re.findall(r"^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    (script,) = [block for block in blocks if "/data/birds" in block]
    script = script.replace("/data/birds", str(tmp_path / "birds")).replace('"size": 32', '"size": 8')
    script = script.replace("Choice((16, 32))", "Choice((4,))").replace("Choice((25, 75, 200))", "Choice((2,))")
    (tmp_path / "birds.py").write_text(script)
    said = run_python(tmp_path / "birds.py", "--root", tmp_path / "runs").stdout
    assert "4/4 trials complete" in said
