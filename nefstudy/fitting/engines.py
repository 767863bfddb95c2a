"""Engines by name, and what each needs to know about the shapes it is given."""

from dataclasses import dataclass

from nefstudy.config import FitConfig
from nefstudy.errors import BadConfig
from nefstudy.fitting import eager
from nefstudy.fitting.ladder import Advance


@dataclass(frozen=True)
class Engine:
    """A way of computing steps.

    Attributes:
        chunk: fields at a time when the configuration leaves it open.
        fixed_shape: whether every chunk is padded to the same lanes, so that one program serves all.
        optimiser: its implementation of the update, for the fingerprint; bits differ between them.
    """

    name: str
    advance: Advance
    chunk: int
    fixed_shape: bool
    optimiser: str


ENGINES: dict[str, Engine] = {
    "eager": Engine("eager", eager.advance, eager.CHUNK, fixed_shape=False, optimiser="flat-eager"),
}


def resolve(config: FitConfig) -> Engine:
    """The concrete engine that a configuration's `engine` means here.

    Raises:
        BadConfig: an engine this build does not have.
    """
    name = "eager" if config.engine == "auto" else config.engine
    if name not in ENGINES:
        raise BadConfig(
            f"engine {name!r} is not available here; allowed: auto, {', '.join(ENGINES)}; use engine='auto'"
        )
    return ENGINES[name]
