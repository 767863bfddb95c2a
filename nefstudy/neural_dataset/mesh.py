"""Surfaces of fitted shapes: marching cubes over the field's logits, written as PLY or OBJ."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nefstudy.errors import BadConfig
from nefstudy.neural_dataset.read import NeuralDataset
from nefstudy.signals.signal import LOGIT_LOSSES

RESOLUTION = 64
"""Points along each axis of the grid on which the field is evaluated."""

FINEST = 512
MIN_PROBABILITY = 1e-6
"""Distance from 0 and 1 to which probabilities are clipped, so that logits stay finite."""

SUFFIXES = (".ply", ".obj")


def write_mesh(
    dataset: NeuralDataset, path: Path, *, signal: int, steps: int, view: int = 0, resolution: int = RESOLUTION
) -> dict[str, int]:
    """Write the surface of one shape in [-1, 1]^3 to a .ply or .obj file.

    Return the numbers of vertices and faces.

    Raises:
        BadConfig: another suffix, fields that are not shapes, no such signal, or a field without an inside.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise BadConfig(f"{path}: suffix {path.suffix!r} must be .ply or .obj; rename the file")
    card = dataset.manifest.card
    if card.loss not in LOGIT_LOSSES or len(card.grid) != 3:
        raise BadConfig(
            f"neural dataset {dataset.digest} contains signals of kind {card.kind!r}; only shapes have surfaces"
        )
    if not 4 <= resolution <= FINEST:
        raise BadConfig(f"resolution {resolution} is not among 4 to {FINEST}; try {RESOLUTION}")
    occupancy = dataset.reconstruct(signal, steps=steps, grid=(resolution,) * 3, view=view)[..., 0]
    probability = np.clip(occupancy.astype(np.float64), MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    if not (probability > 0.5).any():
        raise BadConfig(
            f"signal {signal} at {steps} steps has no occupancy above 0.5 on {resolution}^3 points; "
            "choose a longer rung or a higher resolution"
        )
    mesh = surface(np.log(probability / (1 - probability)))
    data = mesh.export(file_type=path.suffix.lower()[1:])
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return {"vertices": len(mesh.vertices), "faces": len(mesh.faces)}


def surface(logits: Float[np.ndarray, "X Y Z"]) -> Any:
    """Return the closed surface on which logits on a regular grid over [-1, 1]^3 cross 0, as an outward-facing trimesh.

    Everything beyond the grid counts as outside, so a shape that reaches the boundary is closed there.
    """
    import trimesh
    from skimage.measure import marching_cubes

    padded = np.pad(logits, 1, constant_values=-float(np.abs(logits).max()))
    spacing = tuple(2 / (extent - 1) for extent in logits.shape)
    vertices, faces, _, _ = marching_cubes(padded, level=0.0, spacing=spacing, gradient_direction="ascent")
    return trimesh.Trimesh(vertices - 1 - np.array(spacing), faces, process=False)
