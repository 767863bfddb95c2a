"""Tests that the fused kernels compile to machine code for H100-class devices even on a machine without one."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nefstudy.fields.field import NeuralField
from nefstudy.fields.loss import LOSSES
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren
from nefstudy.fitting.engines.fused.launch import constants

triton = pytest.importorskip("triton")
pytestmark = [pytest.mark.slow, pytest.mark.compiled]

SHARED = 232_448  # bytes of shared memory that a program can use on an H100 or H200
REGISTERS = 65_536
FLOATS = {"rows", "means", "variances", "sums", "points", "targets", "scalars"}
INTEGERS = {"active", "diverged"}
CASES = {
    "siren h32 28x28x1": Siren(2, 1, hidden=32),
    "siren h64 32x32x3": Siren(2, 3, hidden=64),
    "mfn h32 28x28x1": Mfn(2, 1, hidden=32),
    "rffnet h32 28x28x1": RffNet(2, 1, hidden=32),
    "siren h128 32x32x3": Siren(2, 3, hidden=128),
    "rffnet h128 28x28x1": RffNet(2, 1, hidden=128, layers=3),
}


@dataclass(frozen=True)
class Binary:
    """A compiled kernel's resources: registers and stack bytes per thread, and shared memory bytes per program."""

    registers: int
    stack: int
    shared: int
    warps: int
    tensor: bool

    @property
    def programs(self) -> int:
        """The number of programs that one multiprocessor runs at a time."""
        return min(REGISTERS // (32 * self.warps * self.registers), SHARED // (self.shared + 1024))


def compiled(field: NeuralField, path: Path, *, loss: str = "mse", **changes: str) -> Binary:
    """Compile a field's kernel for compute capability 9.0 with Triton and its ptxas; return its resource usage."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from nefstudy.fitting.engines.fused.kernel import take_steps

    arguments, options = constants(field)
    constant = {**arguments, "LOSS": loss, "OPTIMIZER": "adamw", **changes}
    kinds = dict.fromkeys(FLOATS, "*fp32") | dict.fromkeys(INTEGERS, "*i32")
    kinds |= dict.fromkeys(("factor", "share", "decay"), "fp32") | dict.fromkeys(constant, "constexpr")
    names: list[str] = take_steps.arg_names
    source = ASTSource(
        fn=take_steps,
        signature={name: kinds.get(name, "i32") for name in names},
        constexprs={(names.index(name),): value for name, value in constant.items()},
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in FLOATS | INTEGERS},
    )
    kernel: Any = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    path.write_bytes(kernel.asm["cubin"])
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    usage = subprocess.run([tool, "-res-usage", path], capture_output=True, text=True, check=True).stdout
    registers, stack = (int(number) for number in re.search(r"REG:(\d+) STACK:(\d+)", usage).groups())  # type: ignore[union-attr]
    listing = kernel.asm["ptx"]
    return Binary(registers, stack, kernel.metadata.shared, options["num_warps"], "tf32" in listing)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use an empty cache of compiled kernels."""
    with triton.knobs.cache.scope():
        triton.knobs.cache.dir = str(tmp_path / "cache")
        yield


@pytest.mark.parametrize("field", CASES.values(), ids=CASES)
def test_it_builds_for_the_device_and_fits_a_processor(field: NeuralField, tmp_path: Path) -> None:
    """The compiled kernel uses tensor cores and fits into a multiprocessor's registers and shared memory."""
    binary = compiled(field, tmp_path / "kernel.cubin")
    assert binary.tensor
    assert binary.programs >= 1


@pytest.mark.parametrize("loss", LOSSES)
def test_shapes_build_too(loss: str, tmp_path: Path) -> None:
    """Kernels for three coordinates compile for both losses."""
    assert compiled(Siren(3, 1, hidden=16), tmp_path / "kernel.cubin", loss=loss).programs >= 1


@pytest.mark.parametrize(
    ("change", "allowed"),
    [({"LOSS": "huber"}, "mse and bce"), ({"KIND": "grid"}, "siren, mfn and rffnet"), ({"OPTIMIZER": "lion"}, "sgd")],
    ids=str,
)
def test_an_unknown_constant_does_not_compile(change: dict[str, str], allowed: str, tmp_path: Path) -> None:
    """An unknown loss, field or optimizer is a compile error that names the allowed ones."""
    with pytest.raises(triton.CompilationError) as refused:
        compiled(Siren(2, 1, hidden=8), tmp_path / "kernel.cubin", **change)
    causes, error = [], refused.value
    while error is not None:
        causes.append(str(error))
        error = error.__cause__
    assert any(allowed in cause for cause in causes)
