"""Compare the engines with fits in JAX, in turns on one core: `python -m tests.bench.peers`.

JAX is installed into an environment apart from nefstudy's. Every program has a process that starts and compiles before
the first turn. A program that does not reach the PSNR of the eager engine from the same initial weights is an error.
A full run takes about five minutes.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import date
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from nefstudy.bench.fit import RATES, Case, cases, images
from nefstudy.bench.fit_variants import PLAIN, new_run
from nefstudy.config import OptimizerConfig
from nefstudy.evaluation.reconstruction import psnr
from nefstudy.fields.field import unflatten
from nefstudy.fitting.engines.catalog import ENGINES
from nefstudy.fitting.engines.native.engine import fingerprint_keys
from nefstudy.signals.signal import grid_coords

from .peer_rows import BEST, PEERS, PeerRow, fastest_engine, peers_json, peers_table, row, targets_table
from .peer_worker import CHECK_FIELDS, PeerTask, Worker

PINNED = ("jax==0.10.2", "jaxlib==0.10.2", "optax==0.2.8", "numpy==2.4.6")
CACHE = Path("~/.cache/nefstudy/peers")
MOST_FIELDS = 256
TOLERANCE_DB = 0.005  # the programs differ by at most 0.0001, and a learning rate 1 % higher by at least 0.01
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


@dataclass(frozen=True)
class PeerEffort:
    """The amount of work spent: rounds of turns, CPU seconds of a turn, and steps of the fit whose PSNR is compared."""

    rounds: int = 8
    seconds: float = 0.6
    steps: int = 192


QUICK = PeerEffort(rounds=2, seconds=0.2, steps=64)


def environment(folder: Path) -> Path:
    """Return the Python of the peers' environment; create it and install the pinned packages if needed.

    Raises:
        SystemExit: the packages cannot be installed.
    """
    python = folder / "bin" / "python"
    install: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PINNED]
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run(install, check=True)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{folder}: cannot install {', '.join(PINNED)} ({error}); name another --env") from error
    return python


class Subject:
    """The data of a case, and the quality of parameters that were fitted to it."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self._originals = images(case, MOST_FIELDS)
        self._mean, self._std = self._originals.mean(), self._originals.std()

    def task(self, program: str, data: Path) -> PeerTask:
        """Return what a program's process is to do; the data are in the given file."""
        case, network = self.case, self.case.network
        known = {"siren": ("layers", "omega_0"), "mfn": ("filters",), "rffnet": ("layers", "std")}
        hyperparameters = {name: getattr(network, name) for name in known[case.field]}
        layout = [(parameter.name, list(parameter.shape)) for parameter in network.layout]
        rate = RATES[case.field]
        return PeerTask(program, case.field, case.hidden, case.image, rate, hyperparameters, layout, str(data))

    def write(self, data: Path) -> None:
        """Write initial parameters, targets and coordinates."""
        targets = (self._originals - self._mean) / self._std
        optimizer = OptimizerConfig(lr=RATES[self.case.field])
        rows = new_run(self.case.network, targets, engine="eager", optimizer=optimizer).rows().numpy()
        flat = targets.reshape(len(targets), prod(self.case.grid), self.case.channels)
        np.savez(data, rows=rows, targets=flat, coords=grid_coords(self.case.grid))

    def quality(self, rows: Sequence[Sequence[float]]) -> np.ndarray:
        """Return the PSNR in dB of each of the first fields."""
        field, points = self.case.network, torch.from_numpy(grid_coords(self.case.grid))
        outputs = field.forward(unflatten(field, torch.tensor(rows)), points).numpy()
        originals = self._originals[: len(rows)]
        return psnr((outputs * self._std + self._mean).reshape(originals.shape), originals)


def check_agreement(quality: dict[str, np.ndarray]) -> None:
    """Check that every program reaches the PSNR of the eager engine in every field.

    Raises:
        SystemExit: one does not, so that it computes another fit.
    """
    for name, found in quality.items():
        if found.shape != (CHECK_FIELDS,) or not (np.abs(found - quality["eager"]) <= TOLERANCE_DB).all():
            raise SystemExit(
                f"{name}: PSNR {found.round(3).tolist()} dB after the same steps, but "
                f"{quality['eager'].round(3).tolist()} with the eager engine; allowed: {TOLERANCE_DB} dB apart; "
                "correct the program"
            )


def measure(case: Case, effort: PeerEffort, *, python: Path, folder: Path) -> tuple[list[PeerRow], dict[str, Any]]:
    """Measure all programs on a case; return a row for each, and the versions and peaks."""
    subject, data = Subject(case), folder / "data.npz"
    subject.write(data)
    engines = [name for name, engine in ENGINES.items() if _is_measured(name, case) and not engine.on_device]
    with ExitStack() as stack:
        workers: list[Worker] = []
        about = {}
        for name in (*PEERS, PLAIN, *engines):
            command = (python, "tests.bench.peer_jax") if name in PEERS else (sys.executable, "tests.bench.peer_engine")
            worker = Worker(*command, task=subject.task(name, data), environment=ONE_THREAD)
            workers.append(stack.enter_context(closing(worker)))
            about[name] = worker.ask("about")  # waits until it has compiled, so that programs start one by one
        quality = {worker.name: subject.quality(worker.ask("check", effort.steps)) for worker in workers}
        check_agreement(quality)
        turns: dict[str, list[dict[str, float]]] = {worker.name: [] for worker in workers}
        products: dict[str, list[float]] = {BEST: [], "eager": []}
        for _ in range(effort.rounds):
            for worker in workers:
                turns[worker.name].append(worker.ask("turn", effort.seconds))
                if worker.name in products:
                    products[worker.name].append(worker.ask("product"))
    peaks = {"torch": max(products["eager"]), "jax": max(products[BEST])}
    rows = [row(case, name, about[name], turns=turns, quality=quality[name], peaks=peaks) for name in turns]
    versions = about["eager"]["versions"] | about[BEST]["versions"]
    return rows, {"versions": versions, "peaks": peaks}


def _is_measured(name: str, case: Case) -> bool:
    engine = ENGINES[name]
    return engine.unsupported_reason(case.network) is None and engine.explicit_only_reason() is None


def processor() -> str:
    """Return the model of the processor, with the numbers that identify it where its name does not."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace") if sys.platform == "linux" else ""
    known = dict(line.split(":", 1) for line in text.split("\n\n", maxsplit=1)[0].splitlines() if ":" in line)
    facts = {name.strip(): value.strip() for name, value in known.items()}
    if "model name" not in facts:
        return platform.processor() or platform.machine()
    return f"{facts['model name']}, family {facts.get('cpu family')} model {facts.get('model')}"


def conditions(found: Sequence[dict[str, Any]], rows: Sequence[PeerRow], effort: PeerEffort) -> dict[str, Any]:
    """Return what the measurements depend on."""
    return {
        "date": date.today().isoformat(),
        "processor": processor(),
        "vector": {"native": fingerprint_keys()["vector"], "torch": torch.backends.cpu.get_cpu_capability()},
        "cores": os.cpu_count(),
        "core": min(os.sched_getaffinity(0)),
        "versions": {"python": platform.python_version(), **found[0]["versions"]},
        "large_product_gflops": [
            {name: round(peak / 1e9, 1) for name, peak in each["peaks"].items()} for each in found
        ],
        "wall_per_cpu": round(max(row.wall_per_cpu for row in rows), 3),
        "rounds": effort.rounds,
        "seconds": effort.seconds,
        "steps": effort.steps,
    }


def caption(facts: dict[str, Any]) -> str:
    """Return the conditions and the meaning of the columns in a few sentences."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    torch_peak, jax_peak = (max(each[name] for each in facts["large_product_gflops"]) for name in ("torch", "jax"))
    return (
        f"{facts['date']}; {facts['processor']}; vectors: native {facts['vector']['native']}, torch "
        f"{facts['vector']['torch']}; core {facts['core']} of {facts['cores']}; {versions}; {facts['rounds']} turns "
        f"of {facts['seconds']} CPU seconds; at most {facts['wall_per_cpu']:.2f} wall-clock seconds per CPU second.\n"
        "x JAX, x recipe: median over rounds. peak: share of the fastest large matrix product in the same run (torch "
        f"{torch_peak:.0f} GFLOP/s, JAX {jax_peak:.0f}). dB: mean PSNR of {CHECK_FIELDS} fields "
        f"after {facts['steps']} steps. start: seconds to compile or load, which are not part of the turns."
    )


def main() -> None:
    """Print the measurements and whether the targets are met."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--env", type=Path, default=CACHE, help=f"directory of the peers' environment ({CACHE})")
    options.add_argument("--quick", action="store_true", help="a few short turns, to see whether everything works")
    options.add_argument("--json", action="store_true", help="print plain data")
    given = options.parse_args()
    effort = QUICK if given.quick else PeerEffort()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # processes inherit it
    torch.set_num_threads(1)
    python = environment(given.env.expanduser().absolute())
    rows: list[PeerRow] = []
    found, fastest = [], []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases():
            measured, facts = measure(case, effort, python=python, folder=Path(folder))
            rows += measured
            found.append(facts)
            fastest.append(fastest_engine(measured))
    facts = conditions(found, rows, effort)
    console = Console(width=120)
    if given.json:
        print(json.dumps(peers_json(rows, fastest, conditions=facts), indent=2))  # noqa: T201
        return
    console.print(peers_table(rows, caption=caption(facts)))
    console.print(targets_table(fastest))


if __name__ == "__main__":
    main()
