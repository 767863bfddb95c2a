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
from nefstudy.fields.symmetry import EdgeBlock, Entry, Flip, NodeLayer, Slot, Symmetry
from nefstudy.fields.wave import Waves, separate


@dataclass(frozen=True)
class RffNet:
    """ReLU layers on e(x) = [sin(2 pi std x B), cos(2 pi std x B)], the last layer linear.

    Args:
        hidden: units of every layer; half as many frequencies, so even.
        layers: weight matrices after the frequencies.
        std: default 0.1, layers 5: the study's phase 2 (Papa et al. 2024 suppl., Table 3).
        train_frequencies: whether B is fitted too.
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
        """Units of each layer after the frequencies, from the features to the channels."""
        return (*[self.hidden] * self.layers, self.out_dim)

    @property
    def layout(self) -> tuple[Parameter, ...]:
        """frequencies, then bias_l, kernel_l for each layer l; kernel_0 has the sine rows first."""
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
        """Hidden units permute; a frequency moves with its sine and cosine rows, and flips with its sine row."""
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
        """std = 1, with the frequencies scaled by std."""
        return replace(self, std=1.0), {"frequencies": self.std}

    def init(self, rng: np.random.Generator) -> dict[str, Float[np.ndarray, "..."]]:
        """Frequencies N(0, 1); kernels U(sqrt(6 / fan_in)); biases 0 (Papa et al. 2024 suppl.: He et al. 2015)."""
        shape = (self.in_dim, self.hidden // 2)
        params = {"frequencies": rng.standard_normal(shape).astype(np.float32)}
        for layer, (fan_in, fan_out) in enumerate(zip(self.widths, self.widths[1:], strict=False)):
            bound = sqrt(6 / fan_in)
            params[f"bias_{layer}"] = np.zeros(fan_out, dtype=np.float32)
            params[f"kernel_{layer}"] = rng.uniform(-bound, bound, (fan_in, fan_out)).astype(np.float32)
        return params

    def forward(self, params: Params, points: Float[Tensor, "*F P D"]) -> Float[Tensor, "F P C"]:
        """Outputs of F fields at points shared by all or given per field."""
        angle = self._angle(params, points.mT)
        hidden = torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)
        for layer in range(self.layers - 1):
            hidden = torch.relu(affine(hidden, params[f"kernel_{layer}"], params[f"bias_{layer}"]))
        last = self.layers - 1
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
        half = self.hidden // 2
        inputs = [waves(self._angle(params, points.mT))]
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
            turn = (2 * pi * self.std) * (cotangent[:, :half] * cosine - cotangent[:, half:] * sine)
            _, grads["frequencies"] = affine_gradient(points.mT, turn)
        else:
            grads["frequencies"] = torch.zeros_like(params["frequencies"])
        return losses, grads

    def _angle(self, params: Params, x: Float[Tensor, "*F D P"]) -> Float[Tensor, "F K P"]:
        frequencies = params["frequencies"]
        return (2 * pi * self.std) * affine(x, frequencies, torch.zeros_like(frequencies[:, 0]))
