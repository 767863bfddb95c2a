"""Reading of neural datasets: their rungs, their columns, and signals reconstructed from the files alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from nefstudy.config import NeuralDatasetConfig, parse
from nefstudy.errors import BadConfig, BadNeuralDataset
from nefstudy.fields.catalog import FIELDS, build
from nefstudy.fields.field import NeuralField
from nefstudy.neural_dataset.quality import reconstruct
from nefstudy.neural_dataset.rung import Rung, check_shard, read_batches, read_columns, read_rung
from nefstudy.neural_dataset.schema import Manifest
from nefstudy.paths import DATASETS, manifest_path
from nefstudy.scalars import canonical_json
from nefstudy.scalars import digest as digest_of
from nefstudy.signals.signal import LOGIT_LOSSES, grid_coords
from nefstudy.storage import Storage


@dataclass(frozen=True, eq=False)
class NeuralDataset:
    """A finished neural dataset, whose shards are read and checked against their hashes on access."""

    storage: Storage
    manifest: Manifest
    field: NeuralField
    checks: bool = True

    @property
    def digest(self) -> str:
        """The digest of the recipe, which identifies the neural dataset."""
        return self.manifest.digest

    @property
    def recipe(self) -> NeuralDatasetConfig:
        """The configuration that determines the neural dataset."""
        return parse(NeuralDatasetConfig, self.manifest.recipe, where=f"recipe of {self.digest}")

    @property
    def rungs(self) -> tuple[int, ...]:
        """The step counts of the rungs, ascending."""
        return tuple(record.steps for record in self.manifest.rungs)

    def rung(self, steps: int) -> Rung:
        """Return every field at a step count.

        Raises:
            BadNeuralDataset: no such rung, or a shard that is missing or damaged; names the file.
        """
        return read_rung(self.storage, self.manifest, steps=steps, verify=self.checks)

    def quality(self, steps: int) -> dict[str, np.ndarray]:
        """Return the quality columns of a rung, `diverged_at` and `constant`, without reading weights."""
        names = (*self.manifest.quality, "diverged_at", "constant")
        return read_columns(self.storage, self.manifest, names, steps=steps, verify=False)

    def batches(self, steps: int) -> Iterator[Any]:
        """Return the Arrow record batches of a rung, one per shard, memory-mapped if local."""
        return read_batches(self.storage, self.manifest, steps=steps, verify=self.checks)

    def reconstruct(
        self, signal_id: int, *, steps: int, grid: tuple[int, ...] | None = None, view: int = 0
    ) -> Float[np.ndarray, "*grid C"]:
        """Return the values in [0, 1] of one signal's field on a regular grid, by default the signals' own grid.

        For shapes, values are probabilities of occupancy.

        Raises:
            BadConfig: no such signal or view in the neural dataset.
        """
        card = self.manifest.card
        extent = grid or card.grid
        row = self._row(signal_id, view=view, steps=steps)
        values = reconstruct(self.field, card, row, grid_coords(extent))[0]
        if card.loss in LOGIT_LOSSES:
            values = 1 / (1 + np.exp(-values))
        clipped: Float[np.ndarray, "*grid C"] = np.clip(values, 0, 1).reshape(*extent, card.channels)
        return clipped

    def verify(self) -> None:
        """Check every shard of every rung against the manifest.

        Raises:
            BadNeuralDataset: names the first file that is missing or does not match.
        """
        for record in self.manifest.rungs:
            for _ in read_batches(self.storage, self.manifest, steps=record.steps, verify=True):
                pass

    def _row(self, signal_id: int, *, view: int, steps: int) -> torch.Tensor:
        for batch in self.batches(steps):
            ids, views = batch.column("id").to_numpy(), batch.column("view").to_numpy()
            matches = np.flatnonzero((ids == signal_id) & (views == view))
            if len(matches):
                size = sum(prod(p.shape) for p in self.manifest.layout)
                flat = batch.column("parameters").flatten().to_numpy().reshape(-1, size)
                return torch.from_numpy(flat[matches[:1]])
        raise BadConfig(
            f"signal {signal_id}, view {view}: not in neural dataset {self.digest}; its ids are in the column `id`"
        )


def open_neural_dataset(
    root: str, digest: str, *, verify: bool = True, fields: Mapping[str, type[Any]] = FIELDS
) -> NeuralDataset:
    """Return a finished neural dataset by its digest, after checking its manifest and the size of every shard.

    Args:
        verify: check each shard's hash when it is read.
        fields: the fields by name, your own included.

    Raises:
        BadNeuralDataset: no such neural dataset, or one that is damaged or of another format version; names the file.
    """
    dataset = find_neural_dataset(root, digest, verify=verify, fields=fields)
    if dataset is None:
        where = Storage.at(root).locate(manifest_path(digest))
        raise BadNeuralDataset(f"{where} is missing: no finished neural dataset {digest}; fit it, or correct the root")
    return dataset


def find_neural_dataset(
    root: str, digest: str, *, verify: bool = True, fields: Mapping[str, type[Any]] = FIELDS
) -> NeuralDataset | None:
    """Open a neural dataset like `open_neural_dataset`, but return None if no finished dataset exists."""
    storage = Storage.at(root)
    if storage.size(manifest_path(digest)) is None:
        return None
    manifest = _read_manifest(storage, digest)
    for record in manifest.rungs:
        for shard in record.shards:
            check_shard(storage, digest, shard, content=False)
    recipe = parse(NeuralDatasetConfig, manifest.recipe, where=f"recipe of {digest}")
    dims = manifest.field
    field = build(recipe.field, in_dim=dims["in_dim"], out_dim=dims["out_dim"], fields=fields)
    if [(p.name, p.shape) for p in field.layout] != [(p.name, p.shape) for p in manifest.layout]:
        where = storage.locate(manifest_path(digest))
        raise BadNeuralDataset(f"{where}: its layout is not {recipe.field.name}'s; pass the field it was fitted with")
    return NeuralDataset(storage, manifest, field, checks=verify)


def list_neural_datasets(root: str) -> tuple[Manifest, ...]:
    """Return the manifests of the finished neural datasets under a root, ordered by digest.

    Raises:
        BadNeuralDataset: a manifest is damaged or of another format version; names the file.
    """
    storage = Storage.at(root)
    finished = [name for name in storage.names(DATASETS) if storage.size(manifest_path(name)) is not None]
    return tuple(_read_manifest(storage, digest) for digest in finished)


def _read_manifest(storage: Storage, digest: str) -> Manifest:
    where = storage.locate(manifest_path(digest))
    manifest = Manifest.from_json(storage.read(manifest_path(digest)), where=where)
    if manifest.digest != digest or digest_of(canonical_json(manifest.recipe)) != digest:
        raise BadNeuralDataset(
            f"{where} belongs to neural dataset {manifest.digest}; move it back to the folder of that name"
        )
    return manifest
