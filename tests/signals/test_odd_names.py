"""Laws of names in a data set: a folder or file of any name is read, or refused in a line, by path and by URI alike."""

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
    """Write four pictures of the class `name`, and four of another."""
    for other in (name, "zz-other"):
        (folder / other).mkdir(parents=True)
        for index, content in enumerate(PICTURES):
            (folder / other / f"{name}{index}.png").write_bytes(content)


@pytest.mark.parametrize("name", ODD)
def test_a_class_of_any_name_is_read_by_path_and_by_uri(tmp_path: Path, name: str) -> None:
    """Both ways give the same signals, whose class has the folder's name, and a card that can be printed."""
    folder = tmp_path / f"data {name}"
    fill(folder, name)
    for location in (str(folder), f"file://{quote(str(folder))}"):
        config = SignalsConfig(name="folder", options={"path": location})
        assert load_signals(config).card.class_names == tuple(sorted((name, "zz-other")))
        with Path(os.devnull).open("w") as nowhere:
            Terminal(file=nowhere, width=80).print(summary_card(summary(config, baseline=False)))


def fresh(factory: pytest.TempPathFactory) -> Path:
    """Return an empty directory, the same for each example: thousands of them would fill the disk."""
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
    """No name of a folder, a class or a file ends in another error than bad input of one printable line."""
    base = fresh(tmp_path_factory)
    try:
        fill(base / name, name)
    except (OSError, UnicodeEncodeError):
        return  # the file system does not take it
    location = f"file://{quote(os.fsencode(base / name))}" if by_uri else str(base / name)
    try:
        found = check_location(location, options={})
    except BadInput as refused:
        said = one_line(str(refused)).splitlines()
    else:
        said = []
    assert len(said) <= 1
    if said:
        return
    assert [row["class"] for row in found["classes"]] == sorted([name, "zz-other"])


@pytest.mark.parametrize("by_uri", [False, True])
def test_names_that_are_not_utf8_are_refused_in_a_line(tmp_path: Path, by_uri: bool) -> None:
    """A class folder or file with undecodable bytes in its name is named, whichever way the folder is given."""
    fill(tmp_path / "data", "a")
    (tmp_path / "data" / "a").rename(os.fsdecode(os.fsencode(tmp_path / "data") + b"/caf\xe9"))
    location = (tmp_path / "data").as_uri() if by_uri else str(tmp_path / "data")
    with pytest.raises(BadSignals, match=r"not UTF-8 .*caf\\xe9.* rename it"):
        check_location(location, options={})
