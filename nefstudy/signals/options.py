"""A source's own options, read from its configuration."""

from collections.abc import Container

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig


def only_options(config: SignalsConfig, *allowed: str) -> None:
    """Nothing, when every option is one the source knows.

    Raises:
        BadConfig: an option the source does not know.
    """
    unknown = sorted(set(config.options) - set(allowed))
    if unknown:
        raise BadConfig(
            f"signals {config.name!r}: unknown option {unknown[0]!r}; allowed are {', '.join(allowed) or 'none'}"
        )


def text_option(config: SignalsConfig, name: str, *, hint: str) -> str:
    """The option of that name, which must be text.

    Raises:
        BadConfig: it is absent, empty or not text.
    """
    value = config.options.get(name)
    if not isinstance(value, str) or not value:
        raise BadConfig(f"signals {config.name!r}: option {name!r} is {value!r}; give {hint}")
    return value


def optional_text(config: SignalsConfig, name: str, *, default: str) -> str:
    """The option of that name, which must be text; the default when absent.

    Raises:
        BadConfig: it is empty or not text.
    """
    return text_option(config, name, hint="text") if name in config.options else default


def whole_option(config: SignalsConfig, name: str, *, allowed: Container[int], says: str) -> int | None:
    """The option of that name as one of the allowed whole numbers; None when absent.

    Raises:
        BadConfig: it is not a whole number, or not allowed.
    """
    value = config.options.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        raise BadConfig(f"signals {config.name!r}: option {name!r} is {value!r}; give {says}")
    return value
