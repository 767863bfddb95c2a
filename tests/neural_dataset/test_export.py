"""Tests of export: an exported rung has the content of the neural dataset."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from nefstudy.errors import BadConfig
from nefstudy.neural_dataset.export import export_rung
from nefstudy.neural_dataset.show import dataset_summary
from nefstudy.signals.catalog import load_signals

from ..present import present


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


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_neural_dataset_without_test_signals_is_read_shown_and_exported(desk, suffix: str) -> None:
    """Rows of a neural dataset without test signals keep their splits in the rung and in the exported file."""
    recipe = desk.config.dataset
    config = recipe.signals.model_copy(update={"without_test": True})
    fit = desk.config.model_copy(update={"dataset": recipe.model_copy(update={"signals": config})})
    searched = replace(desk, config=fit, signals=load_signals(config))
    dataset, path = searched.make(), desk.root / f"rung{suffix}"
    rung = dataset.rung(3)
    split = rung.split.tolist()
    assert set(split) == {0, 1}
    given = zip(searched.signals.ids.tolist(), present(searched.signals.split).tolist(), strict=True)
    assert dict(zip(rung.ids.tolist(), split, strict=True)) == dict(given)
    export_rung(dataset, 3, path)
    columns = dict(np.load(path)) if suffix == ".npz" else load_file(path)
    assert columns["split"].tolist() == split
    shown = dataset_summary(str(desk.root), dataset.digest)
    assert (shown["signals"]["without_test"], shown["quality"][-1]["steps"]) == (True, 3)
