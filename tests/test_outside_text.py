"""Tests of external text: it is shown without control characters or secrets, and its length is bounded."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nefstudy.outside_text import ERROR_LENGTH, printable, safe_error, shortened, without_secrets

EXAMPLES = int(os.environ.get("NEFSTUDY_EXAMPLES", "200"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nef:hunter2@127.0.0.1:1/nef",
        "postgresql://nef:p@hunter2/9@127.0.0.1:1/nef",
        "postgresql://hunter2@127.0.0.1/nef",
        "postgresql://nef:two hunter2@127.0.0.1/nef",
        "http://tracker/?password=hunter2&x=1",
        "s3://access:hunter2@bucket/path?endpoint=x",
        "s3://bucket/path?secret_key=hunter2",
        "host=db password=hunter2 dbname=nef",
        "Authorization: Bearer hunter2.hunter2",
        "sqlite:///C:hunter2@x",
        "postgresql://a/b:hunter2@host/db",
        "...postgresql://nef:hunter2@host/db",
        "postgresql://nef@host/db?sslpassword=hunter2",
        "https://account.blob.example/x?sv=1&sig=hunter2",
        "{'password': 'hunter2', 'user': 'nef'}",
        "connect(password='hunter2')",
        "AWS_SECRET_ACCESS_KEY=hunter2",
        "?next=%2F%26password%3Dhunter2",
    ],
)
def test_a_secret_is_hidden_anywhere_in_a_url(url: str) -> None:
    """Secrets are removed from user info, query values, connection strings and headers."""
    assert "hunter2" not in without_secrets(f"cannot reach {url}, see https://example.org/help")


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/name@2x.png",
        "http://127.0.0.1:5000/",
        "file:///data/a@b",
        "http://[::1]:80/x",
        "a: b @ c",
        "design=3",
        "key: secret",
        "token=",
    ],
)
def test_a_text_without_secrets_is_unchanged(text: str) -> None:
    """Text without secrets is left unchanged, even an address with a port or a path that contains an @."""
    assert without_secrets(text) == text


def test_terminal_escapes_are_removed_and_other_controls_shown() -> None:
    """Terminal escapes are removed, and other control characters are escaped.

    Escapes set colors or a window title; a bell and a direction mark are other control characters.
    """
    assert printable("\x1b[31mred\x1b[0m \x1b]0;title\x07x\n\ty") == "red x\n\ty"
    assert printable("a\x07b\udce9c\u202ed") == r"a\x07b\udce9c\u202ed"


@pytest.mark.parametrize("part", ["a", "a.", "a://", "a://b:", "password", "'password':", "x='", "bearer "])
def test_a_long_text_takes_linear_time(part: str) -> None:
    """A megabyte of text that resembles a secret is processed in linear time."""
    assert len(without_secrets(part * (1_000_000 // len(part)))) > 100_000


PIECES = st.text("aZ9@:/?#&=%+._~!$*()-", max_size=8)


@settings(max_examples=EXAMPLES)
@given(
    scheme=st.sampled_from(("postgresql", "postgresql+psycopg", "http", "https", "s3", "redis", "mlflow-artifacts")),
    before=PIECES,
    after=PIECES,
    around=st.sampled_from(("{}", "cannot reach {}: refused", "('{}',)", "URL({})", "x={} y", "<{}>", "...{}...")),
    query=st.booleans(),
)
def test_any_password_in_any_url_is_hidden(scheme: str, before: str, after: str, around: str, query: bool) -> None:
    """No part of a password remains, regardless of unescaped punctuation in the password or around the URL."""
    url = f"{scheme}://nef:{before}hunter2{after}@127.0.0.1:1/nef"
    if query:
        url = f"{scheme}://127.0.0.1:1/nef?password=hunter2{after.replace('&', '')}"
    shown = without_secrets(around.format(url))
    assert "hunter2" not in shown
    assert "hunter2" not in without_secrets(shown)


def test_text_already_redacted_is_unchanged() -> None:
    """A user name is kept if SQLAlchemy has already hidden the password next to it."""
    assert without_secrets("postgresql://me:***@host/db") == "postgresql://me:***@host/db"


@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_any_text_can_be_stored_and_is_bounded(text: str) -> None:
    """Any error text becomes valid UTF-8 without escape or null characters."""
    safe = safe_error(text)
    safe.encode()
    assert "\x1b" not in safe
    assert "\x00" not in safe


def test_a_huge_error_is_cut_and_marked() -> None:
    """An error of thirty megabytes is cut to a few thousand characters.

    Both ends are kept, and a mark shows where text was left out.
    """
    cut = safe_error("begin" + "x" * 30_000_000 + "end")
    assert len(cut) < ERROR_LENGTH + 100
    assert cut.startswith("begin")
    assert cut.endswith("end")
    assert "left out" in cut
    assert shortened("short") == "short"
