"""Access to a source's options in its configuration."""

from collections.abc import Container

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig


def only_options(config: SignalsConfig, *allowed: str) -> None:
    """Raise an error for options that the source does not have.

    Raises:
        BadConfig: an unknown option.
    """
    unknown = sorted(set(config.options) - set(allowed))
    if unknown:
        raise BadConfig(
            f"signals {config.name!r}: unknown option {unknown[0]!r}; allowed: {', '.join(allowed) or 'none'}; "
            "correct or remove it"
        )


def text_option(config: SignalsConfig, name: str, *, hint: str) -> str:
    """Return a required text option.

    Raises:
        BadConfig: the option is absent, empty or not text.
    """
    value = config.options.get(name)
    if not isinstance(value, str) or not value:
        raise BadConfig(f"signals {config.name!r}: option {name!r} is {value!r}; give {hint}")
    return value


def optional_text(config: SignalsConfig, name: str, *, default: str) -> str:
    """Return a text option, or the default if it is absent.

    Raises:
        BadConfig: the option is empty or not text.
    """
    return text_option(config, name, hint="text") if name in config.options else default


def int_option(config: SignalsConfig, name: str, *, allowed: Container[int], hint: str) -> int | None:
    """Return an integer option, or None if it is absent.

    Raises:
        BadConfig: the option is not an integer, or not allowed.
    """
    value = config.options.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        raise BadConfig(f"signals {config.name!r}: option {name!r} is {value!r}; give {hint}")
    return value
