import pytest

from nefstudy.classifiers.catalog import CLASSIFIERS, build, complete
from nefstudy.classifiers.classifier import WeightReader
from nefstudy.config import ClassifierConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField


@pytest.mark.parametrize("name", list(CLASSIFIERS))
def test_equal_experiments_have_equal_digests(name: str) -> None:
    """Spelling a default out, or not, is the same configuration once completed; another value is another."""
    bare = complete(ClassifierConfig(name=name))
    some = dict(list(bare.params.items())[:1])
    assert complete(ClassifierConfig(name=name, params=some)).digest == bare.digest
    assert complete(bare) == bare
    other = complete(ClassifierConfig(name=name, params={"width": 12}))
    assert other.digest != bare.digest
    assert complete(ClassifierConfig(name=name, params={"width": 12.0})).digest == other.digest


@pytest.mark.parametrize("name", list(CLASSIFIERS))
def test_every_classifier_reads_every_field(name: str, field: NeuralField) -> None:
    """The catalogue and the fields are independent choices."""
    assert isinstance(build(ClassifierConfig(name=name), field, classes=4), WeightReader)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            ClassifierConfig(name="gnn-sing"),
            "'gnn-sing' is unknown; allowed: mlp, .* did you mean 'gnn-sign'",
        ),
        (ClassifierConfig(params={"hidden": 3}), "no parameter 'hidden'; allowed: width, "),
        (ClassifierConfig(params={"width": 0}), "GnnSign width = 0: must be in 1"),
        (ClassifierConfig(params={"width": 2.5}), "width = 2.5: must be of type int"),
        (ClassifierConfig(params={"dropout": "much"}), "dropout = 'much': must be of type float"),
    ],
)
def test_what_is_not_allowed_is_named(config: ClassifierConfig, message: str) -> None:
    """One line with the value and what is allowed."""
    with pytest.raises(BadConfig, match=message) as caught:
        complete(config)
    assert "\n" not in str(caught.value)
