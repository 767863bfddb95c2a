"""The figures show the rows they are given, and draw without a screen or global state."""

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from PIL import Image

from nefstudy.ledger.rows import TrialRow
from nefstudy.report import figures

Make = Callable[..., TrialRow]


def points(figure: Figure, *, size: float = 30) -> set[tuple[float, float]]:
    """Every point drawn, rounded: those of markers of the given size, over all panels."""
    return {
        (round(float(x), 9), round(float(y), 9))
        for axes in figure.axes
        for drawn in axes.collections
        if isinstance(drawn, PathCollection) and drawn.get_sizes()[0] == size
        for x, y in np.asarray(drawn.get_offsets())
    }


@pytest.mark.parametrize("name", list(figures.FIGURES))
def test_every_finished_trial_is_a_point(name: str, study_rows: list[TrialRow]) -> None:
    """The points of a figure are the trials' own (metric, accuracy) pairs: none lost, none made up."""
    metric = figures.FIGURES[name].metric
    wanted = {(round(figures.value(row, metric), 9), round(figures.accuracy(row), 9)) for row in study_rows}
    assert points(figures.draw(name, study_rows)) == wanted


@pytest.mark.parametrize("name", list(figures.FIGURES))
def test_no_rows_give_a_picture_that_says_so(name: str) -> None:
    """A study without a finished trial is drawn as such, without a warning."""
    figure = figures.draw(name, [])
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["no finished trial to show yet"]
    assert figures.encode(figure, "png").startswith(b"\x89PNG")


def test_rungs_of_a_ladder_are_joined_in_order_of_steps(study_rows: list[TrialRow]) -> None:
    """Trials that differ in step count alone form one line; the peak, where over-training sets in, is ringed."""
    siren = [row for row in study_rows if row.field == "siren"]
    ladders = figures.ladders(siren[::-1])
    assert len(ladders) == 6
    assert all([row.steps for row in ladder] == [5, 25, 75, 200, 1000, 5000] for ladder in ladders)
    rings = points(figures.draw("accuracy_against_quality", siren), size=110)
    assert {y for _, y in rings} == {round(max(map(figures.accuracy, ladder)), 9) for ladder in ladders}


def test_another_seed_or_classifier_is_another_ladder(row: Make) -> None:
    """Only the step count may differ within a line."""
    a, b = row(steps=5), row(steps=25)
    assert len(figures.ladders([a, b])) == 1
    assert len(figures.ladders([a, replace(b, config=b.config | {"seed": 1})])) == 2
    assert len(figures.ladders([a, replace(b, dataset="other")])) == 2


def test_images_and_shapes_do_not_share_an_axis(row: Make) -> None:
    """PSNR and IoU are drawn in rows of their own, each axis named for its measure."""
    shape = row(signals="shapes10", quality=0.8, metrics={"all_iou": 0.8})
    figure = figures.draw("accuracy_against_quality", [row(), shape])
    assert [axes.get_xlabel() for axes in figure.axes] == ["PSNR (dB) over all signals", "IoU over all signals"]


def test_a_metric_that_is_missing_or_not_finite_is_left_out(row: Make) -> None:
    """A trial without the metric is no point at zero; it is not drawn."""
    rows = [row(steps=5), row(steps=25, metrics={}), row(steps=75, metrics={"all_nmi": math.nan})]
    assert points(figures.draw("accuracy_against_nmi", rows)) == {(0.4, 0.8)}


def test_rank_correlation_agrees_with_monotone_data() -> None:
    """A monotone relation has rank correlation ±1; too few or constant data have none."""
    x = [1.0, 2.0, 3.0, 4.0, math.nan]
    assert figures.correlation(x, [value**3 for value in x]) == pytest.approx(1)
    assert figures.correlation(x, [-value for value in x]) == pytest.approx(-1)
    assert figures.correlation(x[:3], x[:3]) is None
    assert figures.correlation(x, [1.0] * 5) is None


def test_starts_differ_in_grey_too() -> None:
    """A start is told by fill as well as by colour, and the colours differ in lightness."""
    assert figures.start_fill("random") != figures.start_fill("shared")
    colours = [figures.start_colour(start) for start in ("random", "shared", "learned", "another")]
    assert len(set(colours)) == 4


def test_the_same_rows_give_the_same_bytes(study_rows: list[TrialRow], tmp_path: Path) -> None:
    """PNG and SVG carry no date and no random id; a changed row changes them; no partial file remains."""
    name = "accuracy_against_nmi"
    rows = study_rows[:12]
    for kind in ("png", "svg"):
        path = tmp_path / f"figure.{kind}"
        figures.save(figures.draw(name, rows), path)
        assert path.read_bytes() == figures.encode(figures.draw(name, rows), kind)
        assert path.read_bytes() != figures.encode(figures.draw(name, rows[1:]), kind)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure.png", "figure.svg"]


def test_the_picture_is_large_enough_to_read(study_rows: list[TrialRow], tmp_path: Path) -> None:
    """Accuracy against quality is a PNG of at least 1,000 pixels across, and not blank."""
    path = tmp_path / "figure.png"
    figures.save(figures.draw("accuracy_against_quality", study_rows), path)
    with Image.open(path) as picture:
        assert picture.width >= 900
        assert np.asarray(picture.convert("L")).std() > 5


@pytest.mark.slow
def test_pyplot_stays_out() -> None:
    """Drawing needs no pyplot, whose global state would not survive threads."""
    program = (
        "import sys; from nefstudy.report import figures; figures.draw('accuracy_against_nmi', []); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
