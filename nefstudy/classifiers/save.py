"""A trained classifier on disk: one safetensors file with its weights, statistics and configuration.

The file's metadata holds a JSON text under the key `nefstudy`: format version, classifier, field and number of
classes. The tensors include the statistics that the network measured on the training split.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nefstudy.classifiers.catalog import CLASSIFIERS, build
from nefstudy.classifiers.classifier import WeightClassifier
from nefstudy.classifiers.scores import logits_of
from nefstudy.classifiers.train import TrainedClassifier
from nefstudy.classifiers.weights import WeightData
from nefstudy.config import ClassifierConfig, FieldConfig, parse
from nefstudy.errors import BadConfig
from nefstudy.fields.catalog import FIELDS
from nefstudy.fields.catalog import build as build_field
from nefstudy.fields.field import NeuralField
from nefstudy.scalars import canonical_json

FORMAT = 1
FILE_NAME = "classifier.safetensors"  # in the folder of a trial


@dataclasses.dataclass(frozen=True, eq=False)
class SavedClassifier:
    """A loaded network in evaluation mode, with the field whose rows it classifies."""

    config: ClassifierConfig
    field: NeuralField
    classes: int
    network: WeightClassifier

    def logits(self, data: WeightData) -> Float[Tensor, "N classes"]:
        """Return class scores of every row.

        Raises:
            BadConfig: the rows belong to another field than the one this classifier was trained on.
        """
        if data.field != self.field:
            raise BadConfig(
                f"rows of {data.field}: this classifier reads rows of {self.field}; train one for these rows"
            )
        return logits_of(self.network, data.parameters)


def classifier_bytes(trained: TrainedClassifier, *, fields: Mapping[str, type[Any]] = FIELDS) -> bytes:
    """Return a trained classifier as one safetensors file; equal classifiers give equal bytes.

    Raises:
        BadConfig: the class of its field is not in `fields`, so the file could not name it.
    """
    names = [name for name, kind in fields.items() if type(trained.field) is kind]
    if not names:
        raise BadConfig(
            f"field {trained.field} is not among the fields {list(fields)}; pass fields=FIELDS | {{name: its class}}"
        )
    params = dataclasses.asdict(cast(Any, trained.field))
    in_dim, out_dim = params.pop("in_dim"), params.pop("out_dim")
    metadata = {
        "format": FORMAT,
        "classifier": trained.config.model_dump(mode="json"),
        "field": {"name": names[0], "params": params},
        "in_dim": in_dim,
        "out_dim": out_dim,
        "classes": trained.classes,
    }
    tensors = {name: value.contiguous().cpu() for name, value in trained.network.state_dict().items()}
    content: bytes = save(tensors, metadata={"nefstudy": canonical_json(metadata)})
    return content


def load_classifier(
    path: Path,
    *,
    classifiers: Mapping[str, type[Any]] = CLASSIFIERS,
    fields: Mapping[str, type[Any]] = FIELDS,
) -> SavedClassifier:
    """Load a classifier from a file of `classifier_bytes`; its scores equal those of the saved classifier bit by bit.

    Raises:
        BadConfig: the file is missing, is not a saved classifier, or its tensors do not match its configuration.
    """
    metadata, tensors = _read(path)
    config = parse(ClassifierConfig, metadata["classifier"], where=f"{path}: classifier")
    field = build_field(
        parse(FieldConfig, metadata["field"], where=f"{path}: field"),
        in_dim=metadata["in_dim"],
        out_dim=metadata["out_dim"],
        fields=fields,
    )
    with torch.random.fork_rng(devices=[]):
        network = build(config, field, classes=metadata["classes"], classifiers=classifiers)
    dtype = next(value.dtype for value in tensors.values() if value.is_floating_point())
    try:
        network.to(dtype).load_state_dict(tensors)
    except RuntimeError:
        raise BadConfig(
            f"{path}: its tensors do not match {config.name} {config.params}; save the classifier again"
        ) from None
    return SavedClassifier(config, field, metadata["classes"], network.eval())


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get("nefstudy", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
    except (OSError, SafetensorError) as error:
        raise BadConfig(f"{path}: cannot be read as a classifier ({error}); pass the {FILE_NAME} of a trial") from None
    if metadata.get("format") != FORMAT:
        raise BadConfig(
            f"{path}: classifier format {metadata.get('format')!r}, this version reads {FORMAT}; save it again"
        )
    return metadata, tensors
