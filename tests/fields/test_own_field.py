"""Tests of user-defined fields: a violation of the protocol raises an error before a fit starts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nefstudy.config import FieldConfig
from nefstudy.errors import BadConfig
from nefstudy.fields import hyperparameter
from nefstudy.fields.catalog import build, complete
from nefstudy.fields.field import NeuralField, loss_gradient
from nefstudy.fields.loss import mse
from nefstudy.inits.drawn import RandomInit, SharedInit

from .plane import Plane


def variant(*without: str, **changes: Any) -> type[Any]:
    """Return a variant of `Plane` with some members omitted or replaced."""
    members = {name: value for name, value in vars(Plane).items() if name not in without and name[:2] != "__"}
    return dataclass(frozen=True)(type("Variant", (), {"__annotations__": Plane.__annotations__, **members, **changes}))


def completed(kind: Any) -> FieldConfig:
    return complete(FieldConfig(name="mine"), fields={"mine": kind})


def drawn(kind: type[Any]) -> Tensor:
    return RandomInit().rows(kind(in_dim=2, out_dim=1), seed=0, ids=[0, 1], view=0)


def test_a_whole_field_is_completed_drawn_and_fitted() -> None:
    """A valid field can be completed, initialized and fitted, even if its annotations are strings."""
    lazy = variant(__annotations__={"in_dim": "int", "out_dim": "int", "gain": "float"})
    for kind in (Plane, lazy):
        assert completed(kind).params == {"gain": 1.0}
        field = build(FieldConfig(name="mine"), in_dim=2, out_dim=1, fields={"mine": kind})
        params = {"kernel": drawn(kind).reshape(2, 2, 1)}
        losses, grads = loss_gradient(field, params, torch.ones(8, 2), torch.zeros(2, 5, 1), loss=mse)
        assert losses.shape == (2,)
        assert grads["kernel"].abs().min() > 0


@pytest.mark.parametrize("member", ["layout", "symmetry", "init", "forward"])
def test_a_missing_member_is_named_when_the_plan_is_made(member: str) -> None:
    """A field without a required member is rejected before any trial is listed, and the error names the member."""
    with pytest.raises(BadConfig, match=f"mine: Variant .*{member}; NeuralField .*in_dim, "):
        completed(variant(member))


@pytest.mark.parametrize(("member", "other"), [("loss_gradient", "unit"), ("unit", "loss_gradient")])
def test_half_of_an_explicit_gradient_is_named(member: str, other: str) -> None:
    """A field with an explicit gradient but no unit form, or the reverse, is rejected, naming the missing member."""
    with pytest.raises(BadConfig, match=f"Variant .*{other}; WrittenGradient .*loss_gradient, unit"):
        completed(variant(**{member: lambda _self, **_given: None}))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Plane(2, 1), r"mine: Plane\(.*dataclass"),
        (object, "mine: <class 'object'>.*dataclass"),
        (variant(__annotations__={"in_dim": int, "out_dim": int, "gain": list}), "gain .*<class 'list'>"),
    ],
)
def test_what_is_no_class_of_parameters_is_refused(kind: Any, message: str) -> None:
    """A field must be a dataclass whose parameters have supported types. Anything else is rejected."""
    with pytest.raises(BadConfig, match=message):
        hyperparameter.completed(kind, {}, what="field mine", noun="hyperparameter", without=("in_dim", "out_dim"))


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        ({}, r"Variant: .*kernel .*none, .*\(2, 1\)"),
        ({"kernel": np.zeros((1, 2))}, r"kernel .*\(1, 2\), .*\(2, 1\)"),
        ({"kernel": np.zeros((2, 1)), "bias": np.zeros(1)}, r"bias .*\(1,\), .*none"),
    ],
)
@pytest.mark.parametrize("init", [RandomInit(), SharedInit()])
def test_a_draw_has_the_shapes_of_the_layout(init: Any, draw: dict[str, np.ndarray], message: str) -> None:
    """Initial parameters of the wrong shape, such as a transposed kernel, are rejected even if the size matches."""
    field: NeuralField = variant(init=lambda _self, _rng: draw)(in_dim=2, out_dim=1)
    with pytest.raises(BadConfig, match=message):
        init.rows(field, seed=0, ids=[0], view=0)


def test_outputs_have_the_shape_of_fields_points_and_channels() -> None:
    """Outputs with channels before points, which could be broadcast against the targets, are rejected."""
    field: NeuralField = variant(forward=lambda _self, params, coords: (coords @ params["kernel"]).mT)(2, 1)
    with pytest.raises(BadConfig, match=r"Variant: forward .*\(2, 1, 8\); .*\(2, 8, 1\)"):
        loss_gradient(field, {"kernel": torch.ones(2, 2, 1)}, torch.ones(8, 2), torch.zeros(2, 8, 1), loss=mse)
