"""Tests of flat parameter names: they equal the names used in points, and they are unique and complete."""

from hypothesis import given, settings
from hypothesis import strategies as st

from nefstudy.config import ClassifierConfig, FieldConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.tasks.classification import ClassificationConfig
from nefstudy.tasks.parameters import parameters

KEYS = st.sampled_from(("dataset", "field", "optimizer", "params", "name", "seed", "hidden", "lr", ""))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
CONFIGS = st.dictionaries(
    KEYS, st.recursive(SCALARS, lambda inner: st.dictionaries(KEYS, inner, max_size=4)), max_size=6
)


def config(**field: bool | float | str) -> ClassificationConfig:
    return ClassificationConfig(
        dataset=NeuralDatasetConfig(
            signals=SignalsConfig(name="digits8", options={"path": "a"}),
            field=FieldConfig(name="mfn", params={"hidden": 16, "omega_0": 9.0} | field),
            init="random",
        ),
        steps=200,
        classifier=ClassifierConfig(name="mlp", params={"hidden": 64}),
        seed=7,
    )


def scalars(value):
    """Return every scalar in nested mappings, except None."""
    if isinstance(value, dict):
        return [scalar for inner in value.values() for scalar in scalars(inner)]
    return [] if value is None else [value]


def test_names_are_those_of_points() -> None:
    """A configuration's parameters have the same names as in points."""
    flat = parameters(config().model_dump(mode="json"))
    expected = {"signals": "digits8", "signals.options.path": "a", "field": "mfn", "hidden": 16, "omega_0": 9.0}
    expected |= {"init": "random", "optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.0, "views": 1, "steps": 200}
    expected |= {"seed": 7, "dataset.seed": 0, "classifier": "mlp", "classifier.hidden": 64, "classifier.lr": 1e-3}
    assert expected.items() <= flat.items()
    assert not {"signals.subset", "batch_points", "stop_psnr"} & flat.keys(), "None is left out"


def test_a_field_cannot_take_the_name_of_another_parameter() -> None:
    """A field's hyperparameter gets the prefix `field.` if another parameter has the same name."""
    taken: dict[str, bool | float | str] = {"lr": 5.0, "steps": 6.0, "batch_points": 7.0, "name": "odd", "field": 8.0}
    flat = parameters(config(**taken).model_dump(mode="json"))
    assert (flat["lr"], flat["steps"], flat["field"]) == (1e-3, 200, "mfn")
    assert (flat["field.lr"], flat["field.steps"], flat["field.batch_points"]) == (5.0, 6.0, 7.0)
    assert (flat["name"], flat["field.field"]) == ("odd", 8.0)


@settings(max_examples=300, deadline=None)
@given(CONFIGS)
def test_every_scalar_has_one_name(config) -> None:
    """Every scalar of a configuration except None gets exactly one parameter name, whatever the keys are."""
    assert sorted(map(repr, parameters(config).values())) == sorted(map(repr, scalars(config)))


def test_trials_of_one_study_share_their_names() -> None:
    """If a parameter is None in one configuration and set in another, all other parameters keep their names."""
    one, other = config().model_dump(mode="json"), config(omega_0=30.0).model_dump(mode="json")
    other["dataset"]["batch_points"] = 64
    assert parameters(other) == parameters(one) | {"omega_0": 30.0, "batch_points": 64}
