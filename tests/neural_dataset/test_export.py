"""Tests of export: an exported rung has the content of the neural dataset."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from nefstudy.errors import BadConfig
from nefstudy.neural_dataset.export import export_rung


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_export_keeps_every_bit(desk, suffix: str) -> None:
    """An exported file has every column of the rung, with bit-identical parameters and PSNR."""
    dataset, path = desk.make(), desk.root / f"rung{suffix}"
    export_rung(dataset, 3, path)
    columns = dict(np.load(path)) if suffix == ".npz" else load_file(path)
    rung = dataset.rung(3)
    assert columns["parameters"].tobytes() == rung.parameters.numpy().tobytes()
    assert columns["id"].tolist() == rung.ids.tolist()
    assert columns["psnr"].tobytes() == rung.quality["psnr"].tobytes()
    assert columns["constant"].tolist() == rung.constant.tolist()
    others = {"parameters", "id", "view", "label", "split", "diverged_at", "stopped_at", "constant"}
    assert set(columns) == {*others, *rung.quality}


def test_another_suffix_is_refused(desk) -> None:
    """Any file suffix other than those of the two pickle-free formats is rejected."""
    with pytest.raises(BadConfig, match=r"'\.pt' .*\.safetensors or \.npz"):
        export_rung(desk.make(), 3, desk.root / "rung.pt")
