"""How fast this machine fits fields, measured in about a second for cost estimates."""

import platform
import time

import numpy as np
import torch

from nefstudy.config import FieldConfig, FitConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.fields.catalog import build, complete
from nefstudy.fitting.fit import fit_fields
from nefstudy.signals.signal import SignalCard, Signals
from nefstudy.study.cost import Device

GRID, FIELDS, STEPS = (28, 28), 16, 40


def measure_device(*, engine: str = "auto") -> Device:
    """This machine's rate in fits of SIREN 2-32-32-1 on 28x28 images, one thread a core, all cores counted."""
    signals = _noise()
    field = FieldConfig(name="siren", params={"hidden": 32})
    dataset = NeuralDatasetConfig(signals=SignalsConfig(name="noise"), field=complete(field), start="random")
    built = build(dataset.field, in_dim=2, out_dim=1)
    kernels = sum(p.size for p in built.layout if len(p.shape) > 1)

    def seconds(steps: int) -> float:
        config = FitConfig.model_validate({"dataset": dataset, "rungs": (steps,), "engine": engine})
        began = time.perf_counter()
        fit_fields(built, signals, config, rows=np.arange(FIELDS), view=0)
        return time.perf_counter() - began

    seconds(2)
    took = max(seconds(STEPS), 1e-6)
    flops = 6.0 * GRID[0] * GRID[1] * kernels * FIELDS * STEPS
    cores = torch.get_num_threads()
    return Device(f"{platform.machine()} CPU, {cores} cores", flops / took * cores)


def _noise() -> Signals:
    card = SignalCard(
        name="noise",
        kind="image",
        quality="psnr",
        licence="none",
        source="generated",
        content_hash="",
        class_names=("noise",),
        grid=GRID,
        channels=1,
        mean=(0.5,),
        std=(0.3,),
    )
    zeros = np.zeros(FIELDS, dtype=np.int64)
    ramp = np.linspace(0, 1, FIELDS * GRID[0] * GRID[1], dtype=np.float32).reshape(FIELDS, *GRID, 1)
    return Signals(card, ramp, np.arange(FIELDS), zeros, zeros)
