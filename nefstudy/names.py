"""The one rule for names that become folders, URLs and database keys: of studies, of phases, of cells."""

import re

from nefstudy.errors import BadConfig

NAME_LENGTH = 100
CELL_LENGTH = 2 * NAME_LENGTH + 1
_NAME = r"[A-Za-z0-9](?:\.?[A-Za-z0-9_-])*"  # two dots in a row, and one at the end, do not match
NAME = rf"^{_NAME}$"
CELL = rf"^{_NAME}(?:/{_NAME})?$"
RULE = (
    f"1 to {NAME_LENGTH} letters (a to z, A to Z), digits, dots, hyphens and underscores, beginning with a letter or "
    "digit, without two dots in a row or a dot at the end"
)


def study_name(text: str) -> str:
    """Return the name of a study if it obeys the rule.

    Raises:
        BadConfig: it does not.
    """
    return _checked("study", text)


def phase_name(text: str) -> str:
    """Return the name of a phase if it obeys the rule.

    Raises:
        BadConfig: it does not.
    """
    return _checked("phase", text)


def trial_key(text: str) -> str:
    """Return the key of a trial if it can be one.

    Raises:
        BadConfig: it cannot.
    """
    return _checked("trial", text)


def cell_name(text: str) -> str:
    """Return the label of a cell, `signals/field`, if each of its names obeys the rule.

    Raises:
        BadConfig: it does not.
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
