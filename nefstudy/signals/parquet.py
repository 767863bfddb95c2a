"""Images from parquet files in the layout of the Hugging Face hub.

An image column is a struct of `bytes` (an encoded PNG or JPEG) and `path`; a label column holds whole numbers; the
schema's metadata key `huggingface` names the classes. Files say their split by name (`train-00000-of-00001.parquet`)
or by folder (`train/0000.parquet`).
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
from nefstudy.signals.file_type import file_type_of
from nefstudy.signals.image_set import image_set
from nefstudy.signals.options import only_options, optional_text, text_option
from nefstudy.signals.pixels import conversion, stack_images
from nefstudy.signals.signal import SPLITS, Signals, Split
from nefstudy.signals.signal_set import VALIDATION_SHARE, numbered_classes
from nefstudy.signals.splits import PARTS
from nefstudy.storage import below, list_tree, open_file

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMN = "label"
OPTIONS = ("path", "image", "label", "test", "size", "channels")


def is_parquet(path: str) -> bool:
    """Whether a path names a parquet file."""
    return path.lower().endswith(".parquet")


def holds_parquet(path: str) -> bool:
    """Whether a path names a parquet file, or a folder with one below it."""
    return is_parquet(path) or any(is_parquet(file.name) for file in list_tree(path)[0])


def read_parquet(config: SignalsConfig, *, validation_share: float = VALIDATION_SHARE) -> Signals:
    """The images of parquet files; options: `path` (file, folder or URI), `image`, `label`, `test`, `size`, `channels`.

    `image` and `label` name the columns (default `image` or `img`, and `label`). `test` names the split to test on
    where the labels of `test` are withheld, such as `valid`. `size` and `channels` are as for image folders. Without
    a validation split a share of train validates; files that name no split at all are split stratified.

    Raises:
        BadSignals: a file is missing, cut or without the columns, or its images or labels do not fit; names both.
    """
    only_options(config, *OPTIONS)
    path = text_option(config, "path", hint="a parquet file, or the folder or URI that holds some")
    convert = conversion(config)
    chosen = _chosen_files(path, tested=_tested_part(config))
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


def _tested_part(config: SignalsConfig) -> Split:
    name = optional_text(config, "test", default="test")
    if name not in PARTS or PARTS[name] == "train":
        raise BadConfig(f"signals {config.name!r}: option 'test' is {name!r}; give test, val, valid or validation")
    return PARTS[name]


def _chosen_files(path: str, *, tested: Split) -> list[tuple[str, str, Split | None]]:
    """(name, file below the path, split) of the files to read, in order of their names."""
    if is_parquet(path):
        return [(PurePosixPath(path).name, "", None)]
    names = [str(file) for file in list_tree(path)[0] if is_parquet(file.name)]
    if not names:
        raise BadSignals(f"{path} holds no .parquet file; give the folder of the data set's files")
    parts = {name: _part_of(PurePosixPath(name)) for name in names}
    nameless = [name for name, part in parts.items() if part is None]
    if nameless and len(nameless) < len(names):
        raise BadSignals(f"{path}: {nameless[0]} names no split as the other files do; rename it train-, test- or val-")
    if nameless:
        return [(name, name, None) for name in names]
    held = {part for part in parts.values() if part is not None}
    if held == {"train"} or "train" not in held:
        has = ", ".join(sorted(held))
        lacks = "no train files" if "train" not in held else "no files to test on"
        raise BadSignals(
            f"{path} holds {has} files only, and {lacks}; get those too, or rename the files so that they name no "
            "split, to have one drawn"
        )
    roles: dict[Split | None, Split] = {"train": "train", tested: "test"}
    if tested == "test":
        roles["val"] = "val"
    return [(name, name, roles[part]) for name, part in parts.items() if part in roles]


def _part_of(file: PurePosixPath) -> Split | None:
    """The split a file's name begins with, or else its folder."""
    for name in (file.name, file.parent.name):
        match = re.match(rf"({'|'.join(sorted(PARTS, key=len, reverse=True))})(?![a-zA-Z])", name)
        if match:
            return PARTS[match[1]]
    return None


def _split(parts: list[Split | None], *, sizes: list[int]) -> Int8[np.ndarray, " S"] | None:
    codes = [SPLITS[part] for part in parts if part is not None]
    return np.repeat(np.array(codes, dtype=np.int8), sizes) if codes else None


def _read_table(path: str, name: str, *, config: SignalsConfig) -> Any:
    """The image and label columns of one file, renamed `image` and `label`, with the file's metadata."""
    import pyarrow
    import pyarrow.parquet

    location = below(path, name)
    try:
        with open_file(path, name) as source:
            file = pyarrow.parquet.ParquetFile(source, page_checksum_verification=True)
            columns = _columns(file.schema_arrow, location=location, config=config)
            table = file.read(columns=columns).select(columns).rename_columns(["image", "label"])
            return table.replace_schema_metadata(file.schema_arrow.metadata)  # renaming loses it
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError, MemoryError) as error:
        reason = " ".join(str(error).split())[:100]
        kind = file_type_of(_head(path, name))
        reason = reason if kind in (None, "a parquet file") else f"it is {kind}"
        raise BadSignals(f"{location} is no whole parquet file ({reason}); download it again") from None


def _head(path: str, name: str) -> bytes:
    with open_file(path, name) as source:
        return bytes(source.read(64))


def _columns(schema: Any, *, location: str, config: SignalsConfig) -> list[str]:
    """Names of the image and label columns of a file."""
    from pyarrow import types

    known = [name for name in IMAGE_COLUMNS if name in schema.names]
    image = optional_text(config, "image", default=known[0] if known else IMAGE_COLUMNS[0])
    label = optional_text(config, "label", default=LABEL_COLUMN)
    for option, name in (("image", image), ("label", label)):
        if name not in schema.names:
            raise BadSignals(
                f"{location} has no column {name!r} (it has {one_line(', '.join(schema.names))[:300]}); "
                f"give option {option}=NAME of the column that holds it"
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
            f"{where}: labels are {column.type} ({first!r}); give option label=NAME of a column of indices"
        )
    if column.null_count:
        raise BadSignals(f"{where}: {column.null_count} labels are missing; give a file whose labels are known")
    labels = np.asarray(column.to_numpy(), dtype=np.int64)
    if labels.size and labels.min() < 0:
        raise BadSignals(f"{where}: label {labels.min()} marks a withheld one; give option test=valid to test on those")
    return labels


def _class_names(tables: dict[str, Any], *, config: SignalsConfig) -> tuple[str, ...] | None:
    """The names in the `huggingface` metadata of the first file that has them."""
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
            [f"row {row} holds no image bytes; embed the images" for row in np.flatnonzero(images.is_null())[:1]],
            where=name,
        )
        for row, value in enumerate(images):
            yield f"{name} row {row}", value.as_py()
