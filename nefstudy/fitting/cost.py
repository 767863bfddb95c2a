"""What a fit will cost by each engine: work known in advance, rates calibrated once.

Seconds of one step of one field on one core of the machine described in tests/bench/README.md: multiply-adds of
the layers at the engine's rate, plus a time for each sine with its cosine and for each other activation. Other machines
are faster or slower, but by about the same factor for every engine, which is what a choice between them needs.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nefstudy.fields.field import NeuralField, WrittenGradient, parameter_count, unflatten
from nefstudy.fields.wave import separate


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
        wave: seconds for each sine with its cosine, forward and backward.
        activation: seconds for each other activation, likewise.
        call: seconds a step takes however small it is, shared by its lanes.
        ready: seconds before the first step: compiling, or loading what was compiled before.
    """

    flops: float
    wave: float
    activation: float
    call: float
    ready: float
    ready_again: float


RATES: dict[str, Rate] = {
    "eager": Rate(flops=91e9, wave=4.3e-9, activation=2.3e-9, call=4e-5, ready=0.0, ready_again=0.0),
    "compiled": Rate(flops=162e9, wave=0.44e-9, activation=0.34e-9, call=4e-5, ready=20.0, ready_again=2.4),
    "fused": Rate(flops=20e12, wave=0.0, activation=0.0, call=1e-4, ready=30.0, ready_again=1.0),  # derived
}


def step_flops(field: NeuralField, points: int) -> float:
    """Floating-point operations of one step of one field: three times the forward matrix products."""
    return 3.0 * 2.0 * points * sum(p.size for p in field.layout if len(p.shape) == 2)


def activations(field: NeuralField) -> int:
    """Numbers that the layers of one field give for a point."""
    return sum(p.size for p in field.layout if len(p.shape) == 1)


def waves(field: NeuralField) -> int:
    """How many angles of one point a field takes the sine and the cosine of; 0 where its gradient is not written."""
    if not isinstance(field, WrittenGradient):
        return 0
    angles = 0

    def counting(angle: Tensor) -> Tensor:
        nonlocal angles
        angles += angle.shape[1]
        return separate(angle)

    params = unflatten(field, torch.zeros(2, parameter_count(field)))
    point, target = torch.zeros(1, field.in_dim), torch.zeros(2, 1, field.out_dim)
    field.loss_gradient(params, point, target, loss=lambda outputs, _: (outputs.sum((1, 2)), outputs), waves=counting)
    return angles


def step_seconds(field: NeuralField, *, points: int, engine: str, lanes: int) -> float:
    """Seconds of one step of one field on one core, once the engine is ready."""
    rate, sines = RATES[engine], waves(field)
    a_point = sines * rate.wave + max(activations(field) - sines, 0) * rate.activation
    return step_flops(field, points) / rate.flops + points * a_point + rate.call / lanes


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
