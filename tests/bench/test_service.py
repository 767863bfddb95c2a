"""Tests of the service benchmark: its study resembles a real one, and its output has the documented keys."""

import io
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from nefstudy.bench.large_study import CELLS, PHASES, STUDY, size_of_large_study, write_large_study
from nefstudy.bench.load import Answers
from nefstudy.bench.service import FILTERS, TARGETS, Asked, ServiceRow, service_json, service_table
from nefstudy.cli.main import cli
from nefstudy.errors import BadConfig
from nefstudy.ledger import Ledger, TrialState


@pytest.mark.slow
def test_a_large_study_is_like_a_real_one(tmp_path):
    """The generated study has trials in every phase and cell, most of them complete and some failed.

    The generated study is reproducible.
    """
    path = tmp_path / "large.db"
    reports: list[int] = []
    write_large_study(path, trials=180, progress=reports.append)
    assert (reports[-1], size_of_large_study(path)) == (180, 180)
    with Ledger.open(str(path), read_only=True) as ledger:
        counts = ledger.trials.counts(STUDY)
        assert {(phase, cell) for phase, cell, _ in counts} == {(phase, cell) for phase in PHASES for cell in CELLS}
        by_state = {s: sum(n for (_, _, of), n in counts.items() if of is s) for s in TrialState}
        assert by_state[TrialState.COMPLETE] > 150
        assert by_state[TrialState.FAILED] > 0
        row = ledger.trials.page(STUDY, state=TrialState.COMPLETE, limit=1).rows[0]
        assert len(row.metrics) >= 15
        assert len(ledger.trials.curves(STUDY, row.phase, key=row.key)["val_accuracy"]) == 20
        keys = [row.key for row in ledger.trials.page(STUDY, limit=None).rows]
    write_large_study(tmp_path / "again.db", trials=180)
    with Ledger.open(str(tmp_path / "again.db"), read_only=True) as ledger:
        assert [row.key for row in ledger.trials.page(STUDY, limit=None).rows] == keys


@pytest.mark.slow
def test_the_command_prints_the_promised_shape(tmp_path):
    """`nefstudy bench service --json` prints the documented keys.

    No request fails, and a second run reuses the ledger.
    """
    call = ["bench", "service", "--json", "--trials", "200", "--seconds", "0.5", "--root", str(tmp_path)]
    for _ in range(2):
        answer = CliRunner().invoke(cli, call)
        assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert found["trials"] > 200  # the driver of the second run found those of the first
    for name in ("progress", "page", "filter"):
        assert {"p50_ms", "p99_ms", "rps", "bytes"} <= set(found[name])
        assert found[name]["refused"] == 0
        assert 0 < found[name]["p50_ms"] <= found[name]["p99_ms"]
    assert found["start_s"] > 0
    assert found["rss_mb"] > 20


def test_a_users_own_file_is_not_replaced(tmp_path):
    """`bench service` fails if the ledger in its root contains a user's study, and leaves that ledger unchanged.

    The error names the ledger's file.
    """
    with Ledger.open(str(tmp_path / "large-study.db")) as ledger:
        ledger.studies.put("mine", {}, cells={})
    answer = CliRunner().invoke(cli, ["bench", "service", "--trials", "200", "--root", str(tmp_path)])
    assert isinstance(answer.exception, BadConfig)
    assert "large-study.db" in str(answer.exception)
    with Ledger.open(str(tmp_path / "large-study.db"), read_only=True) as ledger:
        assert [row.study for row in ledger.studies.all()] == ["mine"]


def answers(ms: float) -> Answers:
    """Return a hundred responses, each with a latency of `ms` milliseconds."""
    return Answers((ms,) * 100, (FILTERS * 20)[:100], 9_000, 0, 2.0, 0.1)


def test_a_missed_target_is_marked_and_no_other():
    """The table marks those measurements that miss their targets, and no others."""
    asked = {name: Asked(answers(10.0), answers(10.0), 1.0) for name in ("progress", "page", "filter")}
    row = ServiceRow(30_000, 1.0, 150.0, asked)
    assert service_json(row)["page"]["rps"] == 50
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(service_table(row))
    missed = [line for line in console.export_text().splitlines() if "missed" in line]
    assert [line.split("  ")[0].strip() for line in missed] == ["progress rps", "rss_mb"]
    assert {"progress rps", "rss_mb"} < set(TARGETS)
