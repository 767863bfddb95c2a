"""SIREN: a multilayer perceptron with sine activations (Sitzmann et al. 2020)."""

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
from nefstudy.fields.sincos import Sincos, torch_sincos
from nefstudy.fields.symmetry import EdgeBlock, Entry, Flip, NodeLayer, PhaseShift, Slot, Symmetry


@dataclass(frozen=True)
class Siren:
    """A SIREN: layers h_l = sin(omega_0 (h_{l-1} W_l + b_l)) and a linear last layer; omega_0 also scales the bias.

    Args:
        layers: number of weight matrices, including the last one.
        omega_0: default 9, the study's phase 2 (Papa et al. 2024 suppl., Table 3).
    """

    in_dim: int
    out_dim: int
    hidden: int = hyperparameter(32, low=1, high=4096)
    layers: int = hyperparameter(3, low=2, high=64)
    omega_0: float = hyperparameter(9.0, low=1e-3, high=1e4)

    def __post_init__(self) -> None:
        check(self)

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of each layer, from the coordinates to the channels."""
        return (self.in_dim, *[self.hidden] * (self.layers - 1), self.out_dim)

    @property
    def layout(self) -> tuple[Parameter, ...]:
        """The parameters in order: bias_l and kernel_l for each layer l."""
        widths = self.widths
        return tuple(
            parameter
            for layer in range(self.layers)
            for parameter in (
                Parameter(f"bias_{layer}", (widths[layer + 1],)),
                Parameter(f"kernel_{layer}", (widths[layer], widths[layer + 1])),
            )
        )

    @property
    def symmetry(self) -> Symmetry:
        """Permutations, sign flips and half-period shifts of hidden units: sin is odd, and sin(u + pi) = -sin(u)."""
        last = self.layers
        nodes = (
            NodeLayer("input", self.in_dim, "input"),
            *(
                NodeLayer(f"hidden_{layer}", self.hidden, "hidden", (Slot(f"bias_{layer - 1}"),))
                for layer in range(1, last)
            ),
            NodeLayer("output", self.out_dim, "output", (Slot(f"bias_{last - 1}"),)),
        )
        edges = tuple(EdgeBlock(layer, layer + 1, (Slot(f"kernel_{layer}"),)) for layer in range(last))
        flips = tuple(
            Flip(layer, (Slot(f"kernel_{layer - 1}"), Slot(f"bias_{layer - 1}"), Slot(f"kernel_{layer}")))
            for layer in range(1, last)
        )
        phase_shifts = tuple(
            PhaseShift(layer, Slot(f"bias_{layer - 1}"), pi / self.omega_0, (Slot(f"kernel_{layer}"),))
            for layer in range(1, last)
        )
        return Symmetry(nodes, edges, flips, phase_shifts, (Entry(Slot("kernel_0"), added=Slot("bias_0")),))

    @property
    def unit(self) -> tuple["Siren", dict[str, float]]:
        """The network with omega_0 = 1, and omega_0 as the factor of all parameters except those of the last layer."""
        scaled = (f"{kind}_{layer}" for layer in range(self.layers - 1) for kind in ("bias", "kernel"))
        return replace(self, omega_0=1.0), dict.fromkeys(scaled, self.omega_0)

    def init(self, rng: np.random.Generator) -> dict[str, Float[np.ndarray, "..."]]:
        """Draw the initial parameters: the last kernel is normal, the other kernels are uniform, biases are 0.

        The bounds are 1 / fan_in in the first layer and sqrt(6 / fan_in) / omega_0 in hidden layers (Papa et al. 2024
        suppl., eq. 4 with c = sqrt(6) / omega_0); the last kernel has variance 1 / fan_in.
        """
        params: dict[str, np.ndarray] = {}
        for layer, (fan_in, fan_out) in enumerate(zip(self.widths, self.widths[1:], strict=False)):
            params[f"bias_{layer}"] = np.zeros(fan_out, dtype=np.float32)
            if layer == self.layers - 1:
                kernel = rng.normal(0.0, 1 / sqrt(fan_in), (fan_in, fan_out))
            else:
                bound = 1 / fan_in if layer == 0 else sqrt(6 / fan_in) / self.omega_0
                kernel = rng.uniform(-bound, bound, (fan_in, fan_out))
            params[f"kernel_{layer}"] = kernel.astype(np.float32)
        return params

    def forward(self, params: Params, coords: Float[Tensor, "*F P D"]) -> Float[Tensor, "F P C"]:
        """Return the outputs of F fields at shared points, or at separate points for each field."""
        hidden = coords.mT
        for layer in range(self.layers - 1):
            hidden = torch.sin(self.omega_0 * affine(hidden, params[f"kernel_{layer}"], params[f"bias_{layer}"]))
        last = self.layers - 1
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
        inputs, slopes = [coords.mT], []
        for layer in range(self.layers - 1):
            angle = self.omega_0 * affine(inputs[-1], params[f"kernel_{layer}"], params[f"bias_{layer}"])
            both = sincos(angle)
            inputs.append(both[:, : self.hidden])
            slopes.append(self.omega_0 * both[:, self.hidden :])
        last = self.layers - 1
        outputs = affine(inputs[-1], params[f"kernel_{last}"], params[f"bias_{last}"])
        losses, cotangent = padded_loss(outputs, targets, loss=loss)
        grads: Params = {}
        for layer in reversed(range(self.layers)):
            grads[f"bias_{layer}"], grads[f"kernel_{layer}"] = affine_gradient(inputs[layer], cotangent)
            if layer > 0:
                cotangent = input_gradient(cotangent, params[f"kernel_{layer}"]) * slopes[layer - 1]
        return losses, grads
