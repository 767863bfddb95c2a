"""An exported rung holds what the neural dataset holds."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from nefstudy.errors import BadConfig
from nefstudy.neural_dataset.export import export_rung


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_export_keeps_every_bit(desk, suffix: str) -> None:
    """Every column of the file is the rung's, bit for bit."""
    dataset, path = desk.make(), desk.root / f"rung{suffix}"
    export_rung(dataset, 3, path)
    found = dict(np.load(path)) if suffix == ".npz" else load_file(path)
    rung = dataset.rung(3)
    assert found["parameters"].tobytes() == rung.parameters.numpy().tobytes()
    assert found["id"].tolist() == rung.ids.tolist()
    assert found["psnr"].tobytes() == rung.quality["psnr"].tobytes()
    assert set(found) == {"parameters", "id", "view", "label", "split", "diverged_at", "stopped_at", *rung.quality}


def test_another_suffix_is_refused(desk) -> None:
    """Only the two formats without pickles are written."""
    with pytest.raises(BadConfig, match=r"suffix '\.pt' must be \.safetensors or \.npz"):
        export_rung(desk.make(), 3, desk.root / "rung.pt")
