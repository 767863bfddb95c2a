"""Flat names: short, unique, complete."""

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from nefstudy.ledger import parameters, parameters_text
from nefstudy.ledger.texts import dump

ODD = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    ['":', "\\", '\\":1', "%s", "%", '"', "a:1", "\0", "params"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ODD
CONFIGS = st.dictionaries(
    ODD | st.just("dataset"),
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(ODD, inner, max_size=3)),
    max_size=4,
)


def test_names_are_short_and_complete(trial):
    """Every scalar of a configuration appears once, under its shortest free name."""
    flat = parameters(trial(7, field="mfn", init="random", steps=200, lr=0.01).model_dump(mode="json"))
    wanted = {
        "seed": 7,
        "steps": 200,
        "init.name": "random",
        "field.name": "mfn",
        "field.hidden": 16,
        "field.omega_0": 9.0,
    }
    wanted |= {"optimizer.lr": 0.01, "signals.name": "digits8", "dataset.seed": 0, "classifier.epochs": 50}
    assert wanted.items() <= flat.items()
    assert "signals.subset" not in flat, "what is not given has no value"


def test_taken_name_keeps_its_path():
    """Two values never share a name."""
    config = {"dataset": {"seed": 1, "field": {"name": "siren", "params": {"name": "odd"}}}, "seed": 2}
    flat = parameters(config)
    assert flat == {"seed": 2, "dataset.seed": 1, "field.name": "siren", "dataset.field.params.name": "odd"}


@settings(max_examples=300, deadline=None)
@given(CONFIGS)
@example({":": '":'})
@example({"a": ["x", ":", {"b": 1}], ":": 2})
def test_cut_from_the_text_they_are_the_same(config):
    """The JSON cut out of a configuration's text is the JSON of its decoded parameters, whatever its names hold."""
    assert json.loads(parameters_text(dump(config))) == parameters(config)
    assert list(json.loads(parameters_text(dump(config)))) == list(parameters(config))


def test_the_same_names_with_other_values_are_not_mixed_up(trial):
    """Trials that differ in values only share what was learned of the first, and keep their own values."""
    for seed, lr in ((1, 0.1), (2, 1e-05), (3, 0.25)):
        config = trial(seed, lr=lr).model_dump(mode="json")
        assert json.loads(parameters_text(dump(config))) == parameters(config)
