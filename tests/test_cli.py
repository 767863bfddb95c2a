"""Tests of the command line as users see it: its output, the input it rejects, and its exit codes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from nefstudy import cli
from nefstudy.cli.main import cli as root
from nefstudy.cli.options import load_script
from nefstudy.config import FieldConfig, FitConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.catalog import build, complete
from nefstudy.ledger import Ledger
from nefstudy.neural_dataset.write import finish_neural_dataset, write_neural_dataset
from nefstudy.signals.catalog import load_signals

from .ledger.records import as_cells

PROJECT = Path(__file__).parents[1]


@pytest.fixture
def run(capsys, monkeypatch):
    """Return a function that calls `nefstudy ARGS` in this process and returns (exit code, output, errors)."""
    monkeypatch.delenv("NEFSTUDY_ROOT", raising=False)
    monkeypatch.delenv("NEFSTUDY_LEDGER", raising=False)

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["nefstudy", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            cli.app()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return call


@pytest.fixture(scope="session")
def root_with_dataset(tmp_path_factory):
    """Return a root with one small neural dataset, and that dataset's digest."""
    root = tmp_path_factory.mktemp("root")
    signals = SignalsConfig(name="digits8", subset=40)
    dataset = NeuralDatasetConfig(
        signals=signals, field=complete(FieldConfig(name="siren", params={"hidden": 8})), init="shared"
    )
    config, loaded = FitConfig(dataset=dataset, rungs=(1, 2), engine="eager"), load_signals(signals)
    field = build(dataset.field, in_dim=2, out_dim=1)
    write_neural_dataset(config, loaded, str(root), field=field)
    finish_neural_dataset(config, loaded, str(root), field=field)
    return root, dataset.digest


def test_status_of_a_missing_ledger_is_one_line_and_exit_2(run, tmp_path):
    """Without a ledger, `status` exits with code 2 and a one-line error.

    No file is created.
    """
    code, _, err = run("status", "--root", tmp_path)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert not (tmp_path / "ledger.db").exists()


def test_status_json_has_the_promised_shape(run, tmp_path):
    """`status --json` has the documented keys."""
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        ledger.studies.put("s", {}, cells=as_cells({("phase1", "digits8/siren"): 3}))
    code, out, _ = run("status", "--root", tmp_path, "--json")
    assert code == 0
    (study,) = json.loads(out)["studies"]
    assert study["study"] == "s"
    (phase,) = study["phases"]
    wanted = {"phase", "planned", "complete", "running", "failed", "interrupted", "pruned"}
    assert wanted <= set(phase)
    assert phase["planned"] == 3
    assert study["best"] == []


def test_datasets_are_listed_shown_verified_and_exported(run, root_with_dataset, tmp_path):
    """`ls`, `show`, `verify` and `export` agree on a neural dataset's digest and rungs."""
    root, digest = root_with_dataset
    (row,) = json.loads(run("dataset", "ls", "--root", root, "--json")[1])
    assert (row["dataset"], row["rungs"], row["fields"], row["cell"]) == (digest, [1, 2], 40, "digits8/siren")
    shown = json.loads(run("dataset", "show", digest[:6], "--root", root, "--json")[1])
    assert [rung["steps"] for rung in shown["quality"]] == [1, 2]
    assert shown["quality"][1]["psnr"] > shown["quality"][0]["psnr"]
    assert json.loads(run("dataset", "verify", digest, "--root", root, "--json")[1])["verified"]
    out = tmp_path / "rung.npz"
    assert json.loads(run("dataset", "export", digest, out, "--root", root, "--json")[1])["steps"] == 2
    assert out.stat().st_size > 0
    for view in (("ls",), ("show", digest)):
        code, text, _ = run("dataset", *view, "--root", root)
        assert code == 0
        assert "digits8/siren" in text


def test_a_damaged_shard_is_named_with_exit_2(run, root_with_dataset):
    """If a single bit of a file has flipped, `verify` exits with code 2 and names the file."""
    root, digest = root_with_dataset
    shard = next((root / "neural_datasets" / digest).rglob("*.arrow"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    try:
        code, _, err = run("dataset", "verify", digest, "--root", root)
    finally:
        shard.write_bytes(whole)
    assert code == 2
    assert shard.name in err


def test_an_unknown_dataset_is_refused(run, root_with_dataset):
    """The error for an unknown digest names the command that lists the digests.

    The exit code is 2.
    """
    code, _, err = run("dataset", "show", "ffff", "--root", root_with_dataset[0])
    assert code == 2
    assert "nefstudy dataset ls" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scale", "big"], "unknown scale 'big': allowed are smoke, cpu, paper"),
        (["--cells", "mnist5k/sirenn"], "unknown cell 'mnist5k/sirenn'"),
        (["--cells", "nothing/siren"], "unknown signals 'nothing'"),
        (["--classifier", "gnnn"], "classifier 'gnnn' is unknown"),
        (["--engine", "warp"], "unknown engine 'warp': allowed are auto, eager"),
    ],
)
@pytest.mark.slow
def test_a_bad_plan_is_one_line_and_exit_2(run, arguments, message):
    """An unknown scale, cell, source, classifier or engine is rejected in one line with exit code 2."""
    code, _, err = run("plan", PROJECT / "studies/phase1.py", "--scale", "smoke", *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_the_paper_s_plan_is_priced_without_its_data(run):
    """The costs of the paper's plan can be estimated without its data.

    The plan has 24 cells and 30,000 trials, and phase 2 needs 72 fits.
    """
    priced = [
        json.loads(run("plan", PROJECT / f"studies/phase{n}.py", "--scale", "paper", "--json")[1]) for n in (1, 2)
    ]
    assert [len(p["cells"]) for p in priced] == [12, 12]
    assert sum(p["total"]["trials"] for p in priced) == 30_000
    assert priced[1]["total"]["fits"] == 72
    hours = priced[0]["total"]["device_hours"]
    assert 0 < hours["low"] < hours["mid"] < hours["high"]


def test_a_script_without_a_plan_is_refused(tmp_path):
    """A missing script and a script without a plan are rejected."""
    with pytest.raises(BadConfig, match=f"{tmp_path}/none.py"):
        load_script(str(tmp_path / "none.py"))
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(BadConfig, match=rf"{tmp_path}/empty.py' .*plan\(options\)"):
        load_script(str(tmp_path / "empty.py"))


def commands_below(group: TyperGroup, *path: str) -> Iterator[tuple[str, ...]]:
    """Yield the arguments of every command and group below a group."""
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, TyperGroup):
            yield from commands_below(command, *path, name)


ROOT = get_command(root)
assert isinstance(ROOT, TyperGroup)
COMMANDS = tuple(commands_below(ROOT))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_teaches(run, path):
    """Every command and group has a help text that shows its full name.

    The help text of its group lists it.
    """
    code, out, err = run(*path, "--help")
    assert (code, err) == (0, "")
    assert " ".join(path) in out
    assert path[-1] in run(*path[:-1], "--help")[1]


def test_status_does_not_import_the_heavy_libraries():
    """To respond quickly, `nefstudy status` imports none of torch, Ray and MLflow."""
    code = (
        "import sys, nefstudy.cli, nefstudy.study.locations, nefstudy.insight.progress, nefstudy.service.status_table;"
    )
    code += "print([m for m in ('torch', 'ray', 'mlflow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert done.stdout.strip() == "[]"
