"""A trained classifier on disk: one safetensors file with its weights, statistics and configuration.

The file's metadata holds one JSON text under the key `nefstudy`: format version, classifier, field and
number of classes. Everything a reader measured on the training split is among the tensors.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nefstudy.classifiers.catalog import CLASSIFIERS, build
from nefstudy.classifiers.classifier import WeightReader
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


@dataclasses.dataclass(frozen=True, eq=False)
class SavedClassifier:
    """A reader as it was saved, in evaluation mode, with the field whose rows it reads."""

    config: ClassifierConfig
    field: NeuralField
    classes: int
    reader: WeightReader

    def logits(self, data: WeightData) -> Float[Tensor, "N classes"]:
        """Class scores of every row.

        Raises:
            BadConfig: the rows are of another field than the one this classifier was trained on.
        """
        if data.field != self.field:
            raise BadConfig(f"rows of {data.field}, but this classifier reads {self.field}; train one for these rows")
        return logits_of(self.reader, data.parameters)


def classifier_bytes(trained: TrainedClassifier, *, fields: Mapping[str, type[Any]] = FIELDS) -> bytes:
    """A trained classifier as one safetensors file; equal classifiers are equal bytes.

    Raises:
        BadConfig: its field is none of `fields`, so that no reader could name it.
    """
    named = [name for name, kind in fields.items() if type(trained.field) is kind]
    if not named:
        raise BadConfig(
            f"field {trained.field} has no name in {list(fields)}; pass fields=FIELDS | {{name: its class}}"
        )
    params = dataclasses.asdict(cast(Any, trained.field))
    in_dim, out_dim = params.pop("in_dim"), params.pop("out_dim")
    about = {
        "format": FORMAT,
        "classifier": trained.config.model_dump(mode="json"),
        "field": {"name": named[0], "params": params},
        "in_dim": in_dim,
        "out_dim": out_dim,
        "classes": trained.classes,
    }
    tensors = {name: value.contiguous().cpu() for name, value in trained.reader.state_dict().items()}
    content: bytes = save(tensors, metadata={"nefstudy": canonical_json(about)})
    return content


def save_classifier(trained: TrainedClassifier, path: Path, *, fields: Mapping[str, type[Any]] = FIELDS) -> None:
    """Write a trained classifier as one file that appears whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("wb") as file:
        file.write(classifier_bytes(trained, fields=fields))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def load_classifier(
    path: Path,
    *,
    classifiers: Mapping[str, type[Any]] = CLASSIFIERS,
    fields: Mapping[str, type[Any]] = FIELDS,
) -> SavedClassifier:
    """The classifier of a file written by `save_classifier`; its scores are equal bit for bit.

    Raises:
        BadConfig: the file is missing, is no classifier of ours, or holds another one's tensors.
    """
    about, tensors = _read(path)
    config = parse(ClassifierConfig, about["classifier"], where=f"{path}: classifier")
    field = build_field(
        parse(FieldConfig, about["field"], where=f"{path}: field"),
        in_dim=about["in_dim"],
        out_dim=about["out_dim"],
        fields=fields,
    )
    with torch.random.fork_rng(devices=[]):
        reader = build(config, field, classes=about["classes"], classifiers=classifiers)
    dtype = next(value.dtype for value in tensors.values() if value.is_floating_point())
    try:
        reader.to(dtype).load_state_dict(tensors)
    except RuntimeError:
        raise BadConfig(
            f"{path}: its tensors are not those of {config.name} {config.params}; save the classifier again"
        ) from None
    return SavedClassifier(config, field, about["classes"], reader.eval())


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("nefstudy", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
    except (OSError, SafetensorError) as error:
        raise BadConfig(f"{path}: cannot be read as a classifier ({error}); give a file of save_classifier") from None
    if about.get("format") != FORMAT:
        raise BadConfig(
            f"{path}: classifier format {about.get('format')!r}, this version reads {FORMAT}; save it again"
        )
    return about, tensors
