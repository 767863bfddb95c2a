"""Tests of the fit benchmark: it measures the requested cases, and every engine runs the same fit."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from nefstudy.bench import fit
from nefstudy.bench.fit import Case, Effort, FitRow, bench_fit, cases, images, measure
from nefstudy.bench.fit_rows import fit_json, fit_table
from nefstudy.bench.fit_variants import PLAIN, new_run
from nefstudy.config import OptimizerConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren
from nefstudy.fitting.engines.catalog import ENGINES

BRIEF = Effort(steps=3, rounds=1, seconds=0.01)
SMALL = Case("siren", 8, "8x8x1")


def test_the_standard_cases_are_the_published_ones() -> None:
    """By default, the benchmark fits the four cases whose measurements are published.

    Options select other cases.
    """
    assert [(c.field, c.hidden, c.image) for c in cases()] == [
        ("siren", 32, "28x28x1"),
        ("siren", 64, "32x32x3"),
        ("mfn", 32, "28x28x1"),
        ("rffnet", 32, "28x28x1"),
    ]
    assert cases(fields=["siren"], hidden=8, image="8x8x1") == [SMALL]
    assert cases(fields=["mfn"], threads=2) == [Case("mfn", 32, "28x28x1", threads=2)]


@pytest.mark.parametrize("image", ["28x28", "28x28x2", "ax28x1", "28x-1x1"])
def test_an_image_size_that_is_none_is_refused(image: str) -> None:
    """An invalid image size is rejected with a message that shows the expected format."""
    with pytest.raises(BadConfig, match=f"{image}.*HEIGHTxWIDTHxCHANNELS"):
        cases(image=image)


def test_images_are_real_ones_of_the_size_asked_for() -> None:
    """Images come from the catalog and are resampled if another size is requested.

    Their values stay within [0, 1].
    """
    own, other = images(Case("siren", 8, "28x28x1"), 3), images(Case("siren", 8, "14x20x1"), 3)
    assert own.shape == (3, 28, 28, 1)
    assert other.shape == (3, 14, 20, 1)
    for found in (own, other):
        assert 0 <= found.min() < found.max() <= 1
    np.testing.assert_array_equal(other[:, 0, 0], own[:, 0, 0])


@pytest.mark.parametrize("field", [Siren(2, 1, hidden=4), RffNet(2, 1, hidden=4, layers=2), Mfn(2, 1, hidden=4)])
def test_plain_torch_fits_the_same_fields(field: Siren | RffNet | Mfn) -> None:
    """After ten steps, the parameters of the plain PyTorch baseline agree with those of the eager engine."""
    targets = images(Case("siren", 4, "8x8x1"), 3)
    optimizer = OptimizerConfig(lr=1e-2)
    plain, eager = (new_run(field, targets, engine=engine, optimizer=optimizer) for engine in (PLAIN, "eager"))
    before = plain.rows().clone()
    for run in (plain, eager):
        run.take(4)
        run.take(6)
    torch.testing.assert_close(plain.rows(), eager.rows(), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(before, plain.rows(), atol=1e-3)


def test_every_engine_is_measured_beside_plain_torch() -> None:
    """Measuring an engine returns two rows for the same fit: the engine's and that of the plain PyTorch baseline.

    The numbers in a row are consistent.
    """
    threads = torch.get_num_threads()
    try:
        eager, plain = measure(SMALL, ["eager"], BRIEF)
    finally:
        torch.set_num_threads(threads)
    assert (eager.engine, plain.engine, plain.times_plain) == ("eager", "plain", 1.0)
    assert eager.psnr == pytest.approx(plain.psnr, abs=0.05)
    flops = 6 * 64 * (2 * 8 + 8 * 8 + 8)
    assert eager.gflops * 1e9 == pytest.approx(eager.field_steps_per_s * flops)
    assert 0 < eager.peak_fraction < 1.5


@pytest.mark.slow
@pytest.mark.compiled
def test_rows_are_plain_data_with_the_promised_keys() -> None:
    """The benchmark returns one row for each engine and one for the plain PyTorch baseline.

    Rows have all documented keys and appear in the table.
    """
    rows = bench_fit([SMALL], effort=BRIEF)
    promised = {"field", "hidden", "image", "engine", "threads", "field_steps_per_s", "gflops", "psnr", "compile_s"}
    found = json.loads(json.dumps(fit_json(rows)))
    assert [row["engine"] for row in found] == ["eager", "compiled", "native", "plain"]
    assert all(row.keys() >= promised | {"peak_mb"} for row in found)
    assert all(row["peak_mb"] >= 0 for row in found)
    assert fit_table(rows).row_count == 4


def test_an_engine_that_is_not_there_is_refused() -> None:
    """An unknown engine name is rejected before anything is measured."""
    with pytest.raises(BadConfig, match=r"'warp'.*: eager, compiled"):
        bench_fit([SMALL], engines=["warp"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_an_engine_that_cannot_work_here_is_refused() -> None:
    """Requesting the fused engine without a CUDA device raises an error that states the reason."""
    with pytest.raises(BadConfig, match=r"'fused'.*CUDA"):
        bench_fit([SMALL], engines=["fused"])


@pytest.mark.parametrize("why", ["unsupported_reason", "explicit_only_reason"])
def test_the_default_skips_an_engine_that_cannot_work_here(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """By default, the benchmark measures all engines that the machine supports and that `auto` may choose."""
    monkeypatch.setattr(fit, "ProcessPoolExecutor", lambda *_args, **_options: ThreadPoolExecutor(1))
    monkeypatch.setattr(fit, "measure", lambda _case, engines, _effort: [replace(ROW, engine=e) for e in engines])
    monkeypatch.setattr(fit, "peak_mb", lambda _case, _engine: 0.0)
    able: dict[str, Any] = {"unsupported_reason": lambda _field: None, "explicit_only_reason": lambda: None}
    for name, engine in ENGINES.items():
        monkeypatch.setitem(ENGINES, name, replace(engine, **able))
    assert [row.engine for row in bench_fit([SMALL])] == list(ENGINES)
    broken: dict[str, Any] = {why: lambda *_field: "it is broken"}
    for name, engine in list(ENGINES.items()):
        with monkeypatch.context() as patch:
            patch.setitem(ENGINES, name, replace(engine, **broken))
            assert [row.engine for row in bench_fit([SMALL])] == [other for other in ENGINES if other != name]
            with pytest.raises(BadConfig, match=f"'{name}'.*it is broken"):
                bench_fit([SMALL], engines=[name])


ROW = FitRow("siren", 32, "28x28x1", "compiled", 1, 8, 7275.0, 123.4, 0.98, 2.0, 31.25, 12.3, 1234.0)


def test_the_table_fits_a_terminal() -> None:
    """In a table of 80 columns, even the widest numbers and names are neither truncated nor wrapped."""
    output = io.StringIO()
    console = Console(width=80, file=output)
    wide = replace(ROW, field="rffnet", hidden=64, field_steps_per_s=12_345.0, gflops=123.4)
    console.print(fit_table([wide]))
    shown = output.getvalue()
    assert "…" not in shown
    assert [line for line in shown.splitlines() if "12,345" in line and "1,234" in line]
