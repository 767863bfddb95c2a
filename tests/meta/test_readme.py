"""What the documentation tells people to type exists, and its code runs."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()
PAGES = ["README.md", "CONTRIBUTING.md", "deploy/README.md"]


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Every command of the pages, as words without comments, continuation lines joined."""
    lines = [
        line.split("#")[0].split()
        for page in PAGES
        for block in blocks((REPOSITORY / page).read_text(), "bash")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [words for words in lines if words]


def test_every_make_target_exists() -> None:
    """Each `make TARGET` of a page is a documented target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):.*## ", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE))
    named = {words[1] for words in commands() if words[0] == "make"}
    assert {"study", "serve", "check", "test"} <= named <= targets


def test_every_file_in_a_command_exists() -> None:
    """Each studies/... and deploy/... that a command names is in the repository."""
    text = "\n".join(" ".join(words) for words in commands())
    named = set(re.findall(r"(?:studies|deploy)/[\w./-]+\.\w+", text)) - {"studies/birds.py"}
    assert {"studies/phase1.py", "deploy/compose.yaml"} <= named
    assert [name for name in sorted(named) if not (REPOSITORY / name).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("words", [w for w in commands() if w[0] == "nefstudy"], ids=" ".join)
def test_every_nefstudy_command_exists(words: list[str]) -> None:
    """`--help` of each command answers."""
    names = [word for word in words[1:3] if word in {"mlflow", "optuna", "ls", "gc"}]
    command = [str(Path(sys.executable).with_name("nefstudy")), words[1], *names, "--help"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--root" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("script", ["phase1", "phase2"])
def test_every_flag_of_a_study_exists(script: str) -> None:
    """Each flag that a page gives a study script is in the script's own help."""
    named = {word for words in commands() if f"studies/{script}.py" in words for word in words if word.startswith("--")}
    named |= set(re.findall(r"`(--(?:scale|cells|replicates|workers))\b", README))
    command = [sys.executable, f"studies/{script}.py", "--help"]
    help_text = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert sorted(named - set(re.findall(r"--[a-z-]+", help_text)) - {"--working-dir", "--address", "--"}) == []


@pytest.mark.slow
def test_your_own_images_become_a_study(tmp_path: Path) -> None:
    """The example of README, given a folder of images, plans the trials it says, on the images it finds."""
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


def test_your_own_shapes_are_read_as_written(tmp_path: Path) -> None:
    """The example of README writes shapes that the reader takes, each on the side its function says."""
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
    blocky = signals.samples.occupied[signals.labels == 1].mean()
    assert abs(blocky - (0.6 / 1.1) ** 3) < 0.02


def test_your_own_kind_is_loaded_and_measured(tmp_path: Path) -> None:
    """The example of README reads clips, and its metric is best where predictions are the clips themselves."""
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
