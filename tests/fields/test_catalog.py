"""Tests of the catalog of fields, which completes and validates configurations."""

from dataclasses import dataclass

import pytest

from nefstudy.config import FieldConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.catalog import FIELDS, build, complete
from nefstudy.fields.siren import Siren


@pytest.mark.parametrize("name", FIELDS)
def test_completion_fills_in_every_default_and_is_idempotent(name: str) -> None:
    """Completing a field's bare name gives a configuration that another completion does not change."""
    full = complete(FieldConfig(name=name))
    assert full.params
    assert complete(full) == full
    assert build(full, in_dim=2, out_dim=1) == build(FieldConfig(name=name), in_dim=2, out_dim=1)


def test_equal_values_of_different_types_are_one_experiment() -> None:
    """Numerically equal values, such as 9 and 9.0, yield the same digest. Different values yield different digests."""
    digests = [
        complete(FieldConfig(name="siren", params=params)).digest
        for params in ({}, {"omega_0": 9}, {"hidden": 32.0}, {"omega_0": 10})
    ]
    assert digests[0] == digests[1] == digests[2] != digests[3]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (FieldConfig(name="nerf"), "field 'nerf' is unknown; allowed: mfn, rffnet, siren"),
        (FieldConfig(name="siren", params={"width": 3}), "no hyperparameter 'width'; allowed: hidden, layers, omega_0"),
        (FieldConfig(name="siren", params={"hidden": 2.5}), "hidden = 2.5: must be of type int"),
        (FieldConfig(name="siren", params={"hidden": True}), "hidden = True: must be of type int"),
        (FieldConfig(name="siren", params={"hidden": 0}), "hidden = 0: must be in 1..4096"),
        (FieldConfig(name="siren", params={"in_dim": 3}), "no hyperparameter 'in_dim'"),
        (FieldConfig(name="rffnet", params={"hidden": 5}), "hidden = 5: must be an even number"),
        (FieldConfig(name="rffnet", params={"train_frequencies": 1}), "must be of type bool"),
        (FieldConfig(name="mfn", params={"law": "theirs"}), "law = 'theirs': must be one of code, paper"),
    ],
)
def test_bad_values_are_refused_in_one_line(config: FieldConfig, message: str) -> None:
    """The error for an unknown name or an out-of-range value states the value and the allowed ones."""
    with pytest.raises(BadConfig) as caught:
        complete(config)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_user_field_needs_no_fork() -> None:
    """A user-defined field that is added to the mapping of fields can be completed and built."""

    @dataclass(frozen=True)
    class Mine(Siren):
        gain: float = 2.0

    mine = FIELDS | {"mine": Mine}
    config = complete(FieldConfig(name="mine", params={"gain": 3}), fields=mine)
    assert config.params["gain"] == 3.0
    assert build(config, in_dim=2, out_dim=1, fields=mine) == Mine(2, 1, gain=3.0)
