"""Export of a rung to a single safetensors or npz file for other tools."""

from pathlib import Path

import numpy as np

from nefstudy.errors import BadConfig
from nefstudy.neural_dataset.read import NeuralDataset


def export_rung(dataset: NeuralDataset, steps: int, path: Path) -> None:
    """Write a rung to a `.safetensors` or `.npz` file that contains every column under its name.

    Raises:
        BadConfig: another suffix.
    """
    rung = dataset.rung(steps)
    columns = {
        "parameters": rung.parameters.numpy(),
        "id": rung.ids.numpy(),
        "view": rung.views.numpy(),
        "label": rung.labels.numpy(),
        "split": rung.split.numpy(),
        "diverged_at": rung.diverged_at.numpy(),
        "stopped_at": rung.stopped_at.numpy(),
        "constant": rung.constant.numpy(),
        **rung.quality,
    }
    if path.suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file(columns, path, metadata={"digest": dataset.digest, "steps": str(steps)})
    elif path.suffix == ".npz":
        np.savez(path, allow_pickle=False, **columns)
    else:
        raise BadConfig(f"{path}: suffix {path.suffix!r} must be .safetensors or .npz; rename the file")
