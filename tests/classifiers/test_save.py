from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from nefstudy.classifiers.catalog import PRESETS, classifier_names
from nefstudy.classifiers.save import classifier_bytes, load_classifier
from nefstudy.classifiers.scores import logits_of
from nefstudy.classifiers.train import train_classifier
from nefstudy.classifiers.weights import WeightData
from nefstudy.config import ClassifierConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fields.siren import Siren

MakeData = Callable[..., WeightData]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", classifier_names())
def test_a_reloaded_classifier_scores_bit_for_bit(
    make_data: MakeData, field: NeuralField, name: str, shared: bool, tmp_path: Path
) -> None:
    """Saving and loading restores weights, statistics and configuration, so the scores are bit-identical.

    The configuration contains the reading that was chosen.
    """
    data = replace(make_data(field), shared=shared)
    trained = train_classifier(ClassifierConfig(name=name, params={"width": 8}, epochs=1), data, seed=0)
    (tmp_path / "model.safetensors").write_bytes(classifier_bytes(trained))
    loaded = load_classifier(tmp_path / "model.safetensors")
    assert (loaded.config, loaded.field, loaded.classes) == (trained.config, field, 3)
    assert loaded.config.reading == ("centered" if shared else "plain")
    assert torch.equal(loaded.logits(data), logits_of(trained.network, data.parameters))
    far = replace(data, parameters=5.0 * data.parameters)
    assert loaded.logits(far).isfinite().all(), "rows of other origins are scored, too"
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_committee_of_a_preset_is_read_back_bit_for_bit(make_data: MakeData, name: str, tmp_path: Path) -> None:
    """Each member of a committee has different frequencies, which the file restores.

    The file contains the preset's classifier and hyperparameters, so that it does not depend on the preset.
    """
    data = make_data(Siren(2, 2, hidden=4))
    given = ClassifierConfig(name=name, params={"width": 8, "lift": 3}, epochs=2, average=0.9, members=2)
    trained = train_classifier(given, data, seed=0)
    (tmp_path / "a").write_bytes(classifier_bytes(trained))
    loaded = load_classifier(tmp_path / "a")
    assert loaded.config.name == PRESETS[name].classifier
    assert (loaded.config.params["lift"], loaded.config.params["modulate"]) == (3, True)
    assert torch.equal(loaded.logits(data), logits_of(trained.network, data.parameters))
    frequencies = [value for key, value in loaded.network.state_dict().items() if key.endswith("edge.frequencies")]
    assert len(frequencies) == 2
    assert not torch.equal(*frequencies)


def test_equal_classifiers_are_equal_bytes(make_data: MakeData, tmp_path: Path) -> None:
    """Two identical training runs write byte-identical files."""
    data = make_data(Siren(2, 1, hidden=4))
    for name in ("a", "b"):
        trained = train_classifier(ClassifierConfig(params={"width": 8}, epochs=1), data, seed=0)
        (tmp_path / name).write_bytes(classifier_bytes(trained))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_rows_of_another_field_are_refused(make_data: MakeData, tmp_path: Path) -> None:
    """A saved classifier rejects rows of another field, even if the two fields differ only in a hyperparameter."""
    data = make_data(Siren(2, 1, hidden=4))
    (tmp_path / "a").write_bytes(classifier_bytes(train_classifier(ClassifierConfig(epochs=1), data, seed=0)))
    with pytest.raises(BadConfig, match=r"Siren\(.*omega_0=5.0\)"):
        load_classifier(tmp_path / "a").logits(make_data(Siren(2, 1, hidden=4, omega_0=5.0)))


def test_files_that_are_not_a_classifier_are_named(make_data: MakeData, tmp_path: Path) -> None:
    """Loading a missing, truncated or otherwise invalid classifier file raises a one-line error that names the file."""
    path = tmp_path / "a"
    with pytest.raises(BadConfig, match=f"{path}: .*classifier"):
        load_classifier(path)
    data = make_data(Siren(2, 1, hidden=4))
    path.write_bytes(classifier_bytes(train_classifier(ClassifierConfig(epochs=1), data, seed=0)))
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(BadConfig, match=f"{path}: .*classifier"):
        load_classifier(path)
    path.write_bytes(whole.replace(b'\\"pooled\\":64', b'\\"pooled\\":63'))
    with pytest.raises(BadConfig, match="gnn-sign"):
        load_classifier(path)
    path.write_bytes(whole.replace(b'\\"format\\":1', b'\\"format\\":9'))
    with pytest.raises(BadConfig, match=r"format 9.* 1"):
        load_classifier(path)
    path.write_bytes(whole)
    save_file(load_file(path), tmp_path / "foreign")
    with pytest.raises(BadConfig, match="format None"):
        load_classifier(tmp_path / "foreign")
