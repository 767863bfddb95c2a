"""Tests of help texts: the order of the commands, the usage lines and the names that they mention."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from nefstudy.classifiers.catalog import classifier_names
from nefstudy.cli.main import app, cli
from nefstudy.fitting.engines.catalog import ENGINES
from nefstudy.signals.catalog import SIGNALS
from nefstudy.signals.show import catalog_rows

SCRIPT = "def plan(options): ...\n"


def help_of(*words: str) -> str:
    return " ".join(CliRunner().invoke(cli, [*words, "--help"]).stdout.split())


@pytest.fixture
def script_help(tmp_path: Path, monkeypatch, capsys) -> str:
    """Return what `nefstudy plan mine.py --help` prints."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(SCRIPT)
    monkeypatch.setattr(sys, "argv", ["nefstudy", "plan", "mine.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        app()
    assert not ended.value.code
    return " ".join(capsys.readouterr().out.split())


def test_commands_that_show_a_study_come_first() -> None:
    """The help lists the commands `plan`, `status` and `serve` first.

    Commands that control a study, such as `pause`, come after `handover`.
    """
    listed = re.findall(
        r"^  (\w+) ", CliRunner().invoke(cli, ["--help"]).stdout.partition("Commands:")[2], re.MULTILINE
    )
    assert listed[:3] == ["plan", "status", "serve"]
    assert listed.index("handover") < listed.index("pause")


def test_the_help_of_a_plan_names_the_command_and_the_script(script_help: str) -> None:
    """The usage line of a study script's help names the script.

    The help of `plan` without a script explains how to list the flags of a script.
    """
    assert script_help.startswith("Usage: nefstudy plan mine.py [OPTIONS]")
    assert "Takes the flags of the script: python SCRIPT --help." in help_of("plan")


def test_choices_of_classifiers_and_engines_are_listed(script_help: str) -> None:
    """The help of --classifier and of --engine lists every allowed name, both for scripts and for commands."""
    for shown in (script_help, help_of("dataset", "classify"), help_of("bench", "classify")):
        unbroken = re.sub(r"(?<=\w)- ", "-", shown)  # a line may end after the hyphen of a name
        assert [name for name in classifier_names() if not re.search(rf"[ ,]{name}[,; .]", unbroken)] == []
    for shown in (script_help, help_of("bench", "fit")):
        assert [name for name in ENGINES if not re.search(rf"[ ,]{name}[,; .]", shown)] == []


def arguments(command: Any) -> Iterator[str]:
    """Yield the names of all positional arguments of a command and its subcommands, as the usage lines show them."""
    for inner in getattr(command, "commands", {}).values():
        yield from arguments(inner)
    yield from (each.display_name_raw for each in command.params if each.param_type_name == "argument")


def test_arguments_are_shown_in_capitals() -> None:
    """The usage line of every command shows positional arguments in capitals, as the documentation writes them."""
    shown = list(arguments(typer.main.get_command(cli)))
    assert {"STUDY", "KEY", "DIGEST", "SCRIPT"} <= set(shown)
    assert [name for name in shown if name != name.upper()] == []


def test_several_digests_are_shown_once() -> None:
    """The usage line of `dataset classify`, which accepts several digests, has a single ellipsis."""
    assert help_of("dataset", "classify").count("...") == 1


def test_the_catalog_cites_only_its_own_names() -> None:
    """In the catalog, the description of a source refers to other sources only by their names in the catalog."""
    cited = [name for row in catalog_rows() for name in re.findall(r"see (?:the source )?`(\w+)`", row["about"])]
    assert cited
    assert set(cited) <= set(SIGNALS)
    assert not any("read_" in row["about"] for row in catalog_rows())


def test_help_loads_nothing_that_a_command_needs() -> None:
    """Importing the commands loads neither torch, Ray, SQLAlchemy nor numpy, so that help is shown at once."""
    heavy = ("torch", "ray", "sqlalchemy", "numpy", "pydantic", "mlflow")
    code = f"import sys, nefstudy.cli; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
