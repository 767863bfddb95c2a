"""MFN: a multiplicative filter network with sine filters, FourierNet (Fathony et al. 2021)."""

from dataclasses import dataclass, replace
from math import pi, sqrt

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.fields.affine import affine, affine_gradient, input_gradient
from nefstudy.fields.field import Loss, Parameter, Params
from nefstudy.fields.hyperparameter import check, choice, hyperparameter
from nefstudy.fields.padding import padded_loss
from nefstudy.fields.sincos import Sincos, torch_sincos
from nefstudy.fields.symmetry import EdgeBlock, Entry, Flip, NodeLayer, PhaseShift, Slot, Symmetry


@dataclass(frozen=True)
class Mfn:
    """FourierNet: z_0 = g_0(x), z_{i+1} = (z_i W_i + b_i) g_{i+1}(x), linear output; g_i(x) = sin(x omega_i + phase_i).

    Args:
        filters: number of sine filters g_i; default 4, the study's phase 2 (Papa et al. 2024 suppl., Table 3).
        input_scale: s of the filters' initial distribution.
        law: bound of the filters' initial distribution U: `code` is sqrt(3 s / (sqrt(filters) in_dim)), by which the
            public code generated the study's data; `paper` is sqrt(s / filters) (Papa et al. 2024 suppl., eq. 5).
    """

    in_dim: int
    out_dim: int
    hidden: int = hyperparameter(32, low=1, high=4096)
    filters: int = hyperparameter(4, low=1, high=64)
    input_scale: float = hyperparameter(16.0, low=1e-6, high=1e8)
    law: str = choice("code", "paper")

    def __post_init__(self) -> None:
        check(self)

    @property
    def layout(self) -> tuple[Parameter, ...]:
        """The parameters in order: phase_i and omega_i per filter, then bias_i and kernel_i per linear map."""
        filters = (
            parameter
            for i in range(self.filters)
            for parameter in (
                Parameter(f"phase_{i}", (self.hidden,)),
                Parameter(f"omega_{i}", (self.in_dim, self.hidden)),
            )
        )
        linears = (
            parameter
            for i in range(self.filters)
            for parameter in (
                Parameter(f"bias_{i}", (self._fan_out(i),)),
                Parameter(f"kernel_{i}", (self.hidden, self._fan_out(i))),
            )
        )
        return *filters, *linears

    @property
    def symmetry(self) -> Symmetry:
        """Permutations of units, and filter sign flips compensated in outgoing weights or the multiplied linear map."""
        last = self.filters
        nodes = (
            NodeLayer("input", self.in_dim, "input"),
            *(
                NodeLayer(f"filter_{i}", self.hidden, "hidden", (Slot(f"phase_{i}"), *_linear_bias(i)))
                for i in range(last)
            ),
            NodeLayer("output", self.out_dim, "output", (Slot(f"bias_{last - 1}"),)),
        )
        edges = (
            *(EdgeBlock(0, i + 1, (Slot(f"omega_{i}"),)) for i in range(last)),
            *(EdgeBlock(i + 1, i + 2, (Slot(f"kernel_{i}"),)) for i in range(last)),
        )
        outward = tuple(Flip(i + 1, (Slot(f"omega_{i}"), Slot(f"phase_{i}"), Slot(f"kernel_{i}"))) for i in range(last))
        inward = tuple(
            Flip(i + 1, (Slot(f"omega_{i}"), Slot(f"phase_{i}"), Slot(f"kernel_{i - 1}"), Slot(f"bias_{i - 1}")))
            for i in range(1, last)
        )
        phase_shifts = tuple(PhaseShift(i + 1, Slot(f"phase_{i}"), pi, (Slot(f"kernel_{i}"),)) for i in range(last))
        entries = tuple(Entry(Slot(f"omega_{i}"), added=Slot(f"phase_{i}")) for i in range(last))
        return Symmetry(nodes, edges, outward + inward, phase_shifts, entries)

    @property
    def unit(self) -> tuple["Mfn", dict[str, float]]:
        """The network with the default `law` and input_scale = 1, which affect only the initial parameters."""
        return replace(self, input_scale=1.0, law="code"), {}

    def init(self, rng: np.random.Generator) -> dict[str, Float[np.ndarray, "..."]]:
        """Draw the initial parameters: phases, omegas and kernels are uniform, biases are 0.

        The bounds are pi, the one of `law`, and sqrt(6 / fan_in): Papa et al. 2024 suppl., eq. 5, for kernels; the
        study's public code for phases.
        """
        variance = {"paper": 1 / self.filters, "code": 3 / (sqrt(self.filters) * self.in_dim)}[self.law]
        bound, spread = sqrt(6 / self.hidden), sqrt(self.input_scale * variance)
        params: dict[str, np.ndarray] = {}
        for i in range(self.filters):
            params[f"phase_{i}"] = rng.uniform(-pi, pi, self.hidden).astype(np.float32)
            params[f"omega_{i}"] = rng.uniform(-spread, spread, (self.in_dim, self.hidden)).astype(np.float32)
        for i in range(self.filters):
            fan_out = self._fan_out(i)
            params[f"bias_{i}"] = np.zeros(fan_out, dtype=np.float32)
            params[f"kernel_{i}"] = rng.uniform(-bound, bound, (self.hidden, fan_out)).astype(np.float32)
        return params

    def forward(self, params: Params, coords: Float[Tensor, "*F P D"]) -> Float[Tensor, "F P C"]:
        """Return the outputs of F fields at shared points, or at separate points for each field."""
        x = coords.mT
        hidden = torch.sin(affine(x, params["omega_0"], params["phase_0"]))
        for i in range(1, self.filters):
            sine = torch.sin(affine(x, params[f"omega_{i}"], params[f"phase_{i}"]))
            hidden = affine(hidden, params[f"kernel_{i - 1}"], params[f"bias_{i - 1}"]) * sine
        last = self.filters - 1
        return affine(hidden, params[f"kernel_{last}"], params[f"bias_{last}"]).mT

    def loss_gradient(
        self,
        params: Params,
        coords: Float[Tensor, "*F Q D"],
        targets: Float[Tensor, "F P C"],
        *,
        loss: Loss,
        sincos: Sincos = torch_sincos,
    ) -> tuple[Float[Tensor, " F"], Params]:
        """Return the loss and gradient of each field, computed by the chain rule."""
        last, x = self.filters - 1, coords.mT
        both = [sincos(affine(x, params[f"omega_{i}"], params[f"phase_{i}"])) for i in range(self.filters)]
        sines = [pair[:, : self.hidden] for pair in both]
        cosines = [pair[:, self.hidden :] for pair in both]
        states, linears = [sines[0]], []
        for i in range(last):
            linears.append(affine(states[-1], params[f"kernel_{i}"], params[f"bias_{i}"]))
            states.append(linears[-1] * sines[i + 1])
        outputs = affine(states[-1], params[f"kernel_{last}"], params[f"bias_{last}"])
        losses, cotangent = padded_loss(outputs, targets, loss=loss)
        grads: Params = {}
        for i in reversed(range(self.filters)):
            grads[f"bias_{i}"], grads[f"kernel_{i}"] = affine_gradient(states[i], cotangent)
            state = input_gradient(cotangent, params[f"kernel_{i}"])
            angle = (state * linears[i - 1] if i > 0 else state) * cosines[i]
            grads[f"phase_{i}"], grads[f"omega_{i}"] = affine_gradient(x, angle)
            cotangent = state * sines[i]
        return losses, grads

    def _fan_out(self, i: int) -> int:
        return self.out_dim if i == self.filters - 1 else self.hidden


def _linear_bias(i: int) -> tuple[Slot, ...]:
    return (Slot(f"bias_{i - 1}"),) if i > 0 else ()
