"""The fingerprint of a fit: the same recipe and the same fingerprint give the same bytes."""

import torch

from nefstudy.config import FitConfig
from nefstudy.fitting.engines.catalog import Engine


def fingerprint(config: FitConfig, engine: Engine) -> dict[str, str]:
    """Return the engine, optimizer implementation, library version, device class, CPU capability, threads and dtype."""
    return {
        "engine": engine.name,
        "optimizer": f"{config.dataset.optimizer.name}/{engine.optimizer}",
        "torch": torch.__version__,
        "device": "cpu",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": str(config.threads),
        "dtype": "float32",
        **engine.fingerprint_keys(),
    }
