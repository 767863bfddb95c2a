"""Tests that the documentation's commands exist and its code runs."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from ..present import present

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()
PAGES = ["README.md", "CONTRIBUTING.md", "deploy/README.md"]


def blocks(text: str, language: str) -> list[str]:
    """Return a page's fenced code blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Return every command on the pages as words, without comments and with continuation lines joined."""
    lines = [
        line.split("#")[0].split()
        for page in PAGES
        for block in blocks((REPOSITORY / page).read_text(), "bash")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [words for words in lines if words]


def test_every_make_target_exists() -> None:
    """Each `make TARGET` in the documentation is a documented target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):.*## ", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE))
    named = {words[1] for words in commands() if words[0] == "make"}
    assert {"study", "serve", "check", "test"} <= named <= targets


def test_every_file_in_a_command_exists() -> None:
    """Each file under studies/ and deploy/ that a command names exists."""
    text = "\n".join(" ".join(words) for words in commands())
    named = set(re.findall(r"(?:studies|deploy)/[\w./-]+\.\w+", text)) - {"studies/birds.py"}
    assert {"studies/phase1.py", "deploy/compose.yaml"} <= named
    assert [name for name in sorted(named) if not (REPOSITORY / name).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("words", [w for w in commands() if w[0] == "nefstudy"], ids=" ".join)
def test_every_nefstudy_command_exists(words: list[str]) -> None:
    """Each `nefstudy` command in the documentation supports `--help`."""
    names = [word for word in words[1:3] if word in {"mlflow", "optuna", "ls", "gc", "classify"}]
    command = [str(Path(sys.executable).with_name("nefstudy")), words[1], *names, "--help"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--root" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("script", ["phase1", "phase2"])
def test_every_flag_of_a_study_exists(script: str) -> None:
    """Each option that the documentation passes to a study script is in the script's help."""
    named = {word for words in commands() if f"studies/{script}.py" in words for word in words if word.startswith("--")}
    named |= set(re.findall(r"`(--(?:scale|cells|replicates|workers))\b", README))
    command = [sys.executable, f"studies/{script}.py", "--help"]
    help_text = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert sorted(named - set(re.findall(r"--[a-z-]+", help_text)) - {"--working-dir", "--address", "--"}) == []


@pytest.mark.slow
def test_your_own_images_become_a_study(tmp_path: Path) -> None:
    """The README's example with a folder of images plans the stated number of trials."""
    for label in ("hawk", "owl"):
        for index in range(10):
            path = tmp_path / "birds" / label / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.full((40, 40), 25 * index + (label == "owl"), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
    (example,) = [block for block in blocks(README, "python") if "/data/birds" in block]
    script = ModuleType("birds")
    exec(compile(example.replace("/data/birds", str(tmp_path / "birds")), "README.md", "exec"), vars(script))
    from nefstudy.study.options import StudyOptions

    plan = script.plan(StudyOptions()).pinned()
    assert plan.study == "birds"
    assert plan.planned() == {("phase2", "folder/siren"): 12, ("phase2", "folder/mfn"): 12}
    assert all(cell.signals.content for cell in plan.cells)


def test_the_catalogs_that_a_plan_extends_can_be_imported() -> None:
    """Each catalog that the README imports is the default value of a study plan's argument."""
    (example,) = [block for block in blocks(README, "python") if "import FIELDS" in block]
    script = ModuleType("catalogs")
    exec(compile(example, "README.md", "exec"), vars(script))
    from nefstudy.config import SignalsConfig
    from nefstudy.study.plan.study_plan import CellPlan, StudyPlan

    cell = CellPlan(phase="p", signals=SignalsConfig(name="digits8"), field="siren", space={}, fixed={})
    plan = StudyPlan(study="s", cells=(cell,))
    for name in ("FIELDS", "CLASSIFIERS", "SIGNALS", "INITS", "TASKS"):
        assert getattr(plan, name.lower()) is vars(script)[name]


def test_your_own_shapes_are_read_as_written(tmp_path: Path) -> None:
    """The shapes that the README's example writes can be read.

    Their occupancy agrees with the functions that define them.
    """
    (example,) = [block for block in blocks(README, "python") if "save_shape" in block]
    script = ModuleType("shapes")
    exec(compile(example, "README.md", "exec"), vars(script))
    for label, reach in {"ball": 2, "block": np.inf}.items():
        for index in range(3):
            script.save_shape(tmp_path / label / str(index), lambda p, o=reach: np.linalg.norm(p, o, axis=1) < 0.3)
    from nefstudy.config import SignalsConfig
    from nefstudy.signals.catalog import load_signals

    signals = load_signals(SignalsConfig(name="occupancy", options={"path": str(tmp_path)}))
    assert (len(signals), signals.card.class_names, signals.card.kind) == (6, ("ball", "block"), "shape")
    blocky = present(signals.samples).occupied[signals.labels == 1].mean()
    assert abs(blocky - (0.6 / 1.1) ** 3) < 0.02


def test_your_own_kind_is_loaded_and_measured(tmp_path: Path) -> None:
    """The README's example of a new kind of signal can read clips.

    Its metric is best if the predictions equal the clips.
    """
    (example,) = [block for block in blocks(README, "python") if "AUDIO" in block]
    script = ModuleType("clips")
    exec(compile(example, "README.md", "exec"), vars(script))
    from nefstudy.config import SignalsConfig
    from nefstudy.signals.catalog import SIGNALS, load_signals

    np.save(tmp_path / "clips.npy", np.random.default_rng(0).random((4, 50, 2), dtype=np.float32))
    config = SignalsConfig(name="clips", options={"path": str(tmp_path / "clips.npy")})
    signals = load_signals(config, sources=SIGNALS | {"clips": script.clips})
    assert (len(signals), signals.in_dim, signals.out_dim, signals.card.kind) == (4, 1, 2, "audio")
    exact, shifted = (script.measure(signals, lambda _, by=by: signals.originals() + by)["psnr"] for by in (0, 0.1))
    assert (exact > shifted + 20).all()
