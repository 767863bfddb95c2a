"""`--data NAME=PATH`: where the data of a study's cells lies, said on its command line."""

from collections.abc import Iterable

from nefstudy.errors import BadConfig
from nefstudy.scalars import Scalar

DataOptions = dict[str, dict[str, Scalar]]


def data_options(given: Iterable[str]) -> DataOptions:
    """Options of each signals' source: `mnist=/data/mnist` gives its path, `photos.size=32` another option.

    Raises:
        BadConfig: one that is neither NAME=PATH nor NAME.OPTION=VALUE.
    """
    options: DataOptions = {}
    for text in given:
        key, _, value = text.partition("=")
        name, _, option = key.partition(".")
        if not name or not value or key.endswith("."):
            raise BadConfig(f"--data {text!r} is not NAME=PATH or NAME.OPTION=VALUE, such as mnist=/data/mnist")
        options.setdefault(name, {})[option or "path"] = int(value) if value.isdigit() else value
    return options
