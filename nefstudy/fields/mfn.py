"""MFN: a multiplicative filter network with sine filters, FourierNet (Fathony et al. 2021)."""

from dataclasses import dataclass, replace
from math import pi, sqrt

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nefstudy.fields.affine import affine, affine_gradient, input_gradient
from nefstudy.fields.field import Loss, Parameter, Params
from nefstudy.fields.hyperparameter import check, hyperparameter
from nefstudy.fields.padding import padded_loss
from nefstudy.fields.symmetry import EdgeBlock, Entry, Flip, NodeLayer, Phase, Slot, Symmetry
from nefstudy.fields.wave import Waves, separate


@dataclass(frozen=True)
class Mfn:
    """z_0 = g_0(x), z_{i+1} = (z_i W_i + b_i) g_{i+1}(x), out linear; g_i(x) = sin(x omega_i + phase_i).

    Args:
        filters: sine filters g_i; default 4, the study's phase 2 (Papa et al. 2024 suppl., Table 3).
        input_scale: s of the filters' initial law.
    """

    in_dim: int
    out_dim: int
    hidden: int = hyperparameter(32, low=1, high=4096)
    filters: int = hyperparameter(4, low=1, high=64)
    input_scale: float = hyperparameter(16.0, low=1e-6, high=1e8)

    def __post_init__(self) -> None:
        check(self)

    @property
    def layout(self) -> tuple[Parameter, ...]:
        """phase_i, omega_i for each filter; then bias_i, kernel_i for each linear map, the last one the output."""
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
        """Units permute; a filter's sign moves to what leaves its unit, or to the linear map it multiplies."""
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
        phases = tuple(Phase(i + 1, Slot(f"phase_{i}"), pi, (Slot(f"kernel_{i}"),)) for i in range(last))
        entries = tuple(Entry(Slot(f"omega_{i}"), added=Slot(f"phase_{i}")) for i in range(last))
        return Symmetry(nodes, edges, outward + inward, phases, entries)

    @property
    def unit(self) -> tuple["Mfn", dict[str, float]]:
        """input_scale = 1: it shapes the start only."""
        return replace(self, input_scale=1.0), {}

    def init(self, rng: np.random.Generator) -> dict[str, Float[np.ndarray, "..."]]:
        """phase U(pi), omega U(sqrt(s / filters)), kernels U(sqrt(6 / fan_in)), biases 0.

        Papa et al. 2024 suppl., eq. 5; the phases as in the study's public code.
        """
        bound, spread = sqrt(6 / self.hidden), sqrt(self.input_scale / self.filters)
        params: dict[str, np.ndarray] = {}
        for i in range(self.filters):
            params[f"phase_{i}"] = rng.uniform(-pi, pi, self.hidden).astype(np.float32)
            params[f"omega_{i}"] = rng.uniform(-spread, spread, (self.in_dim, self.hidden)).astype(np.float32)
        for i in range(self.filters):
            fan_out = self._fan_out(i)
            params[f"bias_{i}"] = np.zeros(fan_out, dtype=np.float32)
            params[f"kernel_{i}"] = rng.uniform(-bound, bound, (self.hidden, fan_out)).astype(np.float32)
        return params

    def forward(self, params: Params, points: Float[Tensor, "*F P D"]) -> Float[Tensor, "F P C"]:
        """Outputs of F fields at points shared by all or given per field."""
        x = points.mT
        hidden = torch.sin(affine(x, params["omega_0"], params["phase_0"]))
        for i in range(1, self.filters):
            wave = torch.sin(affine(x, params[f"omega_{i}"], params[f"phase_{i}"]))
            hidden = affine(hidden, params[f"kernel_{i - 1}"], params[f"bias_{i - 1}"]) * wave
        last = self.filters - 1
        return affine(hidden, params[f"kernel_{last}"], params[f"bias_{last}"]).mT

    def loss_gradient(
        self,
        params: Params,
        points: Float[Tensor, "*F Q D"],
        targets: Float[Tensor, "F P C"],
        *,
        loss: Loss,
        waves: Waves = separate,
    ) -> tuple[Float[Tensor, " F"], Params]:
        """Loss of each field and its gradient, by the chain rule written out."""
        last, x = self.filters - 1, points.mT
        both = [waves(affine(x, params[f"omega_{i}"], params[f"phase_{i}"])) for i in range(self.filters)]
        sines = [wave[:, : self.hidden] for wave in both]
        cosines = [wave[:, self.hidden :] for wave in both]
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
            turn = (state * linears[i - 1] if i > 0 else state) * cosines[i]
            grads[f"phase_{i}"], grads[f"omega_{i}"] = affine_gradient(x, turn)
            cotangent = state * sines[i]
        return losses, grads

    def _fan_out(self, i: int) -> int:
        return self.out_dim if i == self.filters - 1 else self.hidden


def _linear_bias(i: int) -> tuple[Slot, ...]:
    return (Slot(f"bias_{i - 1}"),) if i > 0 else ()
