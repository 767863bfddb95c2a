"""Tests of the fused kernel's constants: a field without a kernel has none."""

from math import pi

import pytest

from nefstudy.errors import BadConfig
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren
from nefstudy.fitting.engines.fused.plan import factor_of, no_kernel_reason, plan_of

from ...fields.plane import Plane


def test_each_field_has_its_own_factor() -> None:
    """The scale factor passed to the kernel is omega_0 for Siren, 2 pi std for RffNet, and 1 for Mfn."""
    fields = (Siren(2, 1, hidden=8, omega_0=9.0), RffNet(2, 1, hidden=8, std=0.5), Mfn(2, 1, hidden=8))
    assert [factor_of(field) for field in fields] == [9.0, 2 * pi * 0.5, 1.0]


@pytest.mark.parametrize("constant", [factor_of, plan_of])
def test_a_field_without_a_kernel_has_no_constants(constant) -> None:
    """Computing the kernel constants of a field without a kernel raises an error that states why it has none."""
    with pytest.raises(BadConfig) as refused:
        constant(Plane(2, 1))
    assert str(refused.value) == no_kernel_reason(Plane(2, 1))
