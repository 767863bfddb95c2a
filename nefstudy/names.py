"""The rules for names that become folders, URLs or database keys, such as the names of studies and cells."""

import re

from nefstudy.errors import BadConfig

NAME_LENGTH = 100
CELL_LENGTH = 2 * NAME_LENGTH + 1
_NAME = r"[A-Za-z0-9](?:\.?[A-Za-z0-9_-])*"  # two dots in a row, and one at the end, do not match
NAME = rf"^{_NAME}$"
METRIC = r"^[A-Za-z_][A-Za-z0-9_.]{0,63}$"
CELL = rf"^{_NAME}(?:/{_NAME})?$"
RULE = (
    f"1 to {NAME_LENGTH} letters (a to z, A to Z), digits, dots, hyphens and underscores, beginning with a letter or "
    "digit, without two dots in a row or a dot at the end"
)


def study_name(text: str) -> str:
    """Return `text` if it is a valid study name.

    Raises:
        BadConfig: it is not.
    """
    return _checked("study", text)


def phase_name(text: str) -> str:
    """Return `text` if it is a valid phase name.

    Raises:
        BadConfig: it is not.
    """
    return _checked("phase", text)


def trial_key(text: str) -> str:
    """Return `text` if it is a valid trial key.

    Raises:
        BadConfig: it is not.
    """
    return _checked("trial", text)


def kind_name(text: str) -> str:
    """Return `text` if it is a valid name of a kind of signal.

    Raises:
        BadConfig: it is not.
    """
    return _checked("kind", text)


def metric_name(text: str) -> str:
    """Return `text` if it is a valid metric name for figures, tables and the REST API.

    Raises:
        BadConfig: they cannot.
    """
    if isinstance(text, str) and re.fullmatch(METRIC, text):
        return text
    raise BadConfig(
        f"metric {ascii(text)[:NAME_LENGTH]} cannot be used: a name has 1 to 64 letters (a to z, A to Z), digits, "
        "underscores and dots, beginning with a letter or underscore; choose another name"
    )


def cell_name(text: str) -> str:
    """Return `text` if it is a valid cell label: one name, or two joined by a slash (`signals/field`).

    Raises:
        BadConfig: it is not.
    """
    for part in text.split("/", 1):
        _checked("cell", part, whole=text)
    return text


def _checked(kind: str, text: str, *, whole: str | None = None) -> str:
    if len(text) <= NAME_LENGTH and re.fullmatch(_NAME, text):
        return text
    shown = ascii(text if whole is None else whole)
    shown = shown if len(shown) <= NAME_LENGTH else shown[:NAME_LENGTH] + "...'"
    each = "each name" if kind == "cell" else "a name"
    raise BadConfig(f"{kind} {shown} cannot be used: {each} has {RULE}; choose another name")
