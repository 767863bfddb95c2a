"""Tests of `bench gpu`: every part runs in Triton's interpreter, and a wrong engine or a failing part is reported."""

import json
import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from nefstudy.bench.fit import Case
from nefstudy.bench.gpu.checks import check_classifier, check_engine
from nefstudy.bench.gpu.fits import label
from nefstudy.bench.gpu.isolated import isolated
from nefstudy.bench.gpu.rows import FAILED, OK, WRONG, GpuRow, GpuSizes
from nefstudy.bench.gpu.run import GpuBench, bench_gpu, gpu_markdown, gpu_table
from nefstudy.cli.main import cli
from nefstudy.errors import BadConfig, BadRoot, NefstudyError
from nefstudy.fitting.engines.catalog import ENGINES

SMALL = Case("siren", 8, "8x8x1")
TINY = GpuSizes(
    device="cpu",
    checked=(SMALL,),
    steps=(1, 2),
    lanes=4,
    speed=(SMALL,),
    speed_steps=1,
    batch=16,
    signals="digits8",
    subset=60,
    hidden=8,
    trial_steps=1,
    epochs=1,
)
PARTS = ["correctness", "speed", "classifier", "classifier", "trial", "trial", "trial"]


def pretend(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Replace the fused engine by `eager` with changes, because Triton cannot be interpreted in this process."""
    changed = replace(ENGINES["eager"], **changes)
    monkeypatch.setitem(ENGINES, "fused", changed)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.mlflow
def test_every_part_runs_and_the_files_are_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Triton's interpreter every part has its rows without a failure, and both files contain all of them."""
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    bench = bench_gpu(TINY, str(tmp_path))
    assert [row for row in bench.rows if row.outcome != OK] == []
    parts = [row.part for row in bench.rows]
    assert parts[: len(PARTS)] == PARTS
    assert set(parts[len(PARTS) :]) == {"profile"}
    assert bench.rows[0].values["equal bits"] is True
    stored = json.loads((tmp_path / "gpu-bench.json").read_text())
    assert stored["ok"] is True
    assert [(row["part"], row["case"]) for row in stored["rows"]] == [(row.part, row.case) for row in bench.rows]
    assert {"processor", "torch", "triton", "revision"} <= set(stored["machine"])
    text = (tmp_path / "gpu-bench.md").read_text()
    assert all(f"| {row.case} | ok |" in text for row in bench.rows)
    assert gpu_table(bench).row_count == len(bench.rows)


def test_an_engine_that_agrees_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of an engine that computes what `eager` computes is ok, also after hundreds of steps."""
    pretend(monkeypatch)
    (row,) = check_engine(SMALL, replace(TINY, steps=(1, 10, 101)))
    assert (row.outcome, row.reason, row.case) == (OK, "", label(SMALL))
    assert row.values["after 101 (dB)"] == 0.0


def test_an_engine_that_differs_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check finds a learning rate that is wrong by a thousandth after one step."""
    eager = ENGINES["eager"].advance

    def faster(problem: Any, optimizer: Any, state: Any, data: Any, steps: int) -> Any:
        changed = optimizer.model_copy(update={"lr": 1.001 * optimizer.lr})
        return eager(problem, changed, state, data, steps)

    pretend(monkeypatch, advance=faster)
    (row,) = check_engine(SMALL, TINY)
    assert row.outcome == WRONG
    assert "after 1 steps 0.001" in row.reason


def test_an_engine_whose_bytes_depend_on_the_chunk_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check finds a last bit that depends on the number of lanes."""
    eager = ENGINES["eager"].advance

    def uneven(problem: Any, optimizer: Any, state: Any, data: Any, steps: int) -> Any:
        after = eager(problem, optimizer, state, data, steps)
        return replace(after, rows=torch.nextafter(after.rows, after.rows + (len(after.rows) == 2)))

    pretend(monkeypatch, advance=uneven)
    (row,) = check_engine(SMALL, TINY)
    assert (row.outcome, row.reason) == (WRONG, "bytes depend on the chunk")


@pytest.mark.slow
def test_a_classifier_that_differs_on_the_device_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the classifier finds a device whose scores differ by a hundredth."""
    from nefstudy.bench.gpu import checks

    assert [row.outcome for row in check_classifier(TINY)] == [OK, OK]
    original, calls = checks._scores_and_gradients, []

    def drifting(network: Any, rows: Any) -> Any:
        calls.append(1)
        scores, gradients = original(network, rows)
        return scores * (1 + 0.01 * len(calls)), gradients

    monkeypatch.setattr(checks, "_scores_and_gradients", drifting)
    monkeypatch.setattr(checks, "_relative", lambda one, other: float((one - other).abs().max()))
    sizes = replace(TINY, device="cpu:0")  # another name, so that both results are kept
    assert check_classifier(sizes)[0].outcome == WRONG


def test_a_part_that_fails_is_a_row(tmp_path: Path) -> None:
    """A part that fails has a row with its reason, the other parts still run, and correctness counts as failed."""

    def failing(call: Any, *, limit_s: float) -> list[GpuRow]:
        assert limit_s == TINY.limit_s
        if call.func is check_engine:
            raise BadConfig("the device is gone")
        return [GpuRow(call.func.__name__, "any", OK, {"x": float("nan"), "y": 1234.5})]

    seen: list[GpuRow] = []
    bench = bench_gpu(TINY, str(tmp_path), run=failing, on_row=seen.append)
    first = GpuRow("correctness", label(SMALL), FAILED, reason="the device is gone")
    assert seen == list(bench.rows)
    assert bench.rows[0] == first
    assert [row.part for row in bench.rows[1:]] == ["measure_speed", "check_classifier", "run_trials", "profile_fit"]
    assert bench.failed_checks == [first]
    stored = json.loads((tmp_path / "gpu-bench.json").read_text())
    assert stored["ok"] is False
    assert stored["rows"][1]["values"] == {"x": None, "y": 1234.5}
    assert "the device is gone |" in gpu_markdown(bench)


def test_a_folder_that_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    """An unwritable folder is an input error before anything is measured."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BadRoot):
        bench_gpu(TINY, str(tmp_path / "file"), run=lambda *_args, **_options: pytest.fail("measured"))


@pytest.mark.slow
def test_a_call_in_a_new_process_ends_alone() -> None:
    """A call in a new process returns its result; its error, crash or hang is an error with the reason."""
    assert isolated(partial(max, 3, 4), limit_s=60) == 4
    for call, reason in ((partial(int, "x"), "ValueError"), (os.abort, "exit code -6")):
        with pytest.raises(NefstudyError, match=reason):
            isolated(call, limit_s=60)
    began = time.monotonic()
    with pytest.raises(NefstudyError, match="no result after 1 s"):
        isolated(partial(time.sleep, 1000), limit_s=1)
    assert time.monotonic() - began < 60


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("interpreted", ["0", "1"])
def test_without_a_device_the_command_is_refused(tmp_path: Path, monkeypatch: Any, interpreted: str) -> None:
    """Without a CUDA device the command is an input error of one line with the next step, and writes nothing."""
    monkeypatch.setenv("TRITON_INTERPRET", interpreted)
    result = CliRunner().invoke(cli, ["bench", "gpu", "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, BadConfig)
    assert result.exception.exit_code == 2
    assert "no CUDA device" in str(result.exception)
    assert "nefstudy bench fit" in str(result.exception)
    assert len(str(result.exception).splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("outcome", "code"), [(OK, 0), (WRONG, 1), (FAILED, 1)])
def test_the_exit_code_is_that_of_the_checks(tmp_path: Path, monkeypatch: Any, outcome: str, code: int) -> None:
    """The command ends with 1 if a check of correctness found wrong values or has no result, and prints both paths."""
    from nefstudy.bench.gpu import run

    rows = (GpuRow("correctness", "siren", outcome), GpuRow("trial", "mfn", FAILED, reason="gone"))
    monkeypatch.setattr(run, "require_device", lambda: None)
    monkeypatch.setattr(run, "bench_gpu", lambda sizes, _out, **_options: GpuBench({}, sizes, rows))
    result = CliRunner().invoke(cli, ["bench", "gpu", "--quick", "--out", str(tmp_path)])
    assert result.exit_code == code
    assert all(str(tmp_path / name) in result.stdout for name in ("gpu-bench.json", "gpu-bench.md"))
    result = CliRunner().invoke(cli, ["bench", "gpu", "--json", "--out", str(tmp_path)])
    assert json.loads(result.stdout)["ok"] is (code == 0)
