"""Drawn figures show the marks that they are given, without a screen or global state."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure as Drawn
from PIL import Image

from nefstudy.insight.declared import Declarations, declarations
from nefstudy.insight.figure import Axis, Figure, Mark
from nefstudy.insight.scatter import scatter
from nefstudy.insight.trials import Trials
from nefstudy.report import figures

from ..insight.conftest import HIDDEN, cell_plan, trial, trials_of

DECLARED = declarations({"cells": [cell_plan(cell=f"mnist5k/{field}") for field in HIDDEN]})


def ladders(trials: Trials, declared: Declarations = DECLARED) -> Figure:
    """Accuracy against quality."""
    return scatter(trials, declared, id="ladders", x="all_psnr", y="test_accuracy", joined=True)


def points(figure: Drawn, *, size: float = 30) -> set[tuple[float, float]]:
    """Every point drawn, rounded: those of markers of the given size, over all panels."""
    return {
        (round(float(x), 9), round(float(y), 9))
        for axes in figure.axes
        for drawn in axes.collections
        if isinstance(drawn, PathCollection) and drawn.get_sizes()[0] == size
        for x, y in np.asarray(drawn.get_offsets())
    }


def rounded(mark: Mark | None) -> set[tuple[float, float]]:
    assert mark is not None
    return {(round(x, 9), round(y, 9)) for x, y in zip(mark.columns["x"], mark.columns["y"], strict=True)}


def test_every_dot_and_ring_is_drawn_where_it_is(study: Trials) -> None:
    """Points and rings are the figure's own marks: none lost, none made up, a panel for each field."""
    found = ladders(study)
    drawn = figures.draw(found)
    assert points(drawn) == rounded(found.of_kind("dot"))
    assert points(drawn, size=110) == rounded(found.of_kind("ring"))
    assert [axes.get_title(loc="left") for axes in drawn.axes] == ["SIREN", "RFFNet", "MFN"]


def test_axes_are_those_of_the_figure(study: Trials) -> None:
    """Labels with units, a fixed domain and a logarithmic scale are drawn as declared; a rule is a line."""
    drawn = figures.draw(ladders(study))
    assert drawn.axes[0].get_xlabel() == "PSNR (dB)"
    assert drawn.axes[0].get_ylabel() == "test accuracy"
    low, high = drawn.axes[0].get_ylim()
    assert -0.1 < low < 0
    assert 1 < high < 1.1
    marks = (Mark("dot", {"x": [1, 1000], "y": [0.2, 0.4]}), Mark("rule", {"y": [0.1]}, label="chance"))
    one = figures.draw(Figure("f", "F", "", Axis("steps", scale="log"), Axis("y"), marks, of=2))
    assert one.axes[0].get_xscale() == "log"
    assert [text.get_text() for text in one.axes[0].texts] == ["chance"]


def test_no_trials_give_a_picture_that_says_so() -> None:
    """A study without a finished trial is drawn as such, without a warning."""
    drawn = figures.draw(ladders(trials_of([])))
    assert [text.get_text() for axes in drawn.axes for text in axes.texts] == ["no finished trial to show yet"]
    assert figures.encode(drawn, "png").startswith(b"\x89PNG")


def test_initializations_differ_in_gray_too() -> None:
    """An initialization has its own fill as well as its color, and the colors differ."""
    assert figures.init_fill("random") != figures.init_fill("shared")
    assert len({figures.init_color(init) for init in ("random", "shared", "learned", "another")}) == 4


def test_the_same_figure_gives_the_same_bytes(study: Trials, tmp_path: Path) -> None:
    """PNG and SVG carry no date and no random id; a changed trial changes them; no partial file remains."""
    found, other = ladders(study.at(range(12))), ladders(study.at(range(1, 12)))
    for kind in ("png", "svg"):
        path = tmp_path / f"figure.{kind}"
        figures.save(figures.draw(found), path)
        assert path.read_bytes() == figures.encode(figures.draw(found), kind)
        assert path.read_bytes() != figures.encode(figures.draw(other), kind)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure.png", "figure.svg"]


def test_the_picture_is_large_enough_to_read(study: Trials, tmp_path: Path) -> None:
    """Accuracy against quality is a PNG of at least 900 pixels across, and not blank."""
    path = tmp_path / "figure.png"
    figures.save(figures.draw(ladders(study)), path)
    with Image.open(path) as picture:
        assert picture.width >= 900
        assert np.asarray(picture.convert("L")).std() > 5


def test_one_signal_source_is_named_in_the_title() -> None:
    """Trials of one source name it; several have a symbol each in the legend."""
    one = figures.draw(ladders(trials_of([trial()])))
    assert one.get_suptitle() == "Test accuracy against PSNR · mnist5k"
    two = figures.draw(ladders(trials_of([trial(), trial(signals="cifar10", steps=5)])))
    assert two.get_suptitle() == "Test accuracy against PSNR"
    assert [text.get_text() for text in two.legends[0].get_texts()] == ["shared", "cifar10", "mnist5k"]


@pytest.mark.slow
def test_pyplot_stays_out() -> None:
    """Drawing needs no pyplot, whose global state would not survive threads."""
    program = (
        "import sys; from nefstudy.report import figures; from nefstudy.insight.figure import Axis, Figure; "
        "figures.draw(Figure('f', 'F', '', Axis('x'), Axis('y'), ())); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
