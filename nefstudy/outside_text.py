"""Sanitization of external text (errors, names, URLs) for terminals, logs, the ledger and responses."""

import re
import unicodedata

from nefstudy.errors import BadConfig

HIDDEN = "***"
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "abfs": "AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY",
}
ERROR_LENGTH = 4_000  # characters of an error that are stored and shown

_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # control sequences: colors, cursor movement
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\Z)"  # strings: window titles, links
    r"|\x1b[ -/]*[0-~]",  # two-character escapes
    re.DOTALL,
)
_REORDERING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LAYOUT = frozenset("\n\t")
_BREAKS = frozenset("\n\t\u2028\u2029")

_SCHEME = r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.\-]{0,40}:/{2,3})"
# The greedy match extends to the last @ of the URL: an unescaped password may contain @ and /.
_USER_INFO = re.compile(_SCHEME + r"(?P<info>[^\s'\"<>]*)@")
_SPACED_PASSWORD = re.compile(_SCHEME + r"(?P<info>[^\s/@:\[\]]+:(?!\d+(?:[/\s]|$)|\*\*\*@).*)@")
_HIDDEN_ALREADY = re.compile(r"[\w.\-]*:?\*\*\*")
# NAME=VALUE and 'NAME': 'VALUE'. A name is matched from its beginning only; otherwise long names take quadratic time.
_SECRET_VALUE = re.compile(
    r"(?<![\w.\-])(?=sig[=%]|[\w.\-]*(?:passw(?:or)?d|pwd|secret|token|credential|signature|api[_\-]?key|access[_\-]?key))"
    r"(?P<name>[\w.\-]+(?:(?:=|%3D)['\"]?|['\"]\s*:\s*['\"]))(?P<value>[^\s&;,'\"<>)\]}]+)",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(r"(?P<name>\b(?:bearer|basic)\s+)(?P<value>[A-Za-z0-9._~+/=\-]{8,})", re.IGNORECASE)


def printable(text: str) -> str:
    """Remove terminal escapes; escape other control characters, lone surrogates and text-direction marks."""
    return "".join(_shown(character) for character in _ESCAPE.sub("", text))


def one_line(text: str) -> str:
    """Return printable text with its line breaks and tabs escaped."""
    return "".join(
        character.encode("unicode_escape").decode("ascii") if character in _BREAKS else character
        for character in printable(text)
    )


def shortened(text: str, limit: int = ERROR_LENGTH) -> str:
    """Cut the middle out of a text longer than `limit`, marking how many characters were removed."""
    if len(text) <= limit:
        return text
    mark = f" … ({len(text) - limit:,} characters left out) … "
    head = limit * 2 // 3
    return text[:head] + mark + text[len(text) - (limit - head) :]


def without_secrets(text: str) -> str:
    """Replace user info in URLs, secret query values and authorization headers with `***`."""
    if "@" in text:
        text = _USER_INFO.sub(_without_user_info, text)
        text = _SPACED_PASSWORD.sub(rf"\g<scheme>{HIDDEN}@", text)
    text = _SECRET_VALUE.sub(rf"\g<name>{HIDDEN}", text)
    return _AUTHORIZATION.sub(rf"\g<name>{HIDDEN}", text)


def safe_error(text: str) -> str:
    """Return an error's text made safe to store and show: printable, no secrets, at most ERROR_LENGTH characters.

    The text is cut first, to bound the cost of huge errors; the margin keeps the cut from separating a URL from its
    user info.
    """
    return shortened(without_secrets(printable(shortened(text, 4 * ERROR_LENGTH))))


def _shown(character: str) -> str:
    if character in _LAYOUT:
        return character
    if character in _REORDERING or unicodedata.category(character) in ("Cc", "Cs"):
        return character.encode("unicode_escape").decode("ascii")
    return character


def _without_user_info(match: re.Match[str]) -> str:
    info = match["info"]
    if _HIDDEN_ALREADY.fullmatch(info):
        return match[0]
    authority = info.split("/", 1)[0]
    is_path = "/" in info and "@" not in authority and ":" not in info  # s3://bucket/name@2x.png
    return match[0] if is_path else f"{match['scheme']}{HIDDEN}@"


def refuse_secrets(location: str, *, what: str) -> None:
    """Raise an error for a URI with credentials, because the URI will be stored.

    Raises:
        BadConfig: the URI holds credentials; the message names environment variables to use instead.
    """
    shown = without_secrets(location)
    if "://" in location and shown != location:
        variables = _CREDENTIALS.get(location.partition("://")[0], "the environment variables of its storage")
        raise BadConfig(
            f"{what} {shown!r} contains credentials but is stored with every result; set {variables} instead"
        )
