"""Estimates of a fit's duration with each engine, from the operations of a step and calibrated rates.

Estimates are for one step of one field on one core of the machine described in tests/bench/README.md: the layers'
multiply-adds at the engine's rate, plus a time per sine-cosine pair and per other activation. Other machines are faster
or slower by about the same factor for every engine, so a choice between engines stays valid.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nefstudy.fields.field import NeuralField, WrittenGradient, parameter_count, unflatten
from nefstudy.fields.sincos import torch_sincos


@dataclass(frozen=True)
class FitWork:
    """The size of a fit: number of fields, steps, and points per step."""

    fields: int
    steps: int
    points: int


@dataclass(frozen=True)
class Rate:
    """The speed of an engine.

    Attributes:
        flops: floating-point operations per second in matrix products.
        sincos: seconds per sine-cosine pair, forward and backward.
        activation: seconds per other activation, forward and backward.
        call: fixed seconds per step, shared by its lanes.
        compile_s: seconds before the first step on a machine that has not compiled the shape, loading included.
        load_s: seconds before the first step on a machine that has compiled it.
        padded: whether a chunk of fewer fields takes as long as a full one.
    """

    flops: float
    sincos: float
    activation: float
    call: float
    compile_s: float = 0.0
    load_s: float = 0.0
    padded: bool = False


RATES: dict[str, Rate] = {
    "eager": Rate(flops=91e9, sincos=4.3e-9, activation=2.3e-9, call=4e-5),
    "compiled": Rate(
        flops=162e9, sincos=0.44e-9, activation=0.34e-9, call=4e-5, compile_s=20.0, load_s=2.4, padded=True
    ),
    "native": Rate(flops=283e9, sincos=0.196e-9, activation=0.303e-9, call=1e-4),
    "fused": Rate(flops=20e12, sincos=0.0, activation=0.0, call=1e-4, compile_s=30.0, load_s=1.0),  # derived
}


def step_flops(field: NeuralField, points: int) -> float:
    """Return the floating-point operations of a field's step: three times those of the forward matrix products."""
    return 3.0 * 2.0 * points * sum(p.size for p in field.layout if len(p.shape) == 2)


def activations(field: NeuralField) -> int:
    """Return the number of layer outputs that one field computes per point."""
    return sum(p.size for p in field.layout if len(p.shape) == 1)


def sincos_count(field: NeuralField) -> int:
    """Return the number of sine-cosine pairs that one field computes per point; 0 if it has no explicit gradient."""
    if not isinstance(field, WrittenGradient):
        return 0
    angles = 0

    def counting(angle: Tensor) -> Tensor:
        nonlocal angles
        angles += angle.shape[1]
        return torch_sincos(angle)

    params = unflatten(field, torch.zeros(2, parameter_count(field)))
    point, target = torch.zeros(1, field.in_dim), torch.zeros(2, 1, field.out_dim)
    field.loss_gradient(params, point, target, loss=lambda outputs, _: (outputs.sum((1, 2)), outputs), sincos=counting)
    return angles


def step_seconds(field: NeuralField, *, points: int, engine: str, lanes: int) -> float:
    """Return the duration in seconds of one step of one field on one core, excluding compilation and loading."""
    rate, pairs = RATES[engine], sincos_count(field)
    per_point = pairs * rate.sincos + max(activations(field) - pairs, 0) * rate.activation
    return step_flops(field, points) / rate.flops + points * per_point + rate.call / lanes


def fit_seconds(field: NeuralField, work: FitWork, *, engine: str, lanes: int, ready: bool, fits: int = 1) -> float:
    """Return a fit's duration in seconds on one core, including its share of compile time and the work of unused lanes.

    Args:
        ready: whether the machine has compiled the shape before.
        fits: number of fits that share the cost of compiling; each pays for loading.
    """
    rate = RATES[engine]
    computed = -(-work.fields // lanes) * lanes if rate.padded else work.fields
    stepping = computed * work.steps * step_seconds(field, points=work.points, engine=engine, lanes=lanes)
    return stepping + rate.load_s + (0.0 if ready else (rate.compile_s - rate.load_s) / fits)
