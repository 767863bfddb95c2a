"""Surfaces of fitted shapes: marching cubes over the field's logits, written as PLY or OBJ."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nefstudy.errors import BadConfig
from nefstudy.neural_dataset.read import NeuralDataset

RESOLUTION = 64
"""Points along each axis of the grid a surface is drawn through."""

FINEST = 512
LEAST_ODDS = 1e-6
"""Probabilities are cut off here, so that logits stay finite."""

SUFFIXES = (".ply", ".obj")


def write_mesh(
    dataset: NeuralDataset, path: Path, *, signal: int, steps: int, view: int = 0, resolution: int = RESOLUTION
) -> dict[str, int]:
    """Write the surface of one shape to a .ply or .obj file in [-1, 1]^3; says how many vertices and faces it has.

    Raises:
        BadConfig: another suffix, fields that are not shapes, no such signal, or a field that is empty.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise BadConfig(f"{path}: suffix {path.suffix!r} must be .ply or .obj; rename the file")
    card = dataset.manifest.card
    if card.loss != "bce" or len(card.grid) != 3:
        raise BadConfig(
            f"neural dataset {dataset.digest} holds signals of kind {card.kind!r}; only shapes have surfaces"
        )
    if not 4 <= resolution <= FINEST:
        raise BadConfig(f"resolution {resolution} is not among 4 to {FINEST}; try {RESOLUTION}")
    found = dataset.reconstruct(signal, steps=steps, grid=(resolution,) * 3, view=view)[..., 0]
    chance = np.clip(found.astype(np.float64), LEAST_ODDS, 1 - LEAST_ODDS)
    if not (chance > 0.5).any():
        raise BadConfig(
            f"signal {signal} at {steps} steps is nowhere more likely inside than not on {resolution}^3 points; "
            "take a longer rung or a higher resolution"
        )
    mesh = surface(np.log(chance / (1 - chance)))
    data = mesh.export(file_type=path.suffix.lower()[1:])
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return {"vertices": len(mesh.vertices), "faces": len(mesh.faces)}


def surface(logits: Float[np.ndarray, "X Y Z"]) -> Any:
    """The closed surface, a trimesh, where logits over a regular grid of [-1, 1]^3 pass 0, facing outwards.

    Beyond the grid everything is outside, so that a shape that reaches its end is closed there.
    """
    import trimesh
    from skimage.measure import marching_cubes

    padded = np.pad(logits, 1, constant_values=-float(np.abs(logits).max()))
    spacing = tuple(2 / (extent - 1) for extent in logits.shape)
    vertices, faces, _, _ = marching_cubes(padded, level=0.0, spacing=spacing, gradient_direction="ascent")
    return trimesh.Trimesh(vertices - 1 - np.array(spacing), faces, process=False)
