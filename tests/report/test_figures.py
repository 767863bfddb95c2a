"""Tests that drawn figures show exactly their marks, and that drawing needs no display and no global state."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure as Drawn
from PIL import Image

from nefstudy.inits.catalog import INITS
from nefstudy.insight.declared import Declarations, declarations
from nefstudy.insight.figure import Axis, Figure, Mark
from nefstudy.insight.questions.scatter import scatter
from nefstudy.insight.trials import TrialColumns
from nefstudy.report import figures

from ..insight.synthetic_study import HIDDEN, cell_plan, trial, trials_of

DECLARED = declarations({"cells": [cell_plan(cell=f"mnist5k/{field}") for field in HIDDEN]})


def ladders(trials: TrialColumns, declared: Declarations = DECLARED) -> Figure:
    """Return the figure of accuracy against quality."""
    return scatter(trials, declared, id="ladders", x="all_psnr", y="test_accuracy", joined=True)


def points(figure: Drawn, *, size: float = 30) -> set[tuple[float, float]]:
    """Return the rounded coordinates of every drawn marker of the given size in all panels."""
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


def test_every_dot_and_ring_is_drawn_at_its_position(study: TrialColumns) -> None:
    """All dots and rings of the figure are drawn at their positions, in one panel per field."""
    figure = ladders(study)
    drawn = figures.draw(figure)
    assert points(drawn) == rounded(figure.of_kind("dot"))
    assert points(drawn, size=110) == rounded(figure.of_kind("ring"))
    assert [axes.get_title(loc="left") for axes in drawn.axes] == ["SIREN", "RFFNet", "MFN"]


def test_axes_are_those_of_the_figure(study: TrialColumns) -> None:
    """Drawn axes have the labels, units, domains and scales of the figure's axes.

    A reference line has its label.
    """
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


def test_a_figure_without_trials_says_so() -> None:
    """If a study has no finished trials, the picture shows a message.

    Drawing it raises no warning.
    """
    drawn = figures.draw(ladders(trials_of([])))
    assert [text.get_text() for axes in drawn.axes for text in axes.texts] == ["no finished trials yet"]
    assert figures.encode(drawn, "png").startswith(b"\x89PNG")


def test_initializations_differ_in_gray_too() -> None:
    """Random and shared initializations are distinguishable in gray, since they differ in fill.

    Every initialization has a distinct color.
    """
    assert figures.init_fill("random") != figures.init_fill("shared")
    assert len({figures.init_color(init) for init in (*INITS, "another")}) == len(INITS) + 1
    assert set(figures.INIT_COLORS) == set(INITS)


def test_the_same_figure_gives_the_same_bytes(study: TrialColumns, tmp_path: Path) -> None:
    """Drawing the same figure again yields identical PNG and SVG files.

    Other trials yield different files, and no partial file remains.
    """
    figure, other = ladders(study.at(range(12))), ladders(study.at(range(1, 12)))
    for kind in ("png", "svg"):
        path = tmp_path / f"figure.{kind}"
        figures.save(figures.draw(figure), path)
        assert path.read_bytes() == figures.encode(figures.draw(figure), kind)
        assert path.read_bytes() != figures.encode(figures.draw(other), kind)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure.png", "figure.svg"]


def test_the_picture_is_large_enough_to_read(study: TrialColumns, tmp_path: Path) -> None:
    """The PNG of accuracy against quality is at least 900 pixels wide and not blank."""
    path = tmp_path / "figure.png"
    figures.save(figures.draw(ladders(study)), path)
    with Image.open(path) as picture:
        assert picture.width >= 900
        assert np.asarray(picture.convert("L")).std() > 5


def test_one_signal_source_is_named_in_the_title() -> None:
    """If all trials have the same signal source, the title names it.

    If there are several sources, the legend lists them.
    """
    one = figures.draw(ladders(trials_of([trial()])))
    assert one.get_suptitle() == "Test accuracy against PSNR · mnist5k"
    two = figures.draw(ladders(trials_of([trial(), trial(signals="cifar10", steps=5)])))
    assert two.get_suptitle() == "Test accuracy against PSNR"
    assert [text.get_text() for text in two.legends[0].get_texts()] == ["shared", "cifar10", "mnist5k"]


@pytest.mark.slow
def test_pyplot_stays_out() -> None:
    """Drawing does not import pyplot, whose global state is not thread-safe."""
    program = (
        "import sys; from nefstudy.report import figures; from nefstudy.insight.figure import Axis, Figure; "
        "figures.draw(Figure('f', 'F', '', Axis('x'), Axis('y'), ())); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
