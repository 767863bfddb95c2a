"""Tests of the catalog of initializations."""

from dataclasses import dataclass

import pytest

from nefstudy.config import InitConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.inits.catalog import INITS, build, complete
from nefstudy.inits.drawn import SharedInit


@dataclass(frozen=True)
class Scaled(SharedInit):
    """An init that has a parameter."""

    gain: float = 1.5


def test_parameters_are_completed_and_typed() -> None:
    """Completing an init adds default parameters and converts given ones to their types."""
    inits = INITS | {"scaled": Scaled}
    given = complete(InitConfig(name="scaled", params={"gain": 2}), inits=inits)
    assert given == InitConfig(name="scaled", params={"gain": 2.0})
    assert complete(InitConfig(name="scaled"), inits=inits).params == {"gain": 1.5}
    assert build(given, inits=inits) == Scaled(2.0)


def test_a_bare_name_is_an_init_without_parameters() -> None:
    """`init="shared"` and its long form result in the same recipe and the same digest."""
    field = {"name": "siren"}
    short, long = (
        NeuralDatasetConfig(signals=SignalsConfig(name="digits8"), field=field, init=init)
        for init in ("shared", {"name": "shared"})
    )
    assert short == long
    assert short.digest == long.digest


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (InitConfig(name="warm"), "'warm'.*: random, shared"),
        (InitConfig(name="shared", params={"gain": 1}), "'gain'.*: none"),
    ],
)
def test_unknown_names_are_refused_in_one_line(config: InitConfig, named: str) -> None:
    """The error for an unknown name or parameter states the name and the allowed ones."""
    with pytest.raises(BadConfig, match=named):
        complete(config)
