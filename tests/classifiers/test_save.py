from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from nefstudy.classifiers.catalog import CLASSIFIERS
from nefstudy.classifiers.save import load_classifier, save_classifier
from nefstudy.classifiers.scores import logits_of
from nefstudy.classifiers.train import train_classifier
from nefstudy.classifiers.weights import WeightData
from nefstudy.config import ClassifierConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fields.siren import Siren

MakeData = Callable[..., WeightData]


@pytest.mark.parametrize("name", list(CLASSIFIERS))
def test_a_reloaded_classifier_scores_bit_for_bit(
    make_data: MakeData, field: NeuralField, name: str, tmp_path: Path
) -> None:
    """Weights, statistics and configuration come back; the scores are the very numbers."""
    data = make_data(field)
    trained = train_classifier(ClassifierConfig(name=name, params={"width": 8}, epochs=1), data, seed=0)
    save_classifier(trained, tmp_path / "model.safetensors")
    loaded = load_classifier(tmp_path / "model.safetensors")
    assert (loaded.config, loaded.field, loaded.classes) == (trained.config, field, 3)
    assert torch.equal(loaded.logits(data), logits_of(trained.reader, data.parameters))
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_equal_classifiers_are_equal_bytes(make_data: MakeData, tmp_path: Path) -> None:
    """The file of a deterministic training is deterministic."""
    data = make_data(Siren(2, 1, hidden=4))
    for name in ("a", "b"):
        trained = train_classifier(ClassifierConfig(params={"width": 8}, epochs=1), data, seed=0)
        save_classifier(trained, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_rows_of_another_field_are_refused(make_data: MakeData, tmp_path: Path) -> None:
    """Statistics and weights of one architecture do not read another."""
    data = make_data(Siren(2, 1, hidden=4))
    save_classifier(train_classifier(ClassifierConfig(epochs=1), data, seed=0), tmp_path / "a")
    with pytest.raises(BadConfig, match=r"rows of Siren\(.*omega_0=5.0\), but this classifier reads Siren"):
        load_classifier(tmp_path / "a").logits(make_data(Siren(2, 1, hidden=4, omega_0=5.0)))


def test_files_that_are_not_a_classifier_are_named(make_data: MakeData, tmp_path: Path) -> None:
    """Missing, torn, foreign and mismatched files: one line each."""
    path = tmp_path / "a"
    with pytest.raises(BadConfig, match="cannot be read as a classifier"):
        load_classifier(path)
    data = make_data(Siren(2, 1, hidden=4))
    save_classifier(train_classifier(ClassifierConfig(epochs=1), data, seed=0), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(BadConfig, match="cannot be read as a classifier"):
        load_classifier(path)
    path.write_bytes(whole.replace(b'\\"pooled\\":64', b'\\"pooled\\":63'))
    with pytest.raises(BadConfig, match="its tensors are not those of gnn-sign"):
        load_classifier(path)
    path.write_bytes(whole.replace(b'\\"format\\":1', b'\\"format\\":9'))
    with pytest.raises(BadConfig, match="classifier format 9, this version reads 1"):
        load_classifier(path)
    path.write_bytes(whole)
    save_file(load_file(path), tmp_path / "foreign")
    with pytest.raises(BadConfig, match="classifier format None"):
        load_classifier(tmp_path / "foreign")
