"""Tests of the comparison with JAX, without JAX: its data, its check, its rows and its processes."""

import io
import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from nefstudy.bench.fit import Case, cases
from nefstudy.fields.field import flatten, unflatten

from .peer_rows import BEST, TARGETS, PeerRow, fastest_engine, peers_json, peers_table, row, targets_table, verdict
from .peer_worker import CALL_STEPS, CHECK_FIELDS, Worker, first_seconds, fitted, flat, named, turn
from .peers import ONE_THREAD, PINNED, Subject, check_agreement, environment

ROW = PeerRow("siren", 32, "28x28x1", "native", "32 lanes", 30_659.0, 30_621.0, 12.1, 22.25, 0.76, 31.25, 0.04, 1.0, {})


class Counter:
    """A program whose parameters are its number of steps."""

    def __init__(self, *, fields: int = 4, steps: int = 2, limit: float = np.inf) -> None:
        self.fields, self.steps, self._limit = fields, steps, limit

    def begin(self) -> None:
        """Return to step 0."""
        self._taken = 0

    def advance(self) -> None:
        """Count the steps."""
        self._taken += self.steps

    def rows(self) -> np.ndarray:
        """Return the number of steps in each row; infinite beyond the limit."""
        value = self._taken if self._taken < self._limit else np.inf
        return np.full((self.fields, 3), value, dtype=np.float32)


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.field}-{case.hidden}")
def test_peers_read_the_same_parameters_from_a_row(case: Case) -> None:
    """Rows split into the same named parameters as nefstudy's, and joined again are the same rows."""
    layout = [(parameter.name, list(parameter.shape)) for parameter in case.network.layout]
    count = sum(parameter.size for parameter in case.network.layout)
    rows = np.arange(3 * count, dtype=np.float32).reshape(3, count)
    found, expected = named(rows, layout), unflatten(case.network, torch.from_numpy(rows))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value.numpy())
    np.testing.assert_array_equal(flat(found, layout), flatten(case.network, expected).numpy())


def test_a_turn_begins_at_the_initial_parameters() -> None:
    """A turn takes at least one call and starts over; a check takes exactly the requested steps."""
    program = Counter()
    assert first_seconds(program) >= 0
    assert turn(program, 0.0)["rate"] > 0
    assert program.rows()[0, 0] == 2
    assert (fitted(Counter(fields=9), 6) == np.full((CHECK_FIELDS, 3), 6)).all()
    with pytest.raises(ValueError, match="7 steps: must be a multiple of 2"):
        fitted(program, 7)


def test_the_speed_of_a_fit_that_diverged_is_refused() -> None:
    """A turn that ends with infinite parameters is an error."""
    with pytest.raises(FloatingPointError, match="within 2 steps"):
        turn(Counter(limit=1), 0.0)


def test_a_program_that_computes_another_fit_is_an_error() -> None:
    """The PSNR of every field must be that of the eager engine; one other, missing or undefined value is an error."""
    eager = np.array([16.0, 17.0, 18.0, 19.0])
    check_agreement({"eager": eager, BEST: eager + 0.001})
    lower, undefined = eager.copy(), eager.copy()
    lower[3], undefined[1] = 18.99, np.nan
    for wrong in (lower, undefined, eager[:2], eager + 1):
        with pytest.raises(SystemExit, match="best JAX: PSNR"):
            check_agreement({"eager": eager, BEST: wrong})


def test_ratios_are_those_of_turns_in_the_same_round() -> None:
    """A ratio is the median over rounds, so that a round in which everything was slow does not change it."""
    rates = {"recipe": [100.0, 50.0, 100.0], BEST: [200.0, 100.0, 200.0], "native": [1000.0, 500.0, 1100.0]}
    turns = {name: [{"rate": rate, "wall_per_cpu": 1.0} for rate in each] for name, each in rates.items()}
    about = {"variant": "32 lanes", "first_s": 0.0}
    peaks = {"torch": 1e9, "jax": 11e9}
    case = Case("siren", 32, "28x28x1")
    found = row(case, "native", about, turns=turns, quality=np.array([16.0, 18.0]), peaks=peaks)
    assert (found.times_jax, found.times_recipe, found.best, found.median, found.psnr) == (5, 10, 1100, 1000, 17)
    assert found.peak_fraction == pytest.approx(1100 * 6 * 784 * (2 * 32 + 32 * 32 + 32) / 11e9)


def test_targets_are_met_or_missed_by_figures() -> None:
    """The verdict shows each figure that misses its target; a case without a target has no verdict."""
    assert TARGETS.keys() == {(case.field, case.hidden, case.image) for case in cases()}
    assert verdict(ROW) == "met"
    assert verdict(replace(ROW, times_jax=9.96)) == "missed: 9.96 < 10.0 x best JAX"
    assert verdict(replace(ROW, times_jax=1.0, peak_fraction=0.7)) == (
        "missed: 1.00 < 10.0 x best JAX, 70.0% < 75% of peak"
    )
    assert verdict(replace(ROW, hidden=16)) == ""


def test_targets_concern_the_fastest_engine() -> None:
    """The fastest engine is chosen among engines only, by its median turn."""
    eager, peer = replace(ROW, program="eager", best=9e9, median=1.0), replace(ROW, program=BEST, median=9e9)
    plain = replace(peer, program="plain")
    assert fastest_engine([eager, peer, ROW, plain]) is ROW
    assert targets_table([ROW, replace(ROW, hidden=16)]).row_count == 1
    found = json.loads(json.dumps(peers_json([eager, peer, ROW, plain], [ROW], conditions={"date": "2026-01-01"})))
    assert [each["program"] for each in found["rows"]] == ["eager", BEST, "native", "plain"]
    assert [(each["program"], each["verdict"]) for each in found["targets"]] == [("native", "met")]


def test_the_table_of_peers_fits_its_width() -> None:
    """In a table of 120 columns, wide numbers and names are neither cut nor wrapped, and are below their headings."""
    output = io.StringIO()
    wide = replace(ROW, field="rffnet", program="compiled", variant="scan 16, points first", first_s=123.4)
    table = peers_table([wide], caption="")
    shown = {str(column.header): list(column.cells) for column in table.columns}
    assert [shown[head] for head in ("peak", "dB", "start")] == [["76%"], ["31.25"], ["123.4"]]
    Console(width=120, file=output).print(table)
    assert "…" not in output.getvalue()
    assert [line for line in output.getvalue().splitlines() if "30,659" in line and "123.4" in line]


def test_packages_that_cannot_be_installed_are_named(tmp_path: Path) -> None:
    """A failed installation ends the benchmark with the directory and the packages."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\nexit 3\n")
    python.chmod(0o755)
    with pytest.raises(SystemExit, match=rf"{tmp_path}: cannot install {PINNED[0]}"):
        environment(tmp_path)


@contextmanager
def started(subject: Subject, program: str, data: Path, *, lr: float | None = None) -> Iterator[Worker]:
    """Start the process of an engine, if requested with another learning rate."""
    task = subject.task(program, data)
    task = replace(task, lr=lr or task.lr)
    with closing(Worker(sys.executable, "tests.bench.peer_engine", task=task, environment=ONE_THREAD)) as worker:
        yield worker


@pytest.mark.slow
def test_a_process_fits_what_it_is_given(tmp_path: Path) -> None:
    """An engine's process and that of plain torch reach the same PSNR, and one with another learning rate does not."""
    subject, data = Subject(Case("siren", 8, "8x8x1")), tmp_path / "data.npz"
    subject.write(data)
    with (
        started(subject, "eager", data) as eager,
        started(subject, "plain", data) as plain,
        started(subject, "eager", data, lr=2e-3) as other,
    ):
        found = [subject.quality(worker.ask("check", CALL_STEPS)) for worker in (eager, plain, other)]
        check_agreement({"eager": found[0], "plain": found[1]})
        with pytest.raises(SystemExit, match="other: PSNR"):
            check_agreement({"eager": found[0], "other": found[2]})
        assert eager.ask("turn", 0.01)["rate"] > 0
        assert eager.ask("product") > 0
        with pytest.raises(RuntimeError, match="eager: its process ended with 1"):
            eager.ask("check", CALL_STEPS + 1)
