"""What a fit will cost by each engine: work known in advance, rates calibrated once.

Seconds of one step of one field on one core of the machine described in tests/bench/README.md: multiply-adds of
the layers at the engine's rate, plus a time for each activation (sines, ReLUs, sums). Other machines are faster or
slower, but by about the same factor for every engine, which is what a choice between them needs.
"""

from dataclasses import dataclass

from nefstudy.fields.field import NeuralField


@dataclass(frozen=True)
class Work:
    """A fit in numbers."""

    fields: int
    steps: int
    points: int


@dataclass(frozen=True)
class Rate:
    """How fast an engine is.

    Attributes:
        flops: floating-point operations a second in matrix products.
        activation: seconds for each activation, forward and backward.
        call: seconds a step takes however small it is, shared by its lanes.
        ready: seconds before the first step: compiling, or loading what was compiled before.
    """

    flops: float
    activation: float
    call: float
    ready: float
    ready_again: float


RATES: dict[str, Rate] = {
    "eager": Rate(flops=70e9, activation=5.3e-9, call=4e-4, ready=0.0, ready_again=0.0),
    "compiled": Rate(flops=90e9, activation=0.6e-9, call=0.5e-4, ready=30.0, ready_again=2.5),
    "fused": Rate(flops=20e12, activation=0.0, call=1e-4, ready=30.0, ready_again=1.0),  # derived, not measured
}


def step_flops(field: NeuralField, points: int) -> float:
    """Floating-point operations of one step of one field: three times the forward matrix products."""
    return 3.0 * 2.0 * points * sum(p.size for p in field.layout if len(p.shape) == 2)


def activations(field: NeuralField, points: int) -> float:
    """Numbers that the layers of one field give for all points."""
    return float(points * sum(p.size for p in field.layout if len(p.shape) == 1))


def step_seconds(field: NeuralField, *, points: int, engine: str, lanes: int) -> float:
    """Seconds of one step of one field on one core, once the engine is ready."""
    rate = RATES[engine]
    return step_flops(field, points) / rate.flops + activations(field, points) * rate.activation + rate.call / lanes


def fit_seconds(field: NeuralField, work: Work, *, engine: str, lanes: int, ready: bool, fits: int = 1) -> float:
    """Seconds of a fit on one core, with its share of getting ready; lanes that chunks leave empty are paid for.

    Args:
        ready: whether the machine has compiled the shape before.
        fits: those that share what compiling costs beyond loading.
    """
    rate = RATES[engine]
    full = -(-work.fields // lanes) * lanes
    stepping = full * work.steps * step_seconds(field, points=work.points, engine=engine, lanes=lanes)
    return stepping + rate.ready_again + (0.0 if ready else (rate.ready - rate.ready_again) / fits)
