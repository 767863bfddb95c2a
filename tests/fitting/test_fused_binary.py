"""The fused kernels, compiled to machine code for an H100-class device without having one."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nefstudy.fields.field import NeuralField
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren
from nefstudy.fitting.fused.launch import constants

triton = pytest.importorskip("triton")
pytestmark = [pytest.mark.slow, pytest.mark.compiled]

SHARED = 232_448  # bytes a program can have on an H100 or H200
REGISTERS = 65_536
FLOATS = {"rows", "means", "variances", "points", "targets", "paces"}
PLACES = {"moves", "diverged"}
CASES = {
    "siren h32 28x28x1": Siren(2, 1, hidden=32),
    "siren h64 32x32x3": Siren(2, 3, hidden=64),
    "mfn h32 28x28x1": Mfn(2, 1, hidden=32),
    "rffnet h32 28x28x1": RffNet(2, 1, hidden=32),
}


@dataclass(frozen=True)
class Binary:
    """What a kernel takes on a processor: registers a thread, bytes of stack a thread, bytes of shared memory."""

    registers: int
    stack: int
    shared: int
    warps: int
    tensor: bool

    @property
    def programs(self) -> int:
        """Programs that a processor holds at a time."""
        return min(REGISTERS // (32 * self.warps * self.registers), SHARED // (self.shared + 1024))


def compiled(field: NeuralField, path: Path, *, loss: str = "mse") -> Binary:
    """A field's kernel for compute capability 9.0, by Triton and its ptxas."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from nefstudy.fitting.fused.kernel import climb

    arguments, options = constants(field)
    constant = {**arguments, "LOSS": loss, "OPTIMIZER": "adamw"}
    kinds = dict.fromkeys(FLOATS, "*fp32") | dict.fromkeys(PLACES, "*i32")
    kinds |= dict.fromkeys(("factor", "share", "kept"), "fp32") | dict.fromkeys(constant, "constexpr")
    names: list[str] = climb.arg_names
    source = ASTSource(
        fn=climb,
        signature={name: kinds.get(name, "i32") for name in names},
        constexprs={(names.index(name),): value for name, value in constant.items()},
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in FLOATS | PLACES},
    )
    found: Any = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    path.write_bytes(found.asm["cubin"])
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    usage = subprocess.run([tool, "-res-usage", path], capture_output=True, text=True, check=True).stdout
    registers, stack = (int(number) for number in re.search(r"REG:(\d+) STACK:(\d+)", usage).groups())  # type: ignore[union-attr]
    listing = found.asm["ptx"]
    return Binary(registers, stack, found.metadata.shared, options["num_warps"], "tf32" in listing)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing that an earlier run compiled."""
    with triton.knobs.cache.scope():
        triton.knobs.cache.dir = str(tmp_path / "cache")
        yield


@pytest.mark.parametrize("field", CASES.values(), ids=CASES)
def test_it_builds_for_the_device_and_fits_a_processor(field: NeuralField, tmp_path: Path) -> None:
    """ptxas takes it, it uses tensor cores, and a processor has the registers and shared memory it asks for."""
    binary = compiled(field, tmp_path / "kernel.cubin")
    assert binary.tensor
    assert binary.programs >= 1


@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_shapes_build_too(loss: str, tmp_path: Path) -> None:
    """Three coordinates and either loss."""
    assert compiled(Siren(3, 1, hidden=16), tmp_path / "kernel.cubin", loss=loss).programs >= 1
