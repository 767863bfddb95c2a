"""Laws of text from outside: nothing that controls a terminal, no secrets, a bounded length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nefstudy.outside_text import ERROR_LENGTH, printable, safe_error, shortened, without_secrets


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
    ],
)
def test_a_secret_is_hidden_wherever_a_url_may_hold_it(url: str) -> None:
    """User info, query values, connection strings and headers lose their secrets."""
    assert "hunter2" not in without_secrets(f"cannot reach {url}, see https://example.org/help")


@pytest.mark.parametrize(
    "text", ["s3://bucket/name@2x.png", "http://127.0.0.1:5000/", "file:///data/a@b", "http://[::1]:80/x", "a: b @ c"]
)
def test_a_text_without_secrets_is_unchanged(text: str) -> None:
    """Addresses, ports and paths with an @ are shown whole."""
    assert without_secrets(text) == text


def test_terminal_escapes_are_removed_and_other_controls_shown() -> None:
    """Colors and window titles disappear; a bell, a lone surrogate and a direction mark are spelled out."""
    assert printable("\x1b[31mred\x1b[0m \x1b]0;title\x07x\n\ty") == "red x\n\ty"
    assert printable("a\x07b\udce9c\u202ed") == r"a\x07b\udce9c\u202ed"


@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_any_text_can_be_stored_and_is_bounded(text: str) -> None:
    """Whatever a library puts into an error, the result is valid UTF-8 without control characters."""
    safe = safe_error(text)
    safe.encode()
    assert "\x1b" not in safe
    assert "\x00" not in safe


def test_a_huge_error_is_cut_and_says_so() -> None:
    """Thirty megabytes become a few thousand characters that keep both ends."""
    cut = safe_error("begin" + "x" * 30_000_000 + "end")
    assert len(cut) < ERROR_LENGTH + 100
    assert cut.startswith("begin")
    assert cut.endswith("end")
    assert "left out" in cut
    assert shortened("short") == "short"
