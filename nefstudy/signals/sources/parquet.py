"""Source of images from parquet files in the layout of the Hugging Face hub.

An image column is a struct of `bytes` (an encoded PNG or JPEG) and `path`; a label column contains integers; the
schema's metadata key `huggingface` holds the class names. The split of a file is in its name
(`train-00000-of-00001.parquet`) or its folder (`train/0000.parquet`).
"""

import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Int8, Shaped

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.outside_text import one_line
from nefstudy.signals.check import refuse
from nefstudy.signals.files.file_type import file_type_of
from nefstudy.signals.files.pixels import conversion, stack_images
from nefstudy.signals.image_set import image_set
from nefstudy.signals.signal import SPLITS, Signals, Split
from nefstudy.signals.signal_set import VALIDATION_SHARE, numbered_classes
from nefstudy.signals.sources.options import only_options, optional_text, text_option
from nefstudy.signals.splits import PARTS
from nefstudy.storage import below, list_tree, open_file

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMN = "label"
OPTIONS = ("path", "image", "label", "test", "size", "channels")


def is_parquet(path: str) -> bool:
    """Return whether a path names a parquet file."""
    return path.lower().endswith(".parquet")


def holds_parquet(path: str) -> bool:
    """Return whether a path names a parquet file, or a folder that contains one."""
    return is_parquet(path) or any(is_parquet(file.name) for file in list_tree(path)[0])


def read_parquet(config: SignalsConfig, *, validation_share: float = VALIDATION_SHARE) -> Signals:
    """Read images from parquet files; options: `path`, `image`, `label`, `test`, `size`, `channels`.

    `path` is a file, folder or URI. `image` and `label` name the columns (default `image` or `img`, and `label`).
    `test` names the split to test on if the labels of `test` are withheld, such as `valid`. `size` and `channels` are
    as for image folders. Without a validation split, a share of train becomes validation. If no file name contains a
    split, a stratified one is drawn.

    Raises:
        BadSignals: a file is missing, truncated or lacks a column, or its images or labels are invalid.
    """
    only_options(config, *OPTIONS)
    path = text_option(config, "path", hint="a parquet file, or the folder or URI that contains some")
    convert = conversion(config)
    chosen = _chosen_files(path, test_part=_test_part(config))
    tables = {name: _read_table(path, file, config=config) for name, file, _ in chosen}
    labels = np.concatenate([_labels(table, where=below(path, name)) for name, table in tables.items()])
    sizes = [table.num_rows for table in tables.values()]
    return image_set(
        stack_images(_encoded(tables), where=path, **convert),
        labels,
        config=config,
        class_names=_class_names(tables, config=config) or numbered_classes(labels, where=path),
        license="as given by its owner",
        source=path,
        split=_split([part for _, _, part in chosen], sizes=sizes),
        validation_share=validation_share,
    )


def _test_part(config: SignalsConfig) -> Split:
    name = optional_text(config, "test", default="test")
    if name not in PARTS or PARTS[name] == "train":
        raise BadConfig(f"signals {config.name!r}: option 'test' is {name!r}; give test, val, valid or validation")
    return PARTS[name]


def _chosen_files(path: str, *, test_part: Split) -> list[tuple[str, str, Split | None]]:
    """Return (name, file below the path, split) of the files to read, sorted by name."""
    if is_parquet(path):
        return [(PurePosixPath(path).name, "", None)]
    names = [str(file) for file in list_tree(path)[0] if is_parquet(file.name)]
    if not names:
        raise BadSignals(f"{path} contains no .parquet file; give the folder of the data set's files")
    parts = {name: _part_of(PurePosixPath(name)) for name in names}
    unnamed = [name for name, part in parts.items() if part is None]
    if unnamed and len(unnamed) < len(names):
        raise BadSignals(
            f"{path}: {unnamed[0]} has no split in its name, but other files do; rename it to train-, test- or val-"
        )
    if unnamed:
        return [(name, name, None) for name in names]
    available = {part for part in parts.values() if part is not None}
    if available == {"train"} or "train" not in available:
        lacks = "no train files" if "train" not in available else "no files to test on"
        raise BadSignals(
            f"{path} contains only {', '.join(sorted(available))} files and {lacks}; add those, or remove the split "
            "from all file names to have one drawn"
        )
    roles: dict[Split | None, Split] = {"train": "train", test_part: "test"}
    if test_part == "test":
        roles["val"] = "val"
    return [(name, name, roles[part]) for name, part in parts.items() if part in roles]


def _part_of(file: PurePosixPath) -> Split | None:
    """Return the split that a file's name or its folder's name starts with, or None if neither does."""
    for name in (file.name, file.parent.name):
        match = re.match(rf"({'|'.join(sorted(PARTS, key=len, reverse=True))})(?![a-zA-Z])", name)
        if match:
            return PARTS[match[1]]
    return None


def _split(parts: list[Split | None], *, sizes: list[int]) -> Int8[np.ndarray, " S"] | None:
    codes = [SPLITS[part] for part in parts if part is not None]
    return np.repeat(np.array(codes, dtype=np.int8), sizes) if codes else None


def _read_table(path: str, name: str, *, config: SignalsConfig) -> Any:
    """Read the image and label columns of one file, renamed to `image` and `label`, with the file's metadata."""
    import pyarrow
    import pyarrow.parquet

    location = below(path, name)
    try:
        with open_file(path, name) as source:
            file = pyarrow.parquet.ParquetFile(source, page_checksum_verification=True)
            columns = _columns(file.schema_arrow, location=location, config=config)
            table = file.read(columns=columns).select(columns).rename_columns(["image", "label"])
            return table.replace_schema_metadata(file.schema_arrow.metadata)  # renaming drops it
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError, MemoryError) as error:
        reason = " ".join(str(error).split())[:100]
        kind = file_type_of(_head(path, name))
        reason = reason if kind in (None, "a parquet file") else f"it is {kind}"
        raise BadSignals(f"{location} cannot be read as parquet ({reason}); download it again") from None


def _head(path: str, name: str) -> bytes:
    with open_file(path, name) as source:
        return bytes(source.read(64))


def _columns(schema: Any, *, location: str, config: SignalsConfig) -> list[str]:
    """Return the names of a file's image and label columns."""
    from pyarrow import types

    known = [name for name in IMAGE_COLUMNS if name in schema.names]
    image = optional_text(config, "image", default=known[0] if known else IMAGE_COLUMNS[0])
    label = optional_text(config, "label", default=LABEL_COLUMN)
    for option, name in (("image", image), ("label", label)):
        if name not in schema.names:
            raise BadSignals(
                f"{location} has no column {name!r} (it has {one_line(', '.join(schema.names))[:300]}); "
                f"give option {option}=NAME with the name of that column"
            )
    kind = schema.field(image).type
    if not types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        raise BadSignals(
            f"{location}: column {image!r} is {one_line(str(kind))[:300]}, not a struct of bytes and path; "
            "give option image=NAME"
        )
    return [image, label]


def _labels(table: Any, *, where: str) -> Shaped[np.ndarray, " n"]:
    from pyarrow import types

    column = table.column("label")
    if not types.is_integer(column.type):
        first = next((value for value in column.to_pylist() if value is not None), None)
        raise BadSignals(
            f"{where}: labels are {column.type} ({first!r}); give option label=NAME with a column of class indices"
        )
    if column.null_count:
        raise BadSignals(f"{where}: {column.null_count} labels are missing; give a file with all labels")
    labels = np.asarray(column.to_numpy(), dtype=np.int64)
    if labels.size and labels.min() < 0:
        raise BadSignals(
            f"{where}: label {labels.min()} marks withheld labels; give option test=valid to test on validation"
        )
    return labels


def _class_names(tables: dict[str, Any], *, config: SignalsConfig) -> tuple[str, ...] | None:
    """Return the class names from the first file with names in its `huggingface` metadata; None if there are none."""
    label = optional_text(config, "label", default=LABEL_COLUMN)
    for name, table in tables.items():
        text = (table.schema.metadata or {}).get(b"huggingface")
        if text is None:
            continue
        try:
            names = json.loads(text)["info"]["features"][label].get("names")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BadSignals(f"{name}: its huggingface metadata does not describe {label!r}; export it again") from None
        if names:
            return tuple(str(entry) for entry in names)
    return None


def _encoded(tables: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    for name, table in tables.items():
        images = table.column("image").combine_chunks().field("bytes")
        refuse(
            [f"row {row} contains no image bytes; embed the images" for row in np.flatnonzero(images.is_null())[:1]],
            where=name,
        )
        for row, value in enumerate(images):
            yield f"{name} row {row}", value.as_py()
