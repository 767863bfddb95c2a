"""Tests that folders and files of any name are read or rejected with a one-line error."""

import os
import shutil
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadInput, BadSignals
from nefstudy.outside_text import one_line
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.show import check_location, summary, summary_card
from nefstudy.terminal import Terminal

EXAMPLES = int(os.environ.get("NEFSTUDY_EXAMPLES", "200"))
ODD = ("great tit", "größe", "a%20b", "a#b", "a?b", "a[1]", "[b]x", "a;b&c", "a\\b", "a\nb", "\x1b[31mx", "~", "-", "%")
NAMES = st.text(st.sampled_from("ab %#?[]~\\\n\x1b;&=ü\u202e\udcff.") | st.characters(), min_size=1, max_size=90)


def encoded(value: int) -> bytes:
    """Return a small PNG."""
    buffer = BytesIO()
    Image.fromarray(np.full((4, 4), value, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


PICTURES = [encoded(20 * value) for value in range(4)]


def fill(folder: Path, name: str) -> None:
    """Write four images of the class `name` and four of another class."""
    for other in (name, "zz-other"):
        (folder / other).mkdir(parents=True)
        for index, content in enumerate(PICTURES):
            (folder / other / f"{name}{index}.png").write_bytes(content)


@pytest.mark.parametrize("name", ODD)
def test_a_class_of_any_name_is_read_by_path_and_by_uri(tmp_path: Path, name: str) -> None:
    """A class has the name of its folder, however odd, whether the data is given by path or by URI.

    The summary is printable.
    """
    folder = tmp_path / f"data {name}"
    fill(folder, name)
    for location in (str(folder), f"file://{quote(str(folder))}"):
        config = SignalsConfig(name="folder", options={"path": location})
        assert load_signals(config).card.class_names == tuple(sorted((name, "zz-other")))
        with Path(os.devnull).open("w") as nowhere:
            Terminal(file=nowhere, width=80).print(summary_card(summary(config, baseline=False)))


def fresh(factory: pytest.TempPathFactory) -> Path:
    """Return an empty directory that all examples reuse, because thousands of directories would fill the disk."""
    base = factory.getbasetemp() / "example"
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir()
    return base


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None)
@given(NAMES.filter(lambda name: not {"/", "\0"} & set(name) and name.strip(".")), st.booleans())
def test_any_name_is_read_or_refused_in_a_line(
    tmp_path_factory: pytest.TempPathFactory, name: str, by_uri: bool
) -> None:
    """A folder, class or file of any name is read, or rejected with a one-line BadInput error."""
    base = fresh(tmp_path_factory)
    try:
        fill(base / name, name)
    except (OSError, UnicodeEncodeError):
        return  # the file system does not support this name
    location = f"file://{quote(os.fsencode(base / name))}" if by_uri else str(base / name)
    try:
        summary_row = check_location(location, options={})
    except BadInput as refused:
        lines = one_line(str(refused)).splitlines()
    else:
        lines = []
    assert len(lines) <= 1
    if lines:
        return
    assert [row["class"] for row in summary_row["classes"]] == sorted([name, "zz-other"])


@pytest.mark.parametrize("by_uri", [False, True])
def test_names_that_are_not_utf8_are_refused_in_a_line(tmp_path: Path, by_uri: bool) -> None:
    """If the name of a class folder is not valid UTF-8, the error shows the name."""
    fill(tmp_path / "data", "a")
    (tmp_path / "data" / "a").rename(os.fsdecode(os.fsencode(tmp_path / "data") + b"/caf\xe9"))
    location = (tmp_path / "data").as_uri() if by_uri else str(tmp_path / "data")
    with pytest.raises(BadSignals, match=r"UTF-8 .*caf\\xe9"):
        check_location(location, options={})
