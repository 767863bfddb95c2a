"""How a neural dataset is computed: same recipe and same fingerprint, same bytes."""

import torch

from nefstudy.config import FitConfig
from nefstudy.fitting.engines import Engine


def fingerprint(config: FitConfig, engine: Engine) -> dict[str, str]:
    """Engine, optimizer implementation, library version, device class, CPU capability, threads, dtype."""
    return {
        "engine": engine.name,
        "optimizer": f"{config.dataset.optimizer.name}/{engine.optimizer}",
        "torch": torch.__version__,
        "device": "cpu",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": str(config.threads),
        "dtype": "float32",
        **engine.marks(),
    }
