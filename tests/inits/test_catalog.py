"""Initializations by name."""

from dataclasses import dataclass

import pytest

from nefstudy.config import InitConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.inits.catalog import INITS, build, complete
from nefstudy.inits.drawn import Shared


@dataclass(frozen=True)
class Scaled(Shared):
    """An init with a parameter."""

    gain: float = 1.5


def test_parameters_are_written_out_and_typed() -> None:
    """Equal inits have equal configurations, whether a default is given or left out."""
    inits = INITS | {"scaled": Scaled}
    given = complete(InitConfig(name="scaled", params={"gain": 2}), inits=inits)
    assert given == InitConfig(name="scaled", params={"gain": 2.0})
    assert complete(InitConfig(name="scaled"), inits=inits).params == {"gain": 1.5}
    assert build(given, inits=inits) == Scaled(2.0)


def test_a_bare_name_is_an_init_without_parameters() -> None:
    """`init="shared"` and its long form are one recipe with one digest."""
    field = {"name": "siren"}
    short, long = (
        NeuralDatasetConfig(signals=SignalsConfig(name="digits8"), field=field, init=init)  # type: ignore[arg-type]
        for init in ("shared", {"name": "shared"})
    )
    assert short == long
    assert short.digest == long.digest


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (InitConfig(name="warm"), r"init 'warm' is unknown; allowed: random, shared"),
        (InitConfig(name="shared", params={"gain": 1}), r"no parameter 'gain'; allowed: none"),
    ],
)
def test_unknown_names_are_refused_in_one_line(config: InitConfig, named: str) -> None:
    """The error names the value and what is allowed."""
    with pytest.raises(BadConfig, match=named):
        complete(config)
