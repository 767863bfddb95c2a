"""Text from outside (errors, names, URLs) made safe for a terminal, a log, the ledger and a response."""

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
# The greedy match reaches the last @ of the URL: a password pasted without escaping may hold @ and / itself.
_USER_INFO = re.compile(_SCHEME + r"(?P<info>[^\s'\"<>]*)@")
_SPACED_PASSWORD = re.compile(_SCHEME + r"(?P<info>[^\s/@:\[\]]+:(?!\d+(?:[/\s]|$)|\*\*\*@).*)@")
_HIDDEN_ALREADY = re.compile(r"[\w.\-]*:?\*\*\*")
# NAME=VALUE and 'NAME': 'VALUE'; a name is matched from its beginning only, or long ones would take quadratic time.
_SECRET_VALUE = re.compile(
    r"(?<![\w.\-])(?=sig[=%]|[\w.\-]*(?:passw(?:or)?d|pwd|secret|token|credential|signature|api[_\-]?key|access[_\-]?key))"
    r"(?P<name>[\w.\-]+(?:(?:=|%3D)['\"]?|['\"]\s*:\s*['\"]))(?P<value>[^\s&;,'\"<>)\]}]+)",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(r"(?P<name>\b(?:bearer|basic)\s+)(?P<value>[A-Za-z0-9._~+/=\-]{8,})", re.IGNORECASE)


def printable(text: str) -> str:
    """Remove terminal escapes and show other control characters, lone surrogates and text-direction marks escaped."""
    return "".join(_shown(character) for character in _ESCAPE.sub("", text))


def one_line(text: str) -> str:
    """Return a printable text with its line breaks and tabs shown escaped."""
    return "".join(
        character.encode("unicode_escape").decode("ascii") if character in _BREAKS else character
        for character in printable(text)
    )


def shortened(text: str, limit: int = ERROR_LENGTH) -> str:
    """Cut the middle out of a text of more than `limit` characters, and state how much is left out."""
    if len(text) <= limit:
        return text
    mark = f" … ({len(text) - limit:,} characters left out) … "
    head = limit * 2 // 3
    return text[:head] + mark + text[len(text) - (limit - head) :]


def without_secrets(text: str) -> str:
    """Replace user info in URLs, secret query values and authorization headers by `***`."""
    if "@" in text:
        text = _USER_INFO.sub(_without_user_info, text)
        text = _SPACED_PASSWORD.sub(rf"\g<scheme>{HIDDEN}@", text)
    text = _SECRET_VALUE.sub(rf"\g<name>{HIDDEN}", text)
    return _AUTHORIZATION.sub(rf"\g<name>{HIDDEN}", text)


def safe_error(text: str) -> str:
    """Return an error's text as it may be stored and shown: printable, without secrets, at most ERROR_LENGTH long.

    The text is cut first, so that a huge error costs no more than a long one; the margin keeps the cut from
    separating a URL from its user info.
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
    """Check that a URI that is going to be stored holds no credentials.

    Raises:
        BadConfig: it does; names the environment variables that may hold them.
    """
    shown = without_secrets(location)
    if "://" in location and shown != location:
        variables = _CREDENTIALS.get(location.partition("://")[0], "the environment variables of its storage")
        raise BadConfig(f"{what} {shown!r} holds credentials, and is stored with every result; set {variables} instead")
