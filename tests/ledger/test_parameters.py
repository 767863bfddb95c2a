"""Flat names: short, unique, complete."""

from nefstudy.ledger import parameters


def test_names_are_short_and_complete(trial):
    """Every scalar of a configuration appears once, under its shortest free name."""
    flat = parameters(trial(7, field="mfn", start="random", steps=200, lr=0.01).model_dump(mode="json"))
    wanted = {"seed": 7, "steps": 200, "start": "random", "field.name": "mfn", "field.hidden": 16, "field.omega_0": 9.0}
    wanted |= {"optimiser.lr": 0.01, "signals.name": "digits8", "dataset.seed": 0, "classifier.epochs": 50}
    assert wanted.items() <= flat.items()
    assert "signals.subset" not in flat, "what is not given has no value"


def test_taken_name_keeps_its_path():
    """Two values never share a name."""
    config = {"dataset": {"seed": 1, "field": {"name": "siren", "params": {"name": "odd"}}}, "seed": 2}
    flat = parameters(config)
    assert flat == {"seed": 2, "dataset.seed": 1, "field.name": "siren", "dataset.field.params.name": "odd"}
