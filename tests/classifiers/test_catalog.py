from dataclasses import dataclass

import pytest

from nefstudy.classifiers.catalog import CLASSIFIERS, PRESETS, build, classifier_names, complete, with_reading
from nefstudy.classifiers.classifier import WeightClassifier
from nefstudy.config import ClassifierConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField


@pytest.mark.parametrize("name", list(CLASSIFIERS))
def test_equal_experiments_have_equal_digests(name: str) -> None:
    """Spelling out a default does not change a configuration's digest. Changing a value does."""
    bare = complete(ClassifierConfig(name=name))
    some = dict(list(bare.params.items())[:1])
    assert complete(ClassifierConfig(name=name, params=some)).digest == bare.digest
    assert complete(bare) == bare
    other = complete(ClassifierConfig(name=name, params={"width": 12}))
    assert other.digest != bare.digest
    assert complete(ClassifierConfig(name=name, params={"width": 12.0})).digest == other.digest


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_is_its_classifier_with_other_defaults(name: str) -> None:
    """A completed preset has its classifier's name and its own hyperparameters, any of which may be overridden.

    It is the same experiment as its classifier with these hyperparameters written out.
    """
    preset = complete(ClassifierConfig(name=name, epochs=3))
    assert (preset.name, preset.epochs) == (PRESETS[name].classifier, 3)
    assert preset.digest == complete(preset).digest
    params = dict(PRESETS[name].params)
    assert preset.digest == complete(ClassifierConfig(name=preset.name, params=params, epochs=3)).digest
    assert preset.digest != complete(ClassifierConfig(name=preset.name, epochs=3)).digest
    other = complete(ClassifierConfig(name=name, params={"lift": 7}))
    assert other.params == preset.params | {"lift": 7}
    assert "lift" not in complete(ClassifierConfig(name=name, params={"lift": 0})).params


def test_a_name_of_the_study_hides_a_preset() -> None:
    """A classifier of a study script that has the name of a preset is used; a preset needs its classifier."""
    own = complete(ClassifierConfig(name="gnn-published"), classifiers={"gnn": Own, "gnn-published": Own})
    assert (own.name, own.params) == ("gnn-published", {})
    assert classifier_names({"own": Own}) == ["own"]
    with pytest.raises(BadConfig, match="'gnn-published' is unknown; allowed: own;"):
        complete(ClassifierConfig(name="gnn-published"), classifiers={"own": Own})


@pytest.mark.parametrize("name", classifier_names())
def test_every_classifier_takes_every_field(name: str, field: NeuralField) -> None:
    """Every classifier and preset can be built for every field."""
    assert isinstance(build(ClassifierConfig(name=name), field, classes=4), WeightClassifier)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            ClassifierConfig(name="gnn-sing"),
            "'gnn-sing'.*: mlp, .*dws, gnn-published, transformer-published; .*'gnn-sign'",
        ),
        (ClassifierConfig(name="gnn-publishd"), "mean 'gnn-published'"),
        (ClassifierConfig(name="gnn-published", params={"heads": 8}), "'heads'.*: width, .*read_out"),
        (ClassifierConfig(params={"hidden": 3}), "'hidden'.*: width, "),
        (ClassifierConfig(params={"width": 0}), "GnnSign width = 0: .*1"),
        (ClassifierConfig(params={"width": 2.5}), "width = 2.5: .*int"),
        (ClassifierConfig(params={"dropout": "much"}), "dropout = 'much': .*float"),
    ],
)
def test_an_invalid_configuration_is_refused(config: ClassifierConfig, message: str) -> None:
    """The error for an invalid configuration is one line that names the value and what is allowed."""
    with pytest.raises(BadConfig, match=message) as caught:
        complete(config)
    assert "\n" not in str(caught.value)


@dataclass(frozen=True)
class Own:
    """A classifier of a study script that has one reading only."""

    def build(self, field: NeuralField, classes: int) -> WeightClassifier:
        raise AssertionError("not built here")


def test_the_reading_follows_the_init_where_the_classifier_can() -> None:
    """`auto` is `centered` for a shared init and a classifier that can read it, otherwise `plain`.

    An explicit reading stays, and is refused if the classifier cannot read it.
    """
    own = CLASSIFIERS | {"own": Own}
    for name in classifier_names():
        config = ClassifierConfig(name=name)
        readings = [with_reading(config, shared=shared).reading for shared in (True, False)]
        assert readings == ["centered", "plain"]
        explicit = config.model_copy(update={"reading": "plain"})
        assert with_reading(explicit, shared=True) == explicit
    assert with_reading(ClassifierConfig(name="own"), shared=True, classifiers=own).reading == "plain"
    with pytest.raises(BadConfig, match=r"own: reading 'centered'.*'plain'"):
        complete(ClassifierConfig(name="own", reading="centered"), classifiers=own)
