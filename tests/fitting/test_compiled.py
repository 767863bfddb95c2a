"""The compiled engine: the same laws as eager, to the bit, and the same results as eager, to rounding."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nefstudy.config import FitConfig
from nefstudy.fields.siren import Siren
from nefstudy.fitting import compiled
from nefstudy.fitting.fit import Fits, fit_fields
from nefstudy.signals.signal import Signals

pytestmark = [pytest.mark.compiled, pytest.mark.slow]
Fit = Callable[..., Fits]
Configure = Callable[..., FitConfig]


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()


@pytest.mark.parametrize("steps", [1, 10, 100])
def test_it_agrees_with_eager(fit: Fit, steps: int) -> None:
    """After 1, 10 and 100 steps the parameters have moved as eager's have, to a thousandth of the way."""
    found, expected = (fit(rungs=(0, steps), engine=engine) for engine in ("compiled", "eager"))
    assert same(found.parameters[0], expected.parameters[0])
    moved = (expected.parameters[1] - expected.parameters[0]).norm(dim=1)
    apart = (found.parameters[1] - expected.parameters[1]).norm(dim=1)
    assert (apart / moved).max() < {1: 1e-5, 10: 1e-4, 100: 1e-3}[steps]


def test_it_reaches_eagers_quality(fit: Fit) -> None:
    """At 1,000 steps the mean PSNR is eager's to 0.05 dB."""
    found, expected = (fit(rungs=(1000,), engine=engine).losses.log10().mean() for engine in ("compiled", "eager"))
    assert abs(10 * (found - expected)) < 0.05


@pytest.mark.parametrize("chunk", [2, 3, 8, 64])
def test_any_chunk_size_gives_the_same_bytes(fit: Fit, chunk: int) -> None:
    """Seventy fields, in whatever chunks, at every rung."""
    everyone = list(range(70))
    found = fit(everyone, chunk=chunk, engine="compiled", rungs=(3, 9))
    expected = fit(everyone, engine="compiled", rungs=(3, 9))
    assert same(found.parameters, expected.parameters)


def test_a_field_alone_is_the_field_among_others(fit: Fit) -> None:
    """Any lane and any neighbours give a field the same bytes; another signal gets others."""
    among = fit(list(range(40)), engine="compiled")
    for row in (0, 5, 7, 8, 39):
        assert same(fit([row], engine="compiled").parameters[:, 0], among.parameters[:, row])
    turned = fit(list(range(39, -1, -1)), engine="compiled")
    assert same(turned.parameters.flip(1).contiguous(), among.parameters)
    assert not same(among.parameters[:, 0], among.parameters[:, 1])


@pytest.mark.parametrize("name", ["siren"], indirect=True)
def test_no_size_is_special(configure: Configure, signals: Signals) -> None:
    """Points and widths that no vector divides: every lane still computes every field to the same bits."""
    values = signals.originals(np.arange(30)).reshape(30, 8, 8, 1)[:, :7, :5].copy()
    odd = replace(signals.first(30), card=replace(signals.card, grid=(7, 5)), values=values)
    field = Siren(2, 1, hidden=5, layers=4)
    together, turned = (
        fit_fields(field, odd, configure(engine="compiled", rungs=(20,)), rows=rows).parameters[0]
        for rows in (np.arange(30), np.arange(30)[::-1].copy())
    )
    assert same(together, turned.flip(0))
    eager = fit_fields(field, odd, configure(rungs=(20,)), rows=np.arange(30)).parameters[0]
    torch.testing.assert_close(together, eager, rtol=1e-3, atol=1e-4)


def test_rungs_of_a_ladder_are_separate_fits(fit: Fit) -> None:
    """A snapshot at a step count is, to the bit, a fit of that many steps."""
    ladder = fit(rungs=(0, 1, 5, 12), engine="compiled")
    for i, steps in enumerate(ladder.rungs):
        assert same(fit(rungs=(steps,), engine="compiled").parameters[0], ladder.parameters[i])


def test_a_diverging_field_is_alone(fit: Fit, signals: Signals) -> None:
    """A signal too large to fit is flagged; its neighbours keep their bytes."""
    values = signals.originals(np.arange(6)).reshape(6, 8, 8, 1).copy()
    well = replace(signals.first(6), values=values)
    values = values.copy()
    values[2] = 1e25
    ill = replace(well, values=values)
    expected, found = (fit(of=of, rungs=(0, 3), engine="compiled") for of in (well, ill))
    others = [0, 1, 3, 4, 5]
    assert same(found.parameters[:, others], expected.parameters[:, others])
    assert found.diverged_at.tolist() == [-1, -1, 0, -1, -1, -1]
    assert torch.isnan(found.parameters[:, 2]).all()


def test_drawn_points_agree_with_eager(fit: Fit) -> None:
    """Minibatches are the same points for every engine, and keep the chunk law."""
    drawn = fit(list(range(20)), batch_points=16, engine="compiled")
    eager = fit(list(range(20)), batch_points=16, engine="eager")
    torch.testing.assert_close(drawn.parameters, eager.parameters, rtol=1e-3, atol=1e-4)
    assert same(fit([17, 3], batch_points=16, engine="compiled").parameters, drawn.parameters[:, [17, 3]])


@pytest.mark.parametrize("name", ["siren"], indirect=True)
def test_a_search_over_rates_and_scales_compiles_once(signals: Signals, configure: Configure) -> None:
    """Learning rate, weight decay and omega_0 are inputs of one program; a width is another program's."""
    before = set(compiled._programs)
    for omega, lr, decay in ((9.0, 1e-3, 0.0), (30.0, 1e-2, 0.1), (1.5, 1e-4, 1e-3)):
        field = Siren(2, 1, hidden=5, omega_0=omega)
        config = configure(engine="compiled", lr=lr, weight_decay=decay)
        found = fit_fields(field, signals, config, rows=np.arange(3))
        expected = fit_fields(field, signals, config.model_copy(update={"engine": "eager"}), rows=np.arange(3))
        torch.testing.assert_close(found.parameters, expected.parameters, rtol=1e-3, atol=1e-4)
    assert len(set(compiled._programs) - before) == 1


@pytest.mark.parametrize("name", ["siren"], indirect=True)
def test_chunks_and_rungs_compile_once(signals: Signals, configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine chunks up three rungs, the last chunk not full, take one compilation; another loss or width, one more."""
    compiles: list[object] = []
    inductor = compiled._inductor
    monkeypatch.setattr(compiled, "_inductor", lambda *given: compiles.append(given) or inductor(*given))
    for hidden in (6, 6, 7):
        field = Siren(2, 1, hidden=hidden)
        fit_fields(field, signals, configure(engine="compiled", rungs=(0, 1, 3)), rows=np.arange(70))
    assert len(compiles) == 2


AGAIN = """
import torch
torch.set_num_threads(1)
from torch._dynamo.utils import counters
from nefstudy.fields.siren import Siren
from nefstudy.fitting.compiled import advance, is_ready
from nefstudy.fitting.problem import Problem, WholeGrid
from nefstudy.inits.drawn import Random
from nefstudy.fitting.step import first_state
from nefstudy.config import OptimizerConfig
field = Siren(2, 1, hidden=3)
problem = Problem(field, "mse", "adamw")
print("ready", is_ready(problem, 9, False, 1))
points = torch.linspace(-1, 1, 18).reshape(9, 2)
rows = Random().rows(field, seed=0, ids=range(8), view=0)
state = first_state(rows)
state = advance(problem, OptimizerConfig(), state, WholeGrid(points, torch.ones(8, 9, 1)), 3)
print("bytes", state.rows.numpy().tobytes().hex())
print("cached", counters["inductor"]["fxgraph_cache_hit"])
"""


@pytest.mark.timeout(900)
def test_torn_libraries_are_compiled_again(tmp_path: Path) -> None:
    """A killed compiler's empty, cut and unloadable libraries go, whole ones stay, and the bytes are equal."""
    package = str(Path(compiled.__file__).parents[2])
    environment = {"PATH": "/usr/bin:/bin", "TORCHINDUCTOR_CACHE_DIR": f"{tmp_path}", "PYTHONPATH": package}

    def fit() -> str:
        run = subprocess.run(
            [sys.executable, "-c", AGAIN], env=environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        return run.stdout.split("bytes ")[1].splitlines()[0]

    expected = fit()
    largest, *others = sorted(tmp_path.glob("*/*.so"), key=lambda path: -path.stat().st_size)
    program = next(path for path in others if ".main" in path.name)
    probe = next(path for path in others if ".main" not in path.name)
    sound = {path: path.stat().st_mtime_ns for path in others if path not in (program, probe)}
    largest.write_bytes(b"")
    probe.write_bytes(probe.read_bytes()[:-64])
    content = bytearray(program.read_bytes())
    content[18] ^= 0xFF  # its machine: whole by its size, and cannot be loaded
    program.write_bytes(content)
    assert fit() == expected
    assert {path: path.stat().st_mtime_ns for path in sound} == sound


def test_processes_of_a_machine_compile_a_shape_once(tmp_path: object) -> None:
    """Of two that start together one compiles and the other loads that, as does a later one; all compute the same."""
    environment = {"PATH": "/usr/bin:/bin", "TORCHINDUCTOR_CACHE_DIR": f"{tmp_path}", "OMP_NUM_THREADS": "1"}

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", AGAIN], env=environment, stdout=subprocess.PIPE, text=True)

    def said(run: subprocess.Popen[str]) -> dict[str, str]:
        return dict(line.split(" ") for line in run.communicate()[0].splitlines())

    first = [said(run) for run in (start(), start())]
    later = said(start())
    assert sorted(one["cached"] for one in first) == ["0", "1"]
    assert {one["ready"] for one in first if one["cached"] == "0"} == {"False"}
    assert (later["ready"], later["cached"]) == ("True", "1")
    assert len({one["bytes"] for one in (*first, later)}) == 1
