"""RFFNet: random Fourier features, then a ReLU network (Tancik et al. 2020)."""

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
from nefstudy.fields.symmetry import EdgeBlock, Entry, Flip, NodeLayer, Slot, Symmetry


@dataclass(frozen=True)
class RffNet:
    """An RFFNet: ReLU layers on e(x) = [sin(2 pi std x B), cos(2 pi std x B)], and a linear last layer.

    Args:
        hidden: units of every layer, even because there are hidden / 2 frequencies.
        layers: weight matrices after the frequencies; default 5, the study's phase 2.
        std: scale of the frequencies; default 0.1, the study's phase 2 (Papa et al. 2024 suppl., Table 3).
        train_frequencies: whether B is trained.
    """

    in_dim: int
    out_dim: int
    hidden: int = hyperparameter(32, low=2, high=4096, even=True)
    layers: int = hyperparameter(5, low=1, high=64)
    std: float = hyperparameter(0.1, low=1e-4, high=1e4)
    train_frequencies: bool = True

    def __post_init__(self) -> None:
        check(self)

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of each layer after the frequencies, from the features to the channels."""
        return (*[self.hidden] * self.layers, self.out_dim)

    @property
    def layout(self) -> tuple[Parameter, ...]:
        """The parameters in order: frequencies, then bias_l and kernel_l per layer; kernel_0 starts with sine rows."""
        widths = self.widths
        frequencies = Parameter("frequencies", (self.in_dim, self.hidden // 2), self.train_frequencies)
        return frequencies, *(
            parameter
            for layer in range(self.layers)
            for parameter in (
                Parameter(f"bias_{layer}", (widths[layer + 1],)),
                Parameter(f"kernel_{layer}", (widths[layer], widths[layer + 1])),
            )
        )

    @property
    def symmetry(self) -> Symmetry:
        """Permutations of units, and sign flips of frequencies together with their sine rows of kernel_0."""
        half, last = self.hidden // 2, self.layers + 1
        sine, cosine = Slot("kernel_0", (0, half)), Slot("kernel_0", (half, self.hidden))
        hidden = tuple(
            NodeLayer(f"hidden_{layer}", self.hidden, "hidden", (Slot(f"bias_{layer - 1}"),))
            for layer in range(1, self.layers)
        )
        nodes = (
            NodeLayer("input", self.in_dim, "input"),
            NodeLayer("frequencies", half, "hidden"),
            *hidden,
            NodeLayer("output", self.out_dim, "output", (Slot(f"bias_{self.layers - 1}"),)),
        )
        edges = (
            EdgeBlock(0, 1, (Slot("frequencies"),)),
            EdgeBlock(1, 2, (sine, cosine)),
            *(EdgeBlock(node, node + 1, (Slot(f"kernel_{node - 1}"),)) for node in range(2, last)),
        )
        entry = Entry(Slot("frequencies"), 2 * pi * self.std, turned=(sine, cosine))
        return Symmetry(nodes, edges, (Flip(1, (Slot("frequencies"), sine)),), entries=(entry,))

    @property
    def unit(self) -> tuple["RffNet", dict[str, float]]:
        """The network with std = 1, and std as the factor of the frequencies."""
        return replace(self, std=1.0), {"frequencies": self.std}

    def init(self, rng: np.random.Generator) -> dict[str, Float[np.ndarray, "..."]]:
        """Draw the initial parameters: frequencies are from N(0, 1), kernels are uniform, biases are 0.

        The bound of the kernels is sqrt(6 / fan_in): He et al. 2015, as in Papa et al. 2024 suppl.
        """
        shape = (self.in_dim, self.hidden // 2)
        params = {"frequencies": rng.standard_normal(shape).astype(np.float32)}
        for layer, (fan_in, fan_out) in enumerate(zip(self.widths, self.widths[1:], strict=False)):
            bound = sqrt(6 / fan_in)
            params[f"bias_{layer}"] = np.zeros(fan_out, dtype=np.float32)
            params[f"kernel_{layer}"] = rng.uniform(-bound, bound, (fan_in, fan_out)).astype(np.float32)
        return params

    def forward(self, params: Params, coords: Float[Tensor, "*F P D"]) -> Float[Tensor, "F P C"]:
        """Return the outputs of F fields at shared points, or at separate points for each field."""
        angle = self._angle(params, coords.mT)
        hidden = torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)
        for layer in range(self.layers - 1):
            hidden = torch.relu(affine(hidden, params[f"kernel_{layer}"], params[f"bias_{layer}"]))
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
        half = self.hidden // 2
        inputs = [sincos(self._angle(params, coords.mT))]
        for layer in range(self.layers - 1):
            inputs.append(torch.relu(affine(inputs[-1], params[f"kernel_{layer}"], params[f"bias_{layer}"])))
        last = self.layers - 1
        outputs = affine(inputs[-1], params[f"kernel_{last}"], params[f"bias_{last}"])
        losses, cotangent = padded_loss(outputs, targets, loss=loss)
        grads: Params = {}
        for layer in reversed(range(self.layers)):
            grads[f"bias_{layer}"], grads[f"kernel_{layer}"] = affine_gradient(inputs[layer], cotangent)
            cotangent = input_gradient(cotangent, params[f"kernel_{layer}"])
            if layer > 0:
                cotangent = torch.where(inputs[layer] > 0, cotangent, 0.0)
        if self.train_frequencies:
            sine, cosine = inputs[0][:, :half], inputs[0][:, half:]
            angle = (2 * pi * self.std) * (cotangent[:, :half] * cosine - cotangent[:, half:] * sine)
            _, grads["frequencies"] = affine_gradient(coords.mT, angle)
        else:
            grads["frequencies"] = torch.zeros_like(params["frequencies"])
        return losses, grads

    def _angle(self, params: Params, x: Float[Tensor, "*F D P"]) -> Float[Tensor, "F K P"]:
        frequencies = params["frequencies"]
        return (2 * pi * self.std) * affine(x, frequencies, torch.zeros_like(frequencies[:, 0]))
