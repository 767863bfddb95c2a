"""Tests of the compiled engine: it has the eager engine's properties and agrees with its results up to rounding."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nefstudy.config import FitConfig
from nefstudy.fields.siren import Siren
from nefstudy.fitting.engines import compiled
from nefstudy.fitting.fit import Fits, fit_fields
from nefstudy.signals.signal import Signals

pytestmark = [pytest.mark.compiled, pytest.mark.slow]
Fit = Callable[..., Fits]
Configure = Callable[..., FitConfig]


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()


@pytest.mark.parametrize("steps", [1, 10, 100])
def test_it_agrees_with_eager(fit: Fit, steps: int) -> None:
    """After 1, 10 and 100 steps, parameters differ from the eager engine's by at most 1e-3 of their total change."""
    fits, expected = (fit(rungs=(0, steps), engine=engine) for engine in ("compiled", "eager"))
    assert same(fits.parameters[0], expected.parameters[0])
    change = (expected.parameters[1] - expected.parameters[0]).norm(dim=1)
    difference = (fits.parameters[1] - expected.parameters[1]).norm(dim=1)
    assert (difference / change).max() < {1: 1e-5, 10: 1e-4, 100: 1e-3}[steps]


def test_it_reaches_eagers_quality(fit: Fit) -> None:
    """After 1,000 steps, the mean PSNR is within 0.05 dB of the eager engine's."""
    reached, expected = (fit(rungs=(1000,), engine=engine).losses.log10().mean() for engine in ("compiled", "eager"))
    assert abs(10 * (reached - expected)) < 0.05


@pytest.mark.parametrize("chunk", [2, 3, 8, 64])
def test_any_chunk_size_gives_the_same_bytes(fit: Fit, chunk: int) -> None:
    """At every rung, seventy fields have the same bytes for any chunk size."""
    everyone = list(range(70))
    chunked = fit(everyone, chunk=chunk, engine="compiled", rungs=(3, 9))
    expected = fit(everyone, engine="compiled", rungs=(3, 9))
    assert same(chunked.parameters, expected.parameters)


def test_a_field_alone_is_the_field_among_others(fit: Fit) -> None:
    """A field's bytes do not depend on its lane or on the other fields. Another signal yields different bytes."""
    among = fit(list(range(40)), engine="compiled")
    for row in (0, 5, 7, 8, 39):
        assert same(fit([row], engine="compiled").parameters[:, 0], among.parameters[:, row])
    reverse = fit(list(range(39, -1, -1)), engine="compiled")
    assert same(reverse.parameters.flip(1).contiguous(), among.parameters)
    assert not same(among.parameters[:, 0], among.parameters[:, 1])


@pytest.mark.parametrize("name", ["siren"], indirect=True)
def test_no_size_is_special(configure: Configure, signals: Signals) -> None:
    """Even if point counts and widths are not multiples of the vector size, every lane computes the same bits."""
    values = signals.originals(np.arange(30)).reshape(30, 8, 8, 1)[:, :7, :5].copy()
    odd = replace(signals.first(30), card=replace(signals.card, grid=(7, 5)), values=values)
    field = Siren(2, 1, hidden=5, layers=4)
    together, reverse = (
        fit_fields(field, odd, configure(engine="compiled", rungs=(20,)), rows=rows).parameters[0]
        for rows in (np.arange(30), np.arange(30)[::-1].copy())
    )
    assert same(together, reverse.flip(0))
    eager = fit_fields(field, odd, configure(rungs=(20,)), rows=np.arange(30)).parameters[0]
    torch.testing.assert_close(together, eager, rtol=1e-3, atol=1e-4)


def test_rungs_of_a_ladder_are_separate_fits(fit: Fit) -> None:
    """A snapshot at a step count is bit-identical to a fit of that many steps."""
    ladder = fit(rungs=(0, 1, 5, 12), engine="compiled")
    for i, steps in enumerate(ladder.rungs):
        assert same(fit(rungs=(steps,), engine="compiled").parameters[0], ladder.parameters[i])


def test_a_diverging_field_is_alone(fit: Fit, signals: Signals) -> None:
    """A field whose loss overflows is flagged as diverged. The other fields keep their bytes."""
    values = signals.originals(np.arange(6)).reshape(6, 8, 8, 1).copy()
    normal = replace(signals.first(6), values=values)
    values = values.copy()
    values[2] = 1e25
    extreme = replace(normal, values=values)
    expected, fits = (fit(of=of, rungs=(0, 3), engine="compiled") for of in (normal, extreme))
    others = [0, 1, 3, 4, 5]
    assert same(fits.parameters[:, others], expected.parameters[:, others])
    assert fits.diverged_at.tolist() == [-1, -1, 0, -1, -1, -1]
    assert torch.isnan(fits.parameters[:, 2]).all()


def test_drawn_points_agree_with_eager(fit: Fit) -> None:
    """Fits to drawn points agree with the eager engine's. A field's bytes do not depend on the chunk."""
    drawn = fit(list(range(20)), batch_points=16, engine="compiled")
    eager = fit(list(range(20)), batch_points=16, engine="eager")
    torch.testing.assert_close(drawn.parameters, eager.parameters, rtol=1e-3, atol=1e-4)
    assert same(fit([17, 3], batch_points=16, engine="compiled").parameters, drawn.parameters[:, [17, 3]])


@pytest.mark.parametrize("name", ["siren"], indirect=True)
def test_a_search_over_rates_and_scales_compiles_once(signals: Signals, configure: Configure) -> None:
    """Fits with different learning rates, weight decays and values of omega_0 share one compiled program."""
    before = set(compiled._programs)
    for omega, lr, decay in ((9.0, 1e-3, 0.0), (30.0, 1e-2, 0.1), (1.5, 1e-4, 1e-3)):
        field = Siren(2, 1, hidden=5, omega_0=omega)
        config = configure(engine="compiled", lr=lr, weight_decay=decay)
        fits = fit_fields(field, signals, config, rows=np.arange(3))
        expected = fit_fields(field, signals, config.model_copy(update={"engine": "eager"}), rows=np.arange(3))
        torch.testing.assert_close(fits.parameters, expected.parameters, rtol=1e-3, atol=1e-4)
    assert len(set(compiled._programs) - before) == 1


@pytest.mark.parametrize("name", ["siren"], indirect=True)
def test_chunks_and_rungs_compile_once(signals: Signals, configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    """All chunks, even a partial one, and all rungs share one compilation. Another width needs a second one."""
    compiles: list[object] = []
    inductor = compiled._inductor

    def counted(*given: Any) -> Any:
        compiles.append(given)
        return inductor(*given)

    monkeypatch.setattr(compiled, "_inductor", counted)
    for hidden in (6, 6, 7):
        field = Siren(2, 1, hidden=hidden)
        fit_fields(field, signals, configure(engine="compiled", rungs=(0, 1, 3)), rows=np.arange(70))
    assert len(compiles) == 2


AGAIN = """
import torch
torch.set_num_threads(1)
from torch._dynamo.utils import counters
from nefstudy.fields.siren import Siren
from nefstudy.fitting.engines.compiled import advance, is_ready
from nefstudy.fitting.problem import Problem, WholeGrid
from nefstudy.inits.drawn import RandomInit
from nefstudy.fitting.step import initial_state
from nefstudy.config import OptimizerConfig
field = Siren(2, 1, hidden=3)
problem = Problem(field, "mse", "adamw")
print("ready", is_ready(problem, 9, False, 1))
coords = torch.linspace(-1, 1, 18).reshape(9, 2)
rows = RandomInit().rows(field, seed=0, ids=range(8), view=0)
state = initial_state(rows)
state = advance(problem, OptimizerConfig(), state, WholeGrid(coords, torch.ones(8, 9, 1)), 3)
print("bytes", state.rows.numpy().tobytes().hex())
print("cached", counters["inductor"]["fxgraph_cache_hit"])
"""


@pytest.mark.timeout(900)
def test_torn_libraries_are_compiled_again(tmp_path: Path) -> None:
    """Only empty, truncated and unloadable libraries are recompiled. The fitted bytes stay the same."""
    package = str(Path(compiled.__file__).parents[3])
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
    content[18] ^= 0xFF  # its machine type: the size is right, but it cannot be loaded
    program.write_bytes(content)
    assert fit() == expected
    assert {path: path.stat().st_mtime_ns for path in sound} == sound


LATER = (
    AGAIN
    + """
import sys
from pathlib import Path
cache = Path(sys.argv[1])
first = set(cache.glob("*/*.main.so"))
for program in map(Path, sys.argv[2:]):
    program.write_bytes(program.read_bytes()[: program.stat().st_size // 20])
problem = Problem(Siren(2, 1, hidden=5), "mse", "adamw")
state = initial_state(RandomInit().rows(problem.field, seed=0, ids=range(8), view=0))
state = advance(problem, OptimizerConfig(), state, WholeGrid(coords, torch.ones(8, 9, 1)), 3)
print("later", state.rows.numpy().tobytes().hex())
print("programs", *(set(cache.glob("*/*.main.so")) - first))
"""
)


@pytest.mark.timeout(900)
def test_a_library_torn_while_a_process_runs_is_compiled_again(tmp_path: Path) -> None:
    """Libraries that are truncated while a process runs are compiled again, and the fitted bytes stay the same."""
    environment = {"PATH": "/usr/bin:/bin", "TORCHINDUCTOR_CACHE_DIR": f"{tmp_path}", "OMP_NUM_THREADS": "1"}

    def fit(*torn: str) -> dict[str, str]:
        command = [sys.executable, "-c", LATER, f"{tmp_path}", *torn]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        return dict(line.partition(" ")[::2] for line in run.stdout.splitlines())

    whole = fit()
    programs = whole["programs"].split()
    assert programs, "nothing would be torn"
    assert fit(*programs)["later"] == whole["later"]


@pytest.mark.timeout(900)
def test_a_torn_precompiled_header_is_removed(tmp_path: Path) -> None:
    """A truncated precompiled header, which inductor keeps outside its cache, is removed, and compilation succeeds."""

    def fit(cache: str) -> str:
        environment = {"PATH": "/usr/bin:/bin", "TORCHINDUCTOR_CACHE_DIR": cache, "TMPDIR": f"{tmp_path}"}
        run = subprocess.run(
            [sys.executable, "-c", AGAIN], env=environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        return run.stdout.split("bytes ")[1].splitlines()[0]

    expected = fit(f"{tmp_path}/one")
    (header,) = tmp_path.glob("torchinductor_*/precompiled_headers/*.gch")
    os.truncate(header, int(0.4 * header.stat().st_size))
    assert fit(f"{tmp_path}/two") == expected
    assert not header.exists()


def test_processes_of_a_machine_compile_a_shape_once(tmp_path: object) -> None:
    """Of two concurrent processes, one compiles a program; the other and later ones load it and get the same bytes."""
    environment = {"PATH": "/usr/bin:/bin", "TORCHINDUCTOR_CACHE_DIR": f"{tmp_path}", "OMP_NUM_THREADS": "1"}

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", AGAIN], env=environment, stdout=subprocess.PIPE, text=True)

    def output_of(run: subprocess.Popen[str]) -> dict[str, str]:
        return dict(line.split(" ") for line in run.communicate()[0].splitlines())

    first = [output_of(run) for run in (start(), start())]
    later = output_of(start())
    assert sorted(one["cached"] for one in first) == ["0", "1"]
    assert {one["ready"] for one in first if one["cached"] == "0"} == {"False"}
    assert (later["ready"], later["cached"]) == ("True", "1")
    assert len({one["bytes"] for one in (*first, later)}) == 1
